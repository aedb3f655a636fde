import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { certs } from '../../src/cli/certs.ts'
import { helpOf } from '../../src/cli/command.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { runCommand, type Ran } from '../support/command.ts'
import { needs, OPENSSL } from '../support/parts.ts'

const MINUTE = 60_000
const DAY = 86_400_000

function setUp(t: TestContext) {
  const cwd = temporaryFolder(t)
  const run = (what: string, ...args: string[]): Promise<Ran> => runCommand(certs, [what, '--dir', 'D', ...args], { cwd })
  const done = async (...args: [string, ...string[]]): Promise<string> => {
    const { status, out, err } = await run(...args)
    assert.deepEqual([status, err], [0, ''])
    return out
  }
  const file = (name: string): string => join(cwd, 'D', name)
  return { cwd, run, done, file, read: (name: string) => readFileSync(file(name), 'utf8'), certificate: (name: string) => new X509Certificate(readFileSync(file(name))) }
}

const SERVER = ['server', '--name', 'hub', '--ip', '127.0.0.1', '--dns', 'localhost'] as const
const CLIENT = ['client', '--name', 'edge'] as const

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8)
}

test('init makes a CA for nothing but certificates of ends, with files that only its owner can use', async (t) => {
  const { cwd, done, file, read, certificate } = setUp(t)
  const before = Date.now()
  const out = await done('init', '--cn', 'Zone A, "the best" = 1')
  assert.match(out, /^wrote D\/ca\.pem\nwrote D\/ca\.key\nwrote D\/crl\.pem\n\nca\.key makes certificates: it stays here[^]*\nnext: waystation certs server --dir D --name hub /)
  assert.deepEqual(readdirSync(join(cwd, 'D')).toSorted(), ['ca.key', 'ca.pem', 'crl.pem', 'index.json'])
  assert.deepEqual([join(cwd, 'D'), file('ca.key'), file('ca.pem'), file('crl.pem')].map(modeOf), ['700', '600', '644', '644'])
  const ca = certificate('ca.pem')
  assert.equal(ca.toLegacyObject().subject.CN, 'Zone A, "the best" = 1')
  assert.deepEqual([ca.ca, ca.verify(ca.publicKey), ca.publicKey.asymmetricKeyDetails?.namedCurve], [true, true, 'prime256v1'])
  assert.ok(Math.abs(ca.validFromDate.getTime() - (before - 5 * MINUTE)) < MINUTE)
  assert.ok(Math.abs(ca.validToDate.getTime() - (before + 3_653 * DAY)) < MINUTE)
  assert.match(read('ca.key'), /^-----BEGIN PRIVATE KEY-----\n/)
  assert.equal(read('index.json').includes('PRIVATE'), false)
})

test('two ends are made in two commands, each for its own use, and the next step is said', async (t) => {
  const { done, file, certificate } = setUp(t)
  const server = await done(...SERVER)
  assert.match(server, /^There was no CA: one is made first\.\nwrote D\/ca\.pem\n[^]*wrote D\/hub\.pem\nwrote D\/hub\.key\n/)
  assert.match(server, /waystation serve --link-port 5555 --link-cacertfile D\/ca\.pem [^]*--link-certfile D\/hub\.pem --link-keyfile D\/hub\.key --link-crlfile D\/crl\.pem\n/)
  const client = await done(...CLIENT)
  assert.match(client, /^wrote D\/edge\.pem\nwrote D\/edge\.key\n\nnext: [^]*cacertfile: 'ca\.pem', certfile: 'edge\.pem', keyfile: 'edge\.key'/)
  await done('server', '--name', 'node', '--ip', '::1', '--ip', '10.0.0.7', '--both')
  const [ca, hub, edge, node] = ['ca.pem', 'hub.pem', 'edge.pem', 'node.pem'].map(certificate) as [X509Certificate, X509Certificate, X509Certificate, X509Certificate]
  const use = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' }
  assert.deepEqual([hub.keyUsage, edge.keyUsage, node.keyUsage], [[use.server], [use.client], [use.server, use.client]])
  assert.deepEqual([hub.subjectAltName, edge.subjectAltName, node.subjectAltName], ['IP Address:127.0.0.1, DNS:localhost', undefined, 'IP Address:0:0:0:0:0:0:0:1, IP Address:10.0.0.7'])
  assert.deepEqual([hub.checkIP('127.0.0.1'), hub.checkHost('localhost'), hub.subject], ['127.0.0.1', 'localhost', 'CN=hub'])
  for (const one of [hub, edge, node]) assert.deepEqual([one.ca, one.checkIssued(ca), one.verify(ca.publicKey), one.serialNumber.length], [false, true, true, 32])
  assert.match(await done('show'), /^node  both .* valid  ::1 10\.0\.0\.7$/m)
  assert.equal(new Set([ca, hub, edge, node].map(({ serialNumber }) => serialNumber)).size, 4)
  assert.deepEqual(['hub.key', 'hub.pem'].map((name) => modeOf(file(name))), ['600', '644'])
})

