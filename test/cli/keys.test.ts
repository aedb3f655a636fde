import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import { keys } from '../../src/cli/keys.ts'
import { createKeys } from '../../src/core/keys.ts'
import { createSqliteRegistry } from '../../src/registry/sqlite/registry.ts'
import { realClock } from '../../src/server/real-world.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { runCommand, type Ran } from '../support/command.ts'

interface Table {
  readonly file: string
  run(...args: string[]): Promise<Ran>
  /** With --json: the one object that is printed. */
  json(...args: string[]): Promise<Record<string, unknown>>
  /** Whether the hub lets a key in. */
  check(key: unknown, domain: string): Promise<string>
  rows(): Record<string, unknown>[]
}

function table(t: TestContext): Table {
  const file = join(temporaryFolder(t), 'keys.db')
  const run = (...args: string[]): Promise<Ran> => runCommand(keys, [...args, '--database', file], { cwd: temporaryFolder(t) })
  return {
    file,
    run,
    async json(...args) {
      const { status, out, err } = await run(...args, '--json')
      assert.deepEqual([status, err, out.split('\n').length], [0, '', 2], err)
      return JSON.parse(out)
    },
    async check(key, domain) {
      const registry = createSqliteRegistry({ file, clock: realClock })
      const checked = await createKeys({ table: registry, clock: realClock, limits: { maxCachedKeys: 1, keyCacheTime: 1, maxKeyChecks: 1 }, failed: assert.ifError }).check(String(key), domain)
      await registry.close()
      return checked
    },
    rows() {
      const database = new DatabaseSync(file)
      const all = database.prepare('SELECT * FROM apikeys ORDER BY id').all()
      database.close()
      return all
    },
  }
}

test('a key that was added lets in, is printed once and kept as its hash alone', async (t) => {
  const { json, check, rows } = table(t)
  const key = await json('add', '--domain', 'acme', '--username', 'hello@world.com')
  assert.deepEqual({ ...key, apikey: '' }, { domain: 'acme', username: 'hello@world.com', apikey: '' })
  assert.match(String(key['apikey']), /^ws_[\w-]{32}$/)
  assert.equal(await check(key['apikey'], 'acme'), 'good')
  const [row] = rows()
  assert.deepEqual([row?.['apikey'], Buffer.from(row?.['apikey_sha256'] as Uint8Array)], [null, hash('sha256', String(key['apikey']), 'buffer')])
})

test('for people, a new key stands on stdout, and that it is not shown again on stderr', async (t) => {
  const { run, check, file } = table(t)
  const { status, out, err } = await run('add', '--domain', 'acme')
  assert.equal(status, 0)
  assert.equal(await check(/^domain: {4}acme\nusername: {2}\napikey: {4}(\S+)\n$/.exec(out)?.[1], 'acme'), 'good')
  assert.equal(err, `The key is shown this once; what is kept, in ${file}, is its hash.\n`)
})

test('to rotate a key lets in with the new one alone, revoked or not; to revoke lets nobody in; to remove frees the domain', async (t) => {
  const { run, json, check, rows } = table(t)
  const first = await json('add', '--domain', 'acme', '--username', 'u')
  const second = await json('rotate', '--domain', 'acme')
  assert.deepEqual({ ...second, apikey: '' }, { domain: 'acme', username: 'u', apikey: '' })
  assert.deepEqual([await check(first['apikey'], 'acme'), await check(second['apikey'], 'acme')], ['bad', 'good'])
  assert.equal((await run('revoke', '--domain', 'acme')).status, 0)
  assert.equal(await check(second['apikey'], 'acme'), 'bad')
  assert.equal((await json('show', '--domain', 'acme'))['active'], false)
  assert.equal(await check((await json('rotate', '--domain', 'acme'))['apikey'], 'acme'), 'good')
  assert.equal((await run('remove', '--domain', 'acme')).status, 0)
  assert.deepEqual(rows(), [])
})

test('a domain that has a key is not given another by adding', async (t) => {
  const { run, json, check } = table(t)
  const key = await json('add', '--domain', 'acme')
  const { status, out, err } = await run('add', '--domain', 'acme')
  assert.deepEqual([status, out], [1, ''])
  assert.match(err, /"acme" has a key already; "waystation keys rotate"/)
  assert.equal(await check(key['apikey'], 'acme'), 'good')
})

test('what is listed and shown is never a key nor a hash, whoever made the row', async (t) => {
  const { file, run, json } = table(t)
  const { apikey } = await json('add', '--domain', 'acme', '--username', 'u')
  const plain = 'f47ac10b-58cc-4372-a567-0e02b2c3d479'
  const database = new DatabaseSync(file)
  database.prepare("INSERT INTO apikeys (domain, username, apikey, insert_ts) VALUES ('test', 'hello@world.com', ?, '2015-03-04 05:06:07')").run(plain)
  const [row] = database.prepare('SELECT apikey_sha256 FROM apikeys WHERE domain = ?').all('acme')
  database.close()
  const listed = await run('list')
  assert.match(listed.out, /^domain +username +since +active +stored\nacme +u +\S+Z +yes +hashed\ntest +hello@world.com +2015-03-04T05:06:07.000Z +no +plain\n$/)
  const lines = (await run('list', '--json')).out.trim().split('\n').map((line) => JSON.parse(line))
  assert.deepEqual(lines.map((line) => Object.keys(line)), [0, 1].map(() => ['domain', 'username', 'insertedAt', 'active', 'hashed']))
  assert.deepEqual(lines[1], { domain: 'test', username: 'hello@world.com', insertedAt: '2015-03-04T05:06:07.000Z', active: false, hashed: false })
  assert.deepEqual((await run('list', '--username', 'u', '--json')).out.trim().split('\n').length, 1)
  const all = await Promise.all([['list'], ['list', '--json'], ['show', '--domain', 'test'], ['show', '--domain', 'acme', '--json'], ['revoke', '--domain', 'test'], ['add', '--domain', 'test'], ['remove', '--domain', 'test', '--json']].map((args) => run(...args)))
  const hashBytes = Buffer.from(row?.['apikey_sha256'] as Uint8Array)
  for (const { out, err } of all) for (const secret of [plain, String(apikey), ...(['hex', 'base64', 'base64url'] as const).map((code) => hashBytes.toString(code))]) assert.ok(!(out + err).includes(secret), out + err)
})

