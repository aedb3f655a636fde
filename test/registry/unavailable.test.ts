import assert from 'node:assert/strict'
import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { WaystationError } from '../../src/core/errors.ts'
import type { Registration } from '../../src/core/registry.ts'
import { PIECE } from '../../src/registry/sqlite/pack.ts'
import { realClock } from '../../src/server/real-world.ts'
import { run } from '../support/process.ts'
import { databasePath, exact, openRegistry, shell, startAndKeep, targets, URL } from './open-registry.ts'

const SCRIPT = join(import.meta.dirname, 'registering.ts')

function unavailable(...said: (string | RegExp)[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof WaystationError)
    assert.equal(error.code, 'registry_unavailable')
    for (const one of said) assert.ok(typeof one === 'string' ? error.message.includes(one) : one.test(error.message), error.message)
    assert.ok(error.cause instanceof Error, 'the cause is missing')
    return true
  }
}

test('while another program holds the database, writing is refused after the busy timeout, the hub goes on, and reading works', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file, { busyTimeout: 200 })
  const told = await startAndKeep(registry)
  await registry.add(URL, exact('before'))
  const other = shell(t, file)
  other.exec('BEGIN IMMEDIATE')
  const began = performance.now()
  let settled = false
  const refusals = Promise.all([
    assert.rejects(registry.add(URL, exact('a')), unavailable(file, /locked by another program/)),
    assert.rejects(async () => registry.remember(Buffer.from('s'), 1, realClock.now() + 60_000), unavailable(file)),
  ]).finally(() => (settled = true))
  let turns = 0
  for (; !settled; turns++) await turn()
  await refusals
  assert.ok(performance.now() - began >= 150, 'it did not wait for the lock')
  assert.ok(turns > 10, `the event loop stood still: ${turns} turns`)
  assert.equal((await registry.list(URL)).length, 1)
  other.exec('COMMIT')
  assert.equal(await registry.add(URL, exact('a')), true)
  assert.equal(await registry.remember(Buffer.from('s'), 1, realClock.now() + 60_000), true)
  assert.deepEqual(targets(told), ['a', 'before'])
})

test('who reads at the same time need not wait for the lock that a writer waits for', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file, { busyTimeout: 200 })
  await registry.add(URL, exact('before'))
  const other = shell(t, file)
  other.exec('BEGIN IMMEDIATE')
  const pairs = Array.from({ length: 5 }, (_, i) => [registry.add(URL, exact(`${i}`)), registry.list(URL)] as const)
  const results = await Promise.all(pairs.map((pair) => Promise.allSettled(pair)))
  assert.deepEqual(results.map((pair) => pair.map((one) => one.status)), pairs.map(() => ['rejected', 'fulfilled']))
  other.exec('COMMIT')
})

test('who came while another waited for the lock in vain does not wait again', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file, { busyTimeout: 500 })
  await registry.add(URL, exact('before'))
  const other = shell(t, file)
  other.exec('BEGIN IMMEDIATE')
  const first = registry.add(URL, exact('first')).catch(() => other.exec('COMMIT'))
  // Any time while the first one waits.
  for (const end = performance.now() + 100; performance.now() < end;) await turn()
  await assert.rejects(registry.add(URL, exact('second')), unavailable(file, /locked by another program/))
  await first
  assert.equal(await registry.add(URL, exact('third')), true)
})

test('a lock that is let go of within the busy timeout is waited for', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file, { busyTimeout: 20_000 })
  await registry.add(URL, exact('before'))
  const other = shell(t, file)
  other.exec('BEGIN IMMEDIATE')
  const adding = registry.add(URL, exact('a'))
  setTimeout(() => other.exec('COMMIT'), 50)
  assert.equal(await adding, true)
})

test('a database that another program is just making, without a write-ahead log, is waited for', async (t) => {
  const file = databasePath(t)
  const other = shell(t, file)
  // SQLite refuses to change the journal at once here, whatever the busy timeout.
  other.exec('CREATE TABLE theirs (a); BEGIN IMMEDIATE')
  const adding = openRegistry(t, file, { busyTimeout: 20_000 }).add(URL, exact('a'))
  setTimeout(() => other.exec('COMMIT'), 200)
  assert.equal(await adding, true)
})