test('a leaf holds 13 months, as many days as stated, and never longer than the CA', async (t) => {
  const { done, certificate } = setUp(t)
  await done('init', '--days', '400')
  await done(...SERVER)
  await done(...CLIENT, '--days', '10')
  await done('client', '--name', 'long', '--days', '36500')
  const days = (name: string): number => Math.round((certificate(name).validToDate.getTime() - Date.now()) / DAY)
  assert.deepEqual(['hub.pem', 'edge.pem', 'long.pem', 'ca.pem'].map(days), [397, 10, 400, 400])
  assert.equal(certificate('long.pem').validTo, certificate('ca.pem').validTo)
})

test('what is there is written over by --force and renew alone, and a foreign folder is left as it is', async (t) => {
  const { cwd, run, done, read } = setUp(t)
  await done(...SERVER)
  const [key, ca] = [read('hub.key'), read('ca.pem')]
  for (const args of [['init'], [...SERVER], ['client', '--name', 'hub']] as [string, ...string[]][]) {
    const { status, out, err } = await run(...args)
    assert.deepEqual([status, out], [1, ''])
    assert.match(err, /^waystation certs: .* is there already; .*--force/)
  }
  assert.deepEqual([read('hub.key'), read('ca.pem')], [key, ca])
  await done('renew', '--name', 'hub', '--days', '20')
  assert.notEqual(read('hub.key'), key)
  await done(...SERVER, '--force')
  await done('init', '--force')
  assert.notEqual(read('ca.pem'), ca)

  mkdirSync(join(cwd, 'foreign'))
  writeFileSync(join(cwd, 'foreign', 'letter.txt'), 'dear')
  const refused = await runCommand(certs, ['server', '--dir', 'foreign', '--name', 'hub', '--ip', '127.0.0.1'], { cwd })
  assert.deepEqual([refused.status, refused.out], [1, ''])
  assert.match(refused.err, /holds no CA, but other files; "waystation certs init" makes a CA there/)
  for (const [what, ...args] of [['show'], ['renew', '--name', 'hub'], ['revoke', '--name', 'hub']] as [string, ...string[]][]) {
    const none = await runCommand(certs, [what, '--dir', 'nowhere', ...args], { cwd })
    assert.deepEqual([none.status, none.out], [1, ''])
    assert.match(none.err, /nowhere\/ca\.pem is not there: "waystation certs init" makes a CA\n/)
  }
  assert.equal(existsSync(join(cwd, 'nowhere')), false)
})

test('without ca.key certificates are shown and none is made, and a broken one is named', async (t) => {
  const { cwd, run, done, file } = setUp(t)
  await done(...SERVER)
  writeFileSync(file('ca.key'), 'junk')
  for (const args of [[...CLIENT], ['revoke', '--name', 'hub']] as [string, ...string[]][]) {
    assert.deepEqual(await run(...args), { status: 1, out: '', err: `waystation certs: ${file('ca.key')} holds no private key that can be used\n` })
  }
  rmSync(file('ca.key'))
  assert.match(await done('show'), /^hub +server/m)
  const { status, err } = await run(...CLIENT)
  assert.deepEqual([status, err], [1, `waystation certs: ${join(cwd, 'D', 'ca.key')} is not there: bring back the key that belongs to ca.pem; "waystation certs init" with --force makes another CA\n`])
})

