import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createHash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { prove, readScheme, type Scheme } from '../../src/protocol/lonelyps/authorization.ts'
import { claims } from '../../src/protocol/lonelyps/claims.ts'
import { encodeNotifyPrefix } from '../../src/protocol/lonelyps/requests.ts'
import { parseNotifyResponse } from '../../src/protocol/lonelyps/responses.ts'
import { parseSecrets, type Secrets } from '../../src/protocol/lonelyps/secrets.ts'
import { setup } from '../../src/cli/setup.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { runCommand } from '../support/command.ts'
import { post, type Reply } from '../support/lonelyps.ts'
import { waystation } from '../support/process.ts'

const FILES = ['broadcaster-secrets.json', 'subscriber-secrets.json', 'waystation.config.ts']
const NONE = Buffer.alloc(0)

/** In this process: one of its own takes half a second. */
async function setUp(t: TestContext, args: readonly string[] = [], cwd = temporaryFolder(t)): Promise<{ folder: string; code: number | null; out: string; err: string }> {
  const { status, out, err } = await runCommand(setup, args, { cwd })
  return { folder: cwd, code: status, out, err }
}

function secretsIn(folder: string): Secrets {
  const secrets = parseSecrets(readFileSync(join(folder, 'subscriber-secrets.json'), 'utf8'))
  assert.ok(typeof secrets !== 'string', 'the secrets can be read')
  return secrets
}

function secretTexts(folder: string): string[] {
  const file = JSON.parse(readFileSync(join(folder, 'broadcaster-secrets.json'), 'utf8')) as Record<string, { secret?: string }>
  return Object.values(file).flatMap(({ secret }) => secret ?? [])
}

/** Starts what was set up on a free port of this machine. */
async function start(t: TestContext, folder: string, cwd = folder): Promise<number> {
  const config = cwd === folder ? [] : ['--config', join(folder, 'waystation.config.ts')]
  const hub = waystation(t, ['serve', '--addr', '127.0.0.1:0', ...config], { cwd })
  await hub.says(/(publish|lonelyps): .*\n/)
  return Number(/127\.0\.0\.1:(\d+)/.exec(hub.stdout())?.[1])
}

function notify(port: number, scheme: Scheme): Promise<Reply> {
  const message = Buffer.from('hello')
  const head = { topic: Buffer.from('foo/bar'), identifier: randomBytes(4), sha512: createHash('sha512').update(message).digest(), tracing: NONE }
  const proof = prove(scheme, claims.notify(head), { now: Math.floor(Date.now() / 1_000), nonce: randomBytes(4).toString('base64url') })
  return post(port, '/v1/notify', Buffer.concat([encodeNotifyPrefix({ ...head, length: BigInt(message.length) }), message]), proof)
}

test('what setup writes starts at once, lets in whoever signs with its secrets, and keeps out all others', async (t) => {
  const { folder, code, out, err } = await setUp(t)
  assert.deepEqual([code, err], [0, ''])
  assert.deepEqual(readdirSync(folder).sort(), FILES)
  for (const secret of secretTexts(folder)) assert.ok(!out.includes(secret), 'no secret is printed')
  assert.match(out, /^to broadcasters: +hmac, with a new secret$/m)
  assert.match(out, /^next: waystation serve$/m)
  const { toBroadcaster } = secretsIn(folder)
  assert.equal(toBroadcaster.type, 'hmac')

  const port = await start(t, folder)
  const signed = await notify(port, toBroadcaster)
  assert.deepEqual([signed.status, parseNotifyResponse(signed.body)?.subscribers], [200, 0])
  assert.equal((await notify(port, { type: 'none' })).status, 401)
  assert.equal((await notify(port, { type: 'hmac', key: randomBytes(64) })).status, 403)
  assert.equal((await fetch(`http://127.0.0.1:${port}/foo/bar`, { method: 'POST', body: 'x' })).status, 403, 'no way around the signature')
  assert.ok(existsSync(join(folder, 'waystation-data', 'waystation.db')))
})

test('the files are for their owner alone, and both directions have secrets of their own, 64 bytes each', async (t) => {
  const { folder } = await setUp(t)
  for (const file of FILES) assert.equal(statSync(join(folder, file)).mode & 0o777, 0o600, file)
  const texts = secretTexts(folder)
  assert.equal(new Set(texts).size, 2)
  for (const text of texts) assert.match(text, /^[A-Za-z0-9_-]{86}$/)
  assert.equal(readFileSync(join(folder, FILES[0] as string), 'utf8'), readFileSync(join(folder, FILES[1] as string), 'utf8'))
})

