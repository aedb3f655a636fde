import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { openCredentials, type Side } from '../../src/zones/credentials.ts'
import type { TlsFiles } from '../../src/zones/ports.ts'
import { make, makeList, testAuthority, USES, type Made } from '../support/authority.ts'
import { createInbox } from '../support/events.ts'

const DAY = 86_400_000
const still = new WeakSet<TestContext>()

/** Opens files, and keeps what is told. Time stands still until the test moves it; nothing is read again by itself. */
async function open(t: TestContext, files: TlsFiles, side: Side = 'any') {
  if (!still.has(t)) t.mock.timers.enable({ apis: ['setInterval'] })
  still.add(t)
  const told: string[] = []
  let later = 0
  const credentials = await openCredentials(files, {
    side,
    clock: { now: () => Date.now() + later },
    reloaded: () => told.push('reloaded'),
    alarm: (error) => told.push(error.message),
  })
  credentials.onChange(() => told.push('change'))
  t.after(() => credentials.stop())
  return { credentials, taken: () => told.splice(0), pass: (ms: number) => (later += ms) }
}

async function refusal(files: TlsFiles, side: Side = 'any'): Promise<string> {
  const error = await openCredentials(files, { side, reloaded: () => {}, alarm: () => {} }).then(() => undefined, (cause: unknown) => cause)
  assert.ok(error instanceof WaystationError)
  assert.equal(error.code, 'config_invalid')
  assert.ok(error.cause instanceof Error)
  return error.detail
}

test('files that fit together are read, and only these CAs, TLS 1.2 and newer are in the context', async (t) => {
  const { ca, client, write } = await testAuthority(t)
  const edge = await client()
  const { credentials, taken } = await open(t, write(edge), 'client')
  assert.deepEqual(credentials.context, { ca: ca.cert, cert: edge.cert, key: edge.key, minVersion: 'TLSv1.2' })
  assert.equal(credentials.isRevoked(edge.certificate), false)
  assert.deepEqual(taken(), [])
})

test('whatever is wrong at the start is refused with the file at fault and what is wrong with it', async (t) => {
  const { ca, client, server, list, write } = await testAuthority(t)
  const [edge, hub] = await Promise.all([client(), server()])
  const other = await make({ by: 'self', cn: 'another CA', ca: 'any' })
  const twin = await make({ by: 'self', cn: 'test CA', ca: 'any' })
  const good = { ...edge, ca: ca.cert, crl: await list() }
  const faults: [string, Partial<typeof good>, RegExp][] = [
    ['noca', { ca: '' }, /noca\.ca\.pem holds no PEM certificate/],
    ['keyasca', { ca: edge.key }, /keyasca\.ca\.pem holds no PEM certificate/],
    ['cut', { ca: ca.cert + other.cert.slice(0, 200) }, /cut\.ca\.pem is not whole/],
    ['garbage', { ca: ca.cert + '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' }, /garbage\.ca\.pem: certificate 2 of 2 cannot be read/],
    ['nocert', { cert: 'nonsense' }, /nocert\.pem holds no PEM certificate/],
    ['nokey', { key: 'nonsense' }, /nokey\.key holds no usable private key/],
    ['locked', { key: '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n' }, /locked\.key is encrypted; a key without a passphrase/],
    ['wrongkey', { key: hub.key }, /wrongkey\.key is not the key of .*wrongkey\.pem/],
    ['otherca', { ca: other.cert, crl: await makeList(other) }, /otherca\.pem is not issued by a CA of .*otherca\.ca\.pem/],
    ['twinca', { ca: twin.cert, crl: await makeList(twin) }, /twinca\.pem is not issued by a CA of .*twinca\.ca\.pem/],
    ['nokeyids', { ...await client({ keyIds: 'none' }), ca: twin.cert, crl: await makeList(twin) }, /nokeyids\.pem is not issued by a CA of .*nokeyids\.ca\.pem/],
    ['expired', await client({ until: -1_000 }), /expired\.pem has expired on \d{4}-/],
    ['early', await client({ from: 60_000 }), /early\.pem is not valid before \d{4}-/],
    ['use', hub, /use\.pem is not a certificate for a client/],
    ['nocrl', { crl: '' }, /nocrl\.crl\.pem holds no PEM list of revoked certificates/],
    ['badcrl', { crl: '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n' }, /badcrl\.crl\.pem holds a list that cannot be read/],
    ['othercrl', { crl: await makeList(other) }, /othercrl\.crl\.pem holds a list of CN=another CA, which is no CA of .*othercrl\.ca\.pem/],
    ['twincrl', { crl: await makeList(twin) }, /twincrl\.crl\.pem holds a list that CN=test CA has not signed with the key/],
    ['lackscrl', { ca: ca.cert + other.cert }, /lackscrl\.crl\.pem holds no list of CN=another CA.*would be refused/],
  ]
  for (const [name, fault, says] of faults) assert.match(await refusal(write({ ...good, ...fault }, name), 'client'), says)
  const files = write(good, 'good')
  for (const missing of ['cacertfile', 'certfile', 'keyfile', 'crlfile'] as const) {
    assert.match(await refusal({ ...files, [missing]: `${files[missing]}.gone` }), /good(\.ca|\.crl)?\.(pem|key)\.gone cannot be read: ENOENT/)
  }
  assert.match(await refusal(write(edge, 'edge'), 'daemon'), /edge\.pem is not a certificate for a server/)
})