test('renewing keeps kind and names, and takes another key', async (t) => {
  const { done, run, certificate } = setUp(t)
  await done(...SERVER, '--ip', '2001:db8::7', '--both')
  const old = certificate('hub.pem')
  assert.match(await done('renew', '--name', 'hub'), /^wrote D\/hub\.pem\nwrote D\/hub\.key\n/)
  const next = certificate('hub.pem')
  assert.deepEqual([next.subjectAltName, next.keyUsage, next.subject], [old.subjectAltName, old.keyUsage, old.subject])
  assert.equal(next.publicKey.equals(old.publicKey), false)
  assert.notEqual(next.serialNumber, old.serialNumber)
  const { status, err } = await run('renew', '--name', 'hbu')
  assert.deepEqual([status, err.includes('has no certificate of the name hbu')], [1, true])
})

test('show prints everything that was issued, with its state; as JSON too', async (t) => {
  const { done, run, file, certificate } = setUp(t)
  await done(...SERVER)
  await done(...CLIENT, '--days', '3')
  await done('client', '--name', 'gone')
  await done('revoke', '--name', 'gone')
  const until = certificate('hub.pem').validToDate.toISOString()
  assert.match(await done('show'), new RegExp(`^name  kind    until       state                  names\nca    ca      \\d{4}-\\d\\d-\\d\\d  valid\nhub   server  ${until.slice(0, 10)}  valid                  127\\.0\\.0\\.1 localhost\nedge  client  .{10}  valid for 3 more days\ngone  client  .{10}  revoked\n$`))
  const hub = certificate('hub.pem')
  assert.equal(await done('show', '--name', 'hub'), [
    'name:    hub', 'kind:    server', 'names:   127.0.0.1 localhost', `from:    ${hub.validFromDate.toISOString()}`, `until:   ${until}`, 'state:   valid',
    `serial:  ${hub.serialNumber.toLowerCase()}`, `sha256:  ${hub.fingerprint256}`, '',
  ].join('\n'))
  const rows = (await done('show', '--json')).trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.deepEqual(rows.map(({ name, kind, state }) => [name, kind, state]), [['ca', 'ca', 'valid'], ['hub', 'server', 'valid'], ['edge', 'client', 'valid for 3 more days'], ['gone', 'client', 'revoked']])
  assert.deepEqual([rows[1]?.['fingerprint'], rows[1]?.['until'], typeof rows[3]?.['revokedAt']], [hub.fingerprint256, until, 'string'])
  const { status, err } = await run('show', '--name', 'egde')
  assert.deepEqual([status, err], [1, 'waystation certs: there is no certificate of the name "egde"; did you mean edge?\n'])
  rmSync(file('index.json'))
  assert.match(await done('show'), /^hub   server/m, 'the certificates that lie there are found without the index')
})