test('every pair of schemes starts with its secrets, and for none anyone is let in, with a warning', async (t) => {
  const types = ['hmac', 'token', 'none'] as const
  for (const [i, type] of types.entries()) {
    const back = types[(i + 1) % types.length] as string
    const { folder, out } = await setUp(t, ['--to-broadcasters-auth', type, '--to-subscribers-auth', back])
    const secrets = secretsIn(folder)
    assert.deepEqual([secrets.toBroadcaster.type, secrets.toSubscriber.type], [type, back])
    const port = await start(t, folder)
    assert.equal((await notify(port, secrets.toBroadcaster)).status, 200, type)
    assert.equal((await fetch(`http://127.0.0.1:${port}/foo/bar`, { method: 'POST', body: 'x' })).status, type === 'none' ? 200 : 403)
    assert.equal(/^warning: anyone/m.test(out), type === 'none')
    assert.equal(/WARNING/.test(readFileSync(join(folder, 'waystation.config.ts'), 'utf8')), type === 'none')
    const check = waystation(t, ['check'], { cwd: folder })
    await check.exited
    assert.match(check.stdout(), type === 'none' ? /^toBroadcastersAuth +"none" +\(waystation/m : /^toBroadcastersAuth +"local"$/m)
  }
})

test('a secret that is given is kept to the letter', async (t) => {
  const hmac = `${randomBytes(64).toString('base64url')}==`
  const given = ['--to-broadcasters-secret', hmac, '--to-subscribers-auth', 'token', '--to-subscribers-secret', 'a "quoted" \\ secret']
  const { folder, out } = await setUp(t, given)
  assert.deepEqual(secretTexts(folder), [hmac, 'a "quoted" \\ secret'])
  assert.match(out, /^to subscribers: +token, with the secret that was given$/m)
  assert.ok(!out.includes(hmac) && !out.includes('quoted'))
  assert.deepEqual(secretsIn(folder).toBroadcaster, readScheme('hmac', hmac))
})

test('check shows no secret of a hub that was set up', async (t) => {
  const { folder } = await setUp(t)
  const check = waystation(t, ['check'], { cwd: folder })
  assert.deepEqual(await check.exited, { code: 0, signal: null })
  assert.match(check.stdout(), /^addr +":3003" +\(waystation\.config\.ts\)$/m)
  assert.match(check.stdout(), /^secretsFile .*broadcaster-secrets\.json/m)
  for (const secret of secretTexts(folder)) assert.ok(!(check.stdout() + check.stderr()).includes(secret))
})

test('a second setup refuses, names what is there and leaves it as it is', async (t) => {
  const { folder } = await setUp(t)
  const before = FILES.map((file) => readFileSync(join(folder, file), 'utf8'))
  const second = await setUp(t, [], folder)
  assert.deepEqual([second.code, second.out], [1, ''])
  for (const file of FILES) assert.ok(second.err.includes(join(folder, file)), second.err)
  assert.deepEqual(FILES.map((file) => readFileSync(join(folder, file), 'utf8')), before)
})

for (const file of FILES) {
  test(`with a ${file} in the folder nothing is written`, async (t) => {
    const folder = temporaryFolder(t)
    writeFileSync(join(folder, file), 'mine')
    const { code, err } = await setUp(t, [], folder)
    assert.equal(code, 1)
    assert.ok(err.includes(`${file} is there already`), err)
    assert.deepEqual(readdirSync(folder), [file])
    assert.equal(readFileSync(join(folder, file), 'utf8'), 'mine')
  })
}

test('where the last of the files cannot be made the others are taken away again, and no link is followed', async (t) => {
  const folder = temporaryFolder(t)
  const elsewhere = join(temporaryFolder(t), 'elsewhere')
  symlinkSync(elsewhere, join(folder, 'subscriber-secrets.json'))
  const { code, err } = await setUp(t, [], folder)
  assert.equal(code, 1)
  assert.match(err, /^waystation setup: EEXIST.*subscriber-secrets\.json.*Nothing was left behind\.\n$/)
  assert.deepEqual([readdirSync(folder), existsSync(elsewhere)], [['subscriber-secrets.json'], false])
})

test('--dir is made when it is missing, and its configuration works from anywhere', async (t) => {
  const { folder: above, code, out } = await setUp(t, ['--dir', 'hubs/one'])
  assert.equal(code, 0)
  assert.match(out, /^next: cd hubs\/one && waystation serve$/m)
  const folder = join(above, 'hubs/one')
  const port = await start(t, folder, temporaryFolder(t))
  assert.equal((await notify(port, secretsIn(folder).toBroadcaster)).status, 200)
  assert.ok(existsSync(join(folder, 'waystation-data')))
})

test('a folder that cannot be made is told in one line', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'file'), '')
  const { code, err } = await setUp(t, ['--dir', 'file/sub'], folder)
  assert.equal(code, 1)
  assert.match(err, /^waystation setup: ENOTDIR.*\n$/)
})