test('a chain through another CA, a CA made anew beside the old one, and a certificate that brings its own CA are taken', async (t) => {
  const { ca, client, write } = await testAuthority(t)
  const between = await make({ by: ca, cn: 'between', ca: 0 })
  const below = await client({ by: between })
  const old = await make({ by: 'self', cn: 'test CA', ca: 'any', key: ca.key, until: -1_000 })
  const other = await make({ by: 'self', cn: 'another CA', ca: 'any' })
  const foreign = await client({ by: other })
  await open(t, write({ ...below, cert: below.cert + between.cert }))
  await open(t, write({ ...below, ca: old.cert + ca.cert + between.cert }))
  await open(t, write({ ...foreign, cert: foreign.cert + other.cert }))
  assert.match(await refusal(write(below)), /is not issued by a CA of/)
  const expired = await make({ by: 'self', cn: 'gone CA', ca: 'any', until: -1_000 })
  assert.match(await refusal(write({ ...await client({ by: expired }), ca: expired.cert })), /CN=gone CA, which it comes from, has expired/)
})

test('a change that can be used is one, and is told once', async (t) => {
  const { client, write } = await testAuthority(t)
  const [one, two] = await Promise.all([client(), client()])
  const files = write(one)
  const { credentials, taken } = await open(t, files)
  await credentials.reload()
  assert.deepEqual(taken(), [])
  writeFileSync(files.certfile, two.cert)
  writeFileSync(files.keyfile, two.key)
  await credentials.reload()
  await credentials.reload()
  assert.deepEqual([credentials.context.cert, taken()], [two.cert, ['reloaded', 'change']])
})

test('of a pair that is written one after the other, nothing is used before both are there', async (t) => {
  const { client, write } = await testAuthority(t)
  const [one, two] = await Promise.all([client(), client()])
  const files = write(one)
  const { credentials, taken } = await open(t, files)
  const steps: [() => void, RegExp | undefined][] = [
    [() => writeFileSync(files.certfile, two.cert.slice(0, 100)), /is not whole/],
    [() => writeFileSync(files.certfile, two.cert), /is not the key of/],
    [() => rmSync(files.keyfile), /cannot be read/],
    [() => writeFileSync(files.keyfile, ''), /holds no usable private key/],
  ]
  for (const [step, says] of steps) {
    step()
    await credentials.reload()
    await credentials.reload()
    const told = taken()
    assert.equal(told.length, 1)
    assert.match(told[0] as string, says as RegExp)
    assert.deepEqual([credentials.context.cert, credentials.context.key], [one.cert, one.key])
  }
  writeFileSync(files.keyfile, two.key)
  await credentials.reload()
  assert.deepEqual([credentials.context.key, taken()], [two.key, ['reloaded', 'change']])
})

test('who is revoked is known by CA and serial number, whatever the chain', async (t) => {
  const { ca, client, list, write } = await testAuthority(t)
  const [edge, gone] = await Promise.all([client(), client({ serial: '00a1' })])
  const other = await make({ by: 'self', cn: 'another CA', ca: 'any' })
  const same = await client({ by: other, serial: '00a1' })
  const { credentials } = await open(t, write({ ...edge, ca: ca.cert + other.cert, crl: await list([gone]) + await makeList(other) }))
  const asked = (one: Made): boolean => credentials.isRevoked(one.certificate)
  assert.deepEqual([asked(edge), asked(gone), asked(same)], [false, true, false])
  assert.equal(credentials.context.crl?.length, 2, 'OpenSSL reads one list of a text')
})