test('many keys are listed page by page, under one line of names', async (t) => {
  const { file, run } = table(t)
  const registry = createSqliteRegistry({ file, clock: realClock })
  await registry.restore(Array.from({ length: 2_100 }, (_, i) => ({ type: 'key', domain: `domain ${i}`, username: '', apikey: `${i}`, sha256: undefined, insertedAt: 0, active: true })))
  await registry.close()
  const lines = (await run('list')).out.trim().split('\n')
  assert.equal(lines.length, 2_101)
  assert.equal(lines.filter((line) => line.startsWith('domain  ')).length, 1)
})

test('a domain without a key is said to be that, with the one that may have been meant', async (t) => {
  const { run } = table(t)
  await run('add', '--domain', 'acme')
  for (const what of ['show', 'revoke', 'rotate', 'remove']) {
    const { status, out, err } = await run(what, '--domain', 'acne')
    assert.deepEqual([status, out, err], [1, '', 'waystation keys: the domain "acne" has no key; did you mean "acme"?\n'], what)
  }
  assert.deepEqual((await run('show', '--domain', "'; DROP TABLE apikeys; --\u001b[2J")).err, 'waystation keys: the domain "\'; DROP TABLE apikeys; --\\x1b[2J" has no key\n')
})

test('before anything was made there are no keys, and none is made by looking', async (t) => {
  const { run, file } = table(t)
  assert.deepEqual(await run('list'), { status: 0, out: '', err: `there are no keys: ${file}: there is no such database\n` })
  assert.equal((await run('rotate', '--domain', 'acme')).status, 1)
})

const refused: [string, string[], RegExp][] = [
  ['no word', [], /say what to do: add, list/],
  ['an unknown word', ['lst'], /"lst" is none of add.*; did you mean list\?/],
  ['a word too many', ['add', 'acme'], /"acme" is one word too many.*--domain/],
  ['no domain', ['rotate'], /waystation keys rotate --domain/],
  ['an empty domain', ['add', '--domain', ''], /must not be empty/],
  ['a slash', ['add', '--domain', 'a/b'], /must not hold a slash/],
  ['a line break', ['add', '--domain', 'a\nb'], /control characters/],
  ['a domain that is too long', ['add', '--domain', 'x'.repeat(65)], /more than 64/],
  ['a domain that no URL can hold', ['add', '--domain', '..'], /cannot stand in a URL/],
  ['a user name that is too long', ['add', '--domain', 'a', '--username', 'x'.repeat(255)], /more than 254/],
  ['a flag of another word', ['revoke', '--domain', 'a', '--username', 'u'], /--username is no option of revoke/],
  ['an unknown flag', ['list', '--domian', 'a'], /--domian is no option; did you mean --domain\?/],
]

test('what cannot be meant is refused with 2, and nothing is made', async (t) => {
  const { run, file } = table(t)
  for (const [name, args, expected] of refused) {
    const { status, out, err } = await run(...args)
    assert.deepEqual([status, out], [2, ''], name)
    assert.match(err, expected, name)
  }
  assert.equal(existsSync(file), false)
  assert.equal((await run('add', '--domain', '😀'.repeat(64), '--username', 'ü'.repeat(254))).status, 0)
})

test('a database that cannot be used is one clear line', async (t) => {
  const { file, run } = table(t)
  writeFileSync(file, 'these are my notes\n'.repeat(100))
  const { status, out, err } = await run('add', '--domain', 'acme')
  assert.deepEqual([status, out, err.trim().split('\n').length], [1, '', 1])
  assert.match(err, /keys\.db: it is no SQLite database/)
})

test('the database is that of the configuration file, the environment or the flags', async (t) => {
  const cwd = temporaryFolder(t)
  writeFileSync(join(cwd, 'waystation.config.json'), JSON.stringify({ database: join(cwd, 'file.db') }))
  const env = { WAYSTATION_DATABASE: join(cwd, 'env.db') }
  assert.equal((await runCommand(keys, ['add', '--domain', 'a'], { cwd })).status, 0)
  assert.equal((await runCommand(keys, ['add', '--domain', 'b'], { cwd, env })).status, 0)
  assert.equal((await runCommand(keys, ['add', '--domain', 'c', '--data-dir', join(cwd, 'data'), '--database', ''], { cwd })).status, 0)
  for (const [domain, file] of [['a', 'file.db'], ['b', 'env.db'], ['c', 'data/waystation.db']] as const) {
    const { out } = await runCommand(keys, ['list', '--json', '--database', join(cwd, file)], { cwd })
    assert.equal(JSON.parse(out).domain, domain)
  }
})

test('who asks in another folder than the hub\'s is told that there is no database, and none is made', async (t) => {
  const { run, file } = table(t)
  for (const what of ['show', 'revoke', 'rotate', 'remove']) {
    assert.deepEqual(await run(what, '--domain', 'acme'), { status: 1, out: '', err: `waystation keys: ${file}: there is no such database; state that of the hub, with --database or --data-dir\n` }, what)
  }
  assert.equal(existsSync(file), false)
})