test('in a CommonJS package, where Node could not read the configuration, nothing is written', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'package.json'), '{"type": "commonjs"}')
  const { code, err } = await setUp(t, ['--dir', 'hub'], folder)
  assert.equal(code, 1)
  assert.match(err, /package\.json has the type "commonjs"/)
  assert.deepEqual(readdirSync(folder), ['package.json'])
  mkdirSync(join(folder, 'module'))
  writeFileSync(join(folder, 'module', 'package.json'), '{"type": "module"}')
  assert.equal((await setUp(t, ['--dir', 'module/hub'], folder)).code, 0)
})

for (const [args, written, shown] of [
  [['--db', 'postgres'], 'postgres://127.0.0.1:5432/waystation', 'postgres://127.0.0.1:5432/waystation'],
  [['--db', 'rqlite'], 'rqlite://127.0.0.1:4001', 'rqlite://127.0.0.1:4001'],
  [['--db', 'postgres', '--database', 'postgresql://hub:s3cret@db/x'], 'postgresql://hub:s3cret@db/x', 'postgresql://hub:***@db/x'],
  [['--database', 'rqlite://a:1,b:2'], 'rqlite://a:1,b:2', 'rqlite://a:1,b:2'],
] as const) {
  test(`with ${args.join(' ')} the configuration names that database, and its password is not printed`, async (t) => {
    const { folder, code, out, err } = await setUp(t, args)
    assert.deepEqual([code, err], [0, ''])
    assert.ok(out.includes(`database:         ${shown}\n`), out)
    assert.ok(!out.includes('s3cret'))
    const { default: config } = (await import(join(folder, 'waystation.config.ts'))) as { default: { database?: string } }
    assert.equal(config.database, written)
  })
}

test('a SQLite file is meant from where setup is run', async (t) => {
  const { folder, code } = await setUp(t, ['--dir', 'hub', '--database', 'shared.db'])
  assert.equal(code, 0)
  const { default: config } = (await import(join(folder, 'hub', 'waystation.config.ts'))) as { default: { database?: string } }
  assert.equal(config.database, join(folder, 'shared.db'))
})

const mistakes: [string[], RegExp][] = [
  [['--bd', 'sqlite'], /--bd is no option; did you mean --db\?/],
  [['hub'], /"hub" is no option; options begin with --/],
  [['--dir'], /--dir wants a value/],
  [['--db', 'postgres', '--database', 'a.db'], /--database is sqlite, and --db postgres/],
  [['--database', 'mysql://u:s3cret@h/d'], /--database begins with mysql:\/\/, which is none of/],
  [['--db', 'sqlit'], /--db must be one of sqlite, rqlite, postgres, not "sqlit"; did you mean sqlite\?/],
  [['--to-broadcasters-auth', 'hmca'], /--to-broadcasters-auth must be one of hmac, token, none, not "hmca"; did you mean hmac\?/],
  [['--to-broadcasters-secret', 'QX7'], /--to-broadcasters-secret cannot be used: The secret of hmac must be 64 bytes/],
  [['--to-subscribers-secret', randomBytes(63).toString('base64url')], /--to-subscribers-secret cannot be used: The secret of hmac must be 64 bytes/],
  [['--to-subscribers-auth', 'none', '--to-subscribers-secret', 'QX7'], /--to-subscribers-secret cannot be used: The scheme none takes no secret/],
  [['--to-subscribers-auth', 'token', '--to-subscribers-secret', ''], /--to-subscribers-secret cannot be used: The secret of a token must be/],
]
for (const [args, expected] of mistakes) {
  test(`"waystation setup ${args.map((arg) => arg.slice(0, 24)).join(' ')}" says what is wrong without the secret, ends with 2 and writes nothing`, async (t) => {
    const { folder, code, out, err } = await setUp(t, args)
    assert.deepEqual([code, out], [2, ''])
    assert.match(err, expected)
    assert.doesNotMatch(err, /QX7|\n +at /)
    assert.deepEqual(readdirSync(folder), [])
  })
}