test('a new list counts by itself, also while the other files are broken; a broken or older one does not', async (t) => {
  const { client, list, write } = await testAuthority(t)
  const [edge, gone] = await Promise.all([client(), client()])
  const [first, second] = await Promise.all([list([], { from: -60_000 }), list([gone], { from: -30_000 })])
  const files = write({ ...edge, crl: first })
  const crlfile = files.crlfile as string
  const { credentials, taken } = await open(t, files)
  const look = async (crl: string): Promise<string[]> => {
    writeFileSync(crlfile, crl)
    await credentials.reload()
    return taken()
  }
  for (const bad of ['', second.slice(0, 150), edge.cert]) assert.match((await look(bad)).join(), /crl\.pem (is not whole|holds no PEM list)/)
  assert.equal(credentials.isRevoked(gone.certificate), false)
  writeFileSync(files.certfile, 'nonsense')
  const told = await look(second)
  assert.deepEqual(told.slice(0, 2), ['reloaded', 'change'])
  assert.match(told[2] as string, /holds no PEM certificate/)
  assert.deepEqual([credentials.isRevoked(gone.certificate), credentials.context.cert, credentials.context.crl], [true, edge.cert, [second]])
  writeFileSync(files.certfile, edge.cert)
  await credentials.reload()
  assert.deepEqual(taken(), [], 'all is as it is in use')
  assert.match((await look(first)).join(), /crl\.pem is older than the list in use/)
  assert.equal(credentials.isRevoked(gone.certificate), true)
})

test('what nears its end is told once a day: a certificate with seven days left, a list that is out of date, an own certificate that is revoked', async (t) => {
  const { client, list, write } = await testAuthority(t)
  const long = await make({ by: 'self', cn: 'long CA', ca: 'any', until: 100 * DAY })
  const edge = await client({ by: long, until: 8 * DAY })
  const files = write({ ...edge, ca: long.cert, crl: await makeList(long, { until: 2 * DAY }) })
  const { credentials, taken, pass } = await open(t, files)
  const after = async (ms: number): Promise<string[]> => {
    pass(ms)
    await credentials.reload()
    return taken()
  }
  assert.deepEqual(await after(DAY / 2), [])
  const [soon, ...none] = await after(DAY)
  assert.match(soon as string, /end1\.pem expires on /)
  assert.deepEqual([none, await after(1_000)], [[], []])
  assert.match((await after(DAY)).join('; '), /end1\.pem expires on [^;]*; .*crl\.pem is out of date: the list of CN=long CA held until/)
  assert.deepEqual(await after(1_000), [])
  writeFileSync(files.crlfile as string, await makeList(long, { from: -1_000, until: 90 * DAY, revoked: [edge] }))
  assert.match((await after(0)).join('; '), /^reloaded; change; .*end1\.pem is revoked by .*crl\.pem/)
  assert.match((await after(9 * DAY)).join('; '), /end1\.pem has expired on .*is revoked by/)
  const short = await client({ until: DAY })
  const second = await open(t, write({ ...short, crl: await list([], { until: -1_000 }) }))
  assert.match(second.taken().join('; '), /expires on .*is out of date/, 'at the start as well')
})

test('once stopped it looks and tells no more, and whoever has taken back his listener hears nothing', async (t) => {
  const { client, write } = await testAuthority(t)
  const [one, two, three] = await Promise.all([client(), client(), client()])
  const files = write(one)
  const { credentials, taken } = await open(t, files)
  let heard = 0
  const takeBack = credentials.onChange(() => heard++)
  const put = async ({ cert, key }: Made): Promise<void> => {
    writeFileSync(files.certfile, cert)
    writeFileSync(files.keyfile, key)
    await credentials.reload()
  }
  await put(two)
  takeBack()
  await put(three)
  assert.deepEqual([heard, taken()], [1, ['reloaded', 'change', 'reloaded', 'change']])
  credentials.stop()
  await put(one)
  assert.deepEqual([heard, taken(), credentials.context.cert], [1, [], three.cert])
})

test('a change is noticed within a second without being told', async (t) => {
  const { client, write } = await testAuthority(t)
  const [one, two] = await Promise.all([client(), client({ uses: [USES.client, USES.server] })])
  const files = write(one)
  const { credentials } = await open(t, files)
  const changes = createInbox<void>('change')
  credentials.onChange(() => changes.push())
  writeFileSync(files.certfile, two.cert)
  writeFileSync(files.keyfile, two.key)
  t.mock.timers.tick(1_000)
  await changes.next(5_000)
  assert.equal(credentials.context.cert, two.cert)
})