test('when the disk takes no more, the transaction is undone, the pieces before it stay, and what is smaller goes on', async (t) => {
  const file = databasePath(t)
  // A limit on the size of a file makes the writing itself fail, as a full disk does. 512 KiB.
  const child = run(t, 'sh', ['-c', 'ulimit -S -f 1024; exec "$0" "$@"', process.execPath, SCRIPT, file, '20', 'fill'])
  assert.deepEqual(await child.exited, { code: 0, signal: null }, child.stderr())
  const said = JSON.parse(child.stdout().split('\n').find((line) => line.startsWith('{')) as string) as { refused: string; left: number; after: boolean }
  assert.match(said.refused, /^registry_unavailable: .*registry\.db: /)
  assert.ok(said.left < 20_000 && said.left % PIECE === 0, `${said.left} are left`)
  assert.equal(said.after, true)
  const registry = openRegistry(t, file)
  assert.equal((await registry.list(URL)).length, 21)
  assert.equal((await registry.list('http://too.much/')).length, said.left)
})

test('what cannot be done undoes all that shares its transaction, and what comes after goes on', async (t) => {
  const registry = openRegistry(t, databasePath(t))
  await registry.add(URL, exact('there'))
  const [{ id, target: topic }] = (await registry.list(URL)) as [Registration]
  // While this keeps the thread busy, the other two come together.
  const long = registry.set('http://long.example/', Array.from({ length: PIECE }, (_, i) => exact(`${i}`)))
  const together = await Promise.allSettled([registry.add(URL, exact('a')), registry.postpone({ id, topic, attempts: NaN, dueAt: 0 })])
  await long.catch(() => {})
  assert.deepEqual(together.map((one) => one.status), ['rejected', 'rejected'])
  assert.deepEqual((await registry.list(URL)).map((one) => one.target), ['there'])
  assert.equal(await registry.add(URL, exact('a')), true)
  assert.deepEqual(await registry.claim(1, 1, 1), [])
})

test('a file that may not be written refuses, and works as soon as it may', async (t) => {
  const file = databasePath(t)
  const first = openRegistry(t, file)
  await first.add(URL, exact('before'))
  await first.close()
  const place = join(dirname(file), 'other.db')
  const registry = openRegistry(t, place)
  // Nothing is there yet; but the thread has read its own source before the rights are gone.
  await registry.list(URL)
  renameSync(file, place)
  const giveBack = withoutRights(dirname(place), place)
  try {
    await assert.rejects(registry.add(URL, exact('a')), unavailable(place, /may only be read|cannot be opened/))
  } finally {
    giveBack()
  }
  assert.equal(await registry.add(URL, exact('a')), true)
  assert.equal((await registry.list(URL)).length, 2)
})

/** To root, permissions mean nothing: it has to be somebody else for a while. */
function withoutRights(folder: string, file: string): () => void {
  const root = process.geteuid?.() === 0
  chmodSync(file, 0o444)
  chmodSync(folder, 0o555)
  if (root) process.seteuid?.(65_534)
  return () => {
    if (root) process.seteuid?.(0)
    chmodSync(folder, 0o700)
    chmodSync(file, 0o600)
  }
}

test('a file that is no database is refused at the start, named, and left alone', async (t) => {
  const file = databasePath(t)
  writeFileSync(file, 'these are my notes\n'.repeat(100))
  const registry = openRegistry(t, file)
  await assert.rejects(registry.start(() => {}), unavailable(file, /no SQLite database: move it away, or name another file/))
  await assert.rejects(registry.add(URL, exact('a')), unavailable(file))
  assert.equal(readFileSync(file, 'utf8'), 'these are my notes\n'.repeat(100))
})

test('a database of a newer version is refused at the start, named, and left alone', async (t) => {
  const file = databasePath(t)
  const other = shell(t, file)
  other.exec('CREATE TABLE subscriptions (id INTEGER); PRAGMA user_version = 99')
  const registry = openRegistry(t, file)
  await assert.rejects(registry.start(() => {}), unavailable(file, /version 99/, /start the newer version/))
  await assert.rejects(registry.add(URL, exact('a')), unavailable(file))
  assert.deepEqual(other.prepare("SELECT name FROM sqlite_schema").all().map((row) => row['name']), ['subscriptions'])
})

test('a start that was refused can be tried again', async (t) => {
  const file = databasePath(t)
  writeFileSync(file, 'these are my notes\n'.repeat(100))
  const registry = openRegistry(t, file)
  await assert.rejects(registry.start(() => {}), unavailable())
  renameSync(file, `${file}.notes`)
  const told = await startAndKeep(registry)
  await registry.add(URL, exact('a'))
  assert.deepEqual(targets(told), ['a'])
})

test('a file that was moved away while it was in use takes nothing more until it is back', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file)
  await registry.add(URL, exact('a'))
  renameSync(file, `${file}.elsewhere`)
  await assert.rejects(registry.add(URL, exact('b')), unavailable(file, /moved or deleted/))
  renameSync(`${file}.elsewhere`, file)
  assert.equal(await registry.add(URL, exact('b')), true)
  assert.equal((await registry.list(URL)).length, 2)
})