test('what openssl says of the CA, of certificates and of the list agrees with what was asked for', needs(OPENSSL), async (t) => {
  const { cwd, done } = setUp(t)
  await done(...SERVER)
  await done(...CLIENT)
  await done('client', '--name', 'gone')
  const openssl = (...args: string[]): string => execFileSync(OPENSSL.path as string, args, { cwd: join(cwd, 'D'), encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  const verify = (purpose: string, name: string): string => {
    try {
      return openssl('verify', '-x509_strict', '-crl_check_all', '-CAfile', 'ca.pem', '-CRLfile', 'crl.pem', '-purpose', purpose, name).trim()
    } catch (error) {
      return /error \d+ at .*/.exec(String((error as { stderr: unknown }).stderr))?.[0] ?? 'no'
    }
  }
  assert.equal(verify('sslserver', 'hub.pem'), 'hub.pem: OK', 'the list is there from the start')
  await done('revoke', '--name', 'gone')
  assert.deepEqual([verify('sslserver', 'hub.pem'), verify('sslclient', 'edge.pem')], ['hub.pem: OK', 'edge.pem: OK'])
  for (const [purpose, name, says] of [['sslclient', 'hub.pem', /purpose/], ['sslserver', 'edge.pem', /purpose/], ['sslclient', 'gone.pem', /certificate revoked/]] as const) assert.match(verify(purpose, name), says)
  const text = (name: string): string => openssl('x509', '-noout', '-text', '-in', name).replace(/\s+/g, ' ')
  assert.match(text('ca.pem'), /ecdsa-with-SHA256 .*NIST CURVE: P-256 .*Basic Constraints: critical CA:TRUE, pathlen:0 .*Key Usage: critical Certificate Sign, CRL Sign .*Subject Key Identifier: [0-9A-F]/)
  assert.match(text('hub.pem'), /Subject: CN ?= ?hub .*NIST CURVE: P-256 .*Basic Constraints: critical CA:FALSE .*Key Usage: critical Digital Signature .*Extended Key Usage: TLS Web Server Authentication .*Alternative Name: IP Address:127\.0\.0\.1, DNS:localhost .*Subject Key Identifier: .*Authority Key Identifier: /)
  const list = openssl('crl', '-noout', '-text', '-in', 'crl.pem').replace(/\s+/g, ' ')
  assert.match(list, /CRL Number: 2 .*Revoked Certificates: Serial Number: [0-9A-F]{32} /)
  assert.match(openssl('crl', '-noout', '-CAfile', 'ca.pem', '-in', 'crl.pem', '-nextupdate'), new RegExp(`nextUpdate=${openssl('x509', '-noout', '-enddate', '-in', 'ca.pem').trim().slice('notAfter='.length)}`))
})

test('revoking by name takes back all that are valid, by number one; who is on the list stays on it', async (t) => {
  const { cwd, done, run, read, file, certificate } = setUp(t)
  await done(...CLIENT)
  const first = certificate('edge.pem').serialNumber.toLowerCase()
  await done('renew', '--name', 'edge')
  const second = certificate('edge.pem').serialNumber.toLowerCase()
  const colons = first.toUpperCase().replace(/(..)(?=.)/g, '$1:')
  assert.match(await done('revoke', '--serial', colons), new RegExp(`^revoked: edge, number ${first}\n\nnext: copy D/crl\\.pem to every hub`))
  assert.match((await done('show', '--name', 'edge')), /state: +revoked[^]*state: +valid/)
  rmSync(file('index.json'))
  await done('client', '--name', 'other')
  assert.match(await done('revoke', '--name', 'edge'), new RegExp(`^revoked: edge, number ${second}\n\n`))
  const { X509Crl } = await import('@peculiar/x509')
  assert.deepEqual(new X509Crl(read('crl.pem')).entries.map(({ serialNumber }) => serialNumber).toSorted(), [first, second].toSorted(), 'also when the index was lost in between')
  const renewed = await run('renew', '--name', 'edge')
  assert.deepEqual([renewed.status, renewed.err], [1, 'waystation certs: the certificate of edge is revoked; "waystation certs client" with --force makes another one\n'])
  for (const [args, says] of [[['--name', 'nobody'], /has no certificate of the name nobody that is valid today/], [['--serial', 'ab12'], /has no certificate of the number ab12/]] as const) {
    const { status, err } = await run('revoke', ...args)
    assert.deepEqual([status, says.test(err)], [1, true])
  }
  await runCommand(certs, ['init', '--dir', 'E'], { cwd })
  writeFileSync(file('crl.pem'), readFileSync(join(cwd, 'E', 'crl.pem')))
  const foreign = await run('revoke', '--name', 'other')
  assert.deepEqual([foreign.status, /crl\.pem cannot be used: it is not signed by the CA; moved away/.test(foreign.err)], [1, true])
  for (const [name, says] of [['crl.pem', /crl\.pem cannot be used: .*moved away, it is made anew/], ['index.json', /index\.json cannot be understood; moved away/]] as const) {
    writeFileSync(file(name), '{}')
    const { status, err } = await run('revoke', '--name', 'other')
    assert.deepEqual([status, says.test(err)], [1, true], err)
  }
})

test('a command line that cannot be understood is answered with everything that is wrong, and nothing is written', async (t) => {
  const { cwd, run } = setUp(t)
  const wrong: [string[], RegExp][] = [
    [[], /say whose it is: waystation certs server --dir DIR --name NAME; state the addresses and names that it is reached by, with --ip and --dns/],
    [['--name', 'hub', '--ip', 'localhost'], /--ip is no IP address: "localhost"; a name is stated with --dns/],
    [['--name', 'hub', '--ip', 'fe80::1%eth0'], /--ip is no IP address/],
    [['--name', 'hub', '--dns', 'a b'], /--dns is no DNS name: "a b"/],
    [['--name', 'hub', '--dns', 'bücher.example'], /--dns is no DNS name: "bücher.example"; in certificates it is written xn--bcher-kva\.example/],
    [['--name', 'hub', '--ip', '127.0.0.1', '--days', '0'], /--days must be a number from 1 to 36500, not "0"/],
    [['--name', 'hub', '--ip', '127.0.0.1', '--days', '1e3'], /--days must be/],
    [['--name', 'hub', '--ip', '127.0.0.1', '--serial', '12'], /--serial is no option of server/],
    [['--name', 'hub', '--ip', '127.0.0.1', 'more'], /"more" is one word too many/],
    [['--name', 'hub', '--ipp', '127.0.0.1'], /--ipp is no option; did you mean --ip\?/],
    ...['', '../up', 'a/b', 'a\\b', '.hidden', 'ca', 'CA', 'crl', 'a\nb', 'x'.repeat(65), '🛰'.repeat(17)].map((name): [string[], RegExp] => [['--ip', '127.0.0.1', '--name', name], /--name must not /]),
  ]
  for (const [args, says] of wrong) {
    const { status, out, err } = await run('server', ...args)
    assert.deepEqual([status, out], [2, ''], args.join(' '))
    assert.match(err, says)
  }
  for (const [args, says] of [[[], /say what to do: init, server/], [['shwo', '--dir', 'D'], /"shwo" is none of .*did you mean show\?/], [['init'], /say in which folder: waystation certs init --dir DIR/], [['init', '--dir', 'D', '--cn', ''], /--cn must not be empty/], [['revoke', '--dir', 'D', '--serial', 'xyz'], /--serial is no serial number/], [['revoke', '--dir', 'D', '--serial', '1', '--name', 'a'], /not both/]] as const) {
    const { status, err } = await runCommand(certs, args, { cwd })
    assert.deepEqual([status, says.test(err)], [2, true], err)
  }
  assert.deepEqual(readdirSync(cwd), [])
})

test('names in other scripts, with spaces and with quotes are taken as they are, and the next step is quoted', async (t) => {
  const { done, certificate } = setUp(t)
  const name = `Büro "Nord", it's #1`
  assert.match(await done('server', '--name', name, '--ip', '127.0.0.1'), /--link-certfile 'D\/Büro "Nord", it'\\''s #1\.pem'/)
  assert.match(await done('client', '--name', `${name}+`), /certfile: 'Büro "Nord", it\\'s #1\+\.pem'/)
  assert.equal(certificate(`${name}.pem`).toLegacyObject().subject.CN, name)
  assert.match(await done('show'), /^Büro "Nord", it's #1 +server/m)
})

test('a server without an address is told that clients of PonyExpress check it', async (t) => {
  const { run } = setUp(t)
  const { status, err } = await run('server', '--name', 'hub', '--dns', 'localhost')
  assert.deepEqual([status, err], [0, 'It holds no IP address; Elixir clients of PonyExpress check the address that they connect to, and need one (--ip).\n'])
})

test('a folder that cannot be written to is said, and no half file is left', async (t) => {
  const { run, done, cwd } = setUp(t)
  await done(...CLIENT)
  // Whoever may write everywhere (root) is stopped by a folder in the place of the file that is written first.
  mkdirSync(join(cwd, 'D', '.other.key.unfinished', 'x'), { recursive: true })
  chmodSync(join(cwd, 'D', '.other.key.unfinished'), 0o500)
  const { status, err } = await run('client', '--name', 'other')
  assert.deepEqual([status, err.startsWith('waystation certs: ')], [1, true], err)
  assert.deepEqual(readdirSync(join(cwd, 'D')).filter((name) => name.startsWith('other')), [])
})

test('the help says what each word does', () => {
  const help = helpOf(certs)
  for (const word of Object.keys(certs.words ?? {})) assert.match(help, new RegExp(`^  ${word} +\\w`, 'm'))
  assert.deepEqual(help.split('\n').filter((line) => line.length > 80), [])
})
