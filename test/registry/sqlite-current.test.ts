import assert from 'node:assert/strict'
import { existsSync, renameSync, rmSync } from 'node:fs'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import type { Stored } from '../../src/core/registry.ts'
import { createCurrent } from '../../src/registry/sqlite/current.ts'
import { until } from '../support/events.ts'
import { databasePath, exact, openRegistry, shell, startAndKeep, targets, URL } from './open-registry.ts'

/** No poll comes to the rescue. */
const NEVER = { pollInterval: 1_000_000 }

test('where nothing was written, to be current is not even a promise', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file, NEVER)
  const told = await startAndKeep(registry)
  await registry.current()
  assert.equal(registry.current(), undefined, 'there is no file')
  await registry.add(URL, exact('a'))
  await registry.current()
  assert.equal(registry.current(), undefined)
  await openRegistry(t, file).add(URL, exact('b'))
  await registry.current()
  assert.deepEqual(targets(told), ['a', 'b'])
  assert.equal(registry.current(), undefined)
  shell(t, file).exec("INSERT INTO subscriptions (kind, target, url) VALUES ('exact', CAST('c' AS BLOB), 'http://two.example/')")
  await registry.current()
  assert.deepEqual(targets(told), ['a', 'b', 'c'])
})

test('what is written while it is looked is not taken for told, and those who ask meanwhile share a look of their own state', async (t) => {
  const file = databasePath(t)
  const other = shell(t, file)
  other.exec('PRAGMA journal_mode = WAL; CREATE TABLE a (x INTEGER)')
  const looks: PromiseWithResolvers<void>[] = []
  const { current, close } = createCurrent(file, () => {
    looks.push(Promise.withResolvers())
    return looks.at(-1)?.promise as Promise<void>
  })
  t.after(close)
  const first = current()
  assert.equal(current(), first, 'two looks for one state')
  other.exec('INSERT INTO a VALUES (1)')
  const second = current()
  assert.notEqual(second, first)
  for (const one of looks) one.resolve()
  await Promise.all([first, second])
  assert.deepEqual([current(), looks.length], [undefined, 2])
  other.exec('INSERT INTO a VALUES (2)')
  const third = current()
  other.exec('INSERT INTO a VALUES (3)')
  looks[2]?.resolve()
  await third
  const fourth = current()
  assert.ok(fourth !== undefined, 'what came after the look began counts as told')
  looks[3]?.reject(new Error('away'))
  await assert.rejects(fourth, /away/)
  const fifth = current()
  assert.ok(fifth !== undefined, 'what could not be looked for counts as told')
  looks[4]?.resolve()
  await fifth
  assert.equal(current(), undefined)
})

test('a look that was begun through a connection of before says nothing of the one after it', async (t) => {
  const file = databasePath(t)
  const other = shell(t, file)
  other.exec('PRAGMA journal_mode = WAL; CREATE TABLE a (x INTEGER)')
  const looks: PromiseWithResolvers<void>[] = []
  const { current, close } = createCurrent(file, () => {
    looks.push(Promise.withResolvers())
    return looks.at(-1)?.promise as Promise<void>
  })
  t.after(close)
  const first = current()
  other.exec('INSERT INTO a VALUES (1)')
  renameSync(file, `${file}.away`)
  void current()
  renameSync(`${file}.away`, file)
  const second = current()
  looks[0]?.resolve()
  await first
  assert.equal(current(), second, 'what was written after the first look began counts as told')
  for (const one of looks) one.resolve()
  await second
  assert.equal(current(), undefined)
})

test('a file that others lock for writing is looked at all the same', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file, NEVER)
  await startAndKeep(registry)
  await registry.add(URL, exact('a'))
  await registry.current()
  const other = shell(t, file)
  other.exec("BEGIN IMMEDIATE; INSERT INTO subscriptions (kind, target, url) VALUES ('exact', CAST('b' AS BLOB), 'http://two.example/')")
  assert.equal(registry.current(), undefined, 'what is not committed is no news')
  other.exec('ROLLBACK')
})

test('where the file has gone, or another has its place, nobody is told that all is well', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file, NEVER)
  const told = await startAndKeep(registry)
  await registry.add(URL, exact('a'))
  await registry.current()
  const unavailable = (error: unknown): boolean => error instanceof WaystationError && error.code === 'registry_unavailable'
  for (const name of [file, `${file}-wal`, `${file}-shm`]) renameSync(name, `${name}.away`)
  await assert.rejects(async () => registry.current(), unavailable)
  const another = openRegistry(t, file)
  await another.add(URL, exact('other'))
  await assert.rejects(async () => registry.current(), unavailable)
  await another.close()
  for (const name of [file, `${file}-wal`, `${file}-shm`]) renameSync(`${name}.away`, name)
  await registry.current()
  assert.equal(registry.current(), undefined)
  assert.deepEqual(targets(told), ['a'])
})

test('a database in memory is current, and a registry that is closed is not', async (t) => {
  const memory = openRegistry(t, ':memory:')
  await startAndKeep(memory)
  await memory.add(URL, exact('a'))
  assert.equal(memory.current(), undefined)
  const registry = openRegistry(t, databasePath(t))
  await startAndKeep(registry)
  await registry.close()
  await assert.rejects(async () => registry.current(), (error) => error instanceof WaystationError && error.code === 'registry_unavailable')
  const unused = openRegistry(t, databasePath(t))
  assert.equal(unused.available, true)
  await unused.close()
  for (const one of [registry, unused]) assert.equal(one.available, false)
})

test('a database that has gone is unavailable, though nobody asks, and available when it is back', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file)
  await startAndKeep(registry)
  await registry.add(URL, exact('a'))
  renameSync(file, `${file}.away`)
  await until(() => !registry.available, 'the loss')
  renameSync(`${file}.away`, file)
  await until(() => registry.available, 'the return')
})

test('one who asks and is refused knows that it is unavailable, and a refusal that is nobody\'s fault is none', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file, { ...NEVER, busyTimeout: 10 })
  await registry.add(URL, exact('a'))
  const other = shell(t, file)
  other.exec('BEGIN IMMEDIATE')
  await assert.rejects(registry.add(URL, exact('b')))
  assert.equal(registry.available, false)
  other.exec('ROLLBACK')
  await registry.add(URL, exact('b'))
  assert.equal(registry.available, true)
  await registry.add(URL, exact('b'))
  assert.equal(registry.available, true)
})

test('what comes out is of one moment, and others write meanwhile', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file)
  const wanted = Array.from({ length: 4_500 }, (_, i) => exact(`a/${i}`))
  await registry.set(URL, wanted)
  await registry.addKey({ domain: 'before', username: '', apikey: 'k', sha256: undefined })
  const things: Stored[] = []
  for await (const thing of registry.everything()) {
    if (things.push(thing) !== 1) continue
    await registry.set(URL, [exact('new')])
    await registry.removeKey('before')
    await registry.addKey({ domain: 'after', username: '', apikey: 'l', sha256: undefined })
  }
  assert.equal(things.filter((one) => one.type === 'registration' && one.target.startsWith('a/')).length, wanted.length)
  assert.deepEqual(things.filter((one) => one.type !== 'registration').map((one) => one.type === 'key' && one.domain), ['before'])
  assert.equal((await registry.list(URL)).length, 1)
})

test('a database in memory gives everything too, and one that is not there gives nothing and is not made', async (t) => {
  const memory = openRegistry(t, ':memory:')
  const things: Stored[] = Array.from({ length: 2_500 }, (_, i) => ({ type: 'signature', code: Buffer.from(`${i}`.padStart(16)), expiresAt: Date.now() + 60_000 }))
  assert.equal(await memory.restore([{ type: 'registration', url: URL, ...exact('a') }, ...things]), 2_501)
  assert.equal((await Array.fromAsync(memory.everything())).length, 2_501)
  const file = databasePath(t)
  const registry = openRegistry(t, file)
  assert.deepEqual(await Array.fromAsync(registry.everything()), [])
  assert.equal(await registry.restore([]), 0)
  assert.equal(existsSync(file), false)
})

test('a thousand things go in together, and are told together', async (t) => {
  const registry = openRegistry(t, databasePath(t))
  const told = await startAndKeep(registry)
  await registry.restore(Array.from({ length: 999 }, (_, i) => ({ type: 'registration', url: URL, ...exact(`${i}`) })))
  assert.deepEqual(told.calls.map((changes) => changes.length), [999])
})

test('a signature that went in is known after the file of signatures is lost, and free again when it was forgotten', async (t) => {
  const file = databasePath(t)
  const first = openRegistry(t, file)
  const [used, forgotten] = [Buffer.alloc(64, 1), Buffer.alloc(64, 2)]
  await first.restore([used, forgotten].map((signature) => ({ type: 'signature', code: signature.subarray(0, 16), expiresAt: Date.now() + 600_000 })))
  await first.forget(forgotten)
  await first.close()
  for (const end of ['', '-wal', '-shm']) rmSync(`${file}-signatures${end}`, { force: true })
  const second = openRegistry(t, file)
  const ahead = Date.now() + 60_000
  assert.equal(await second.remember(used, ahead + 60_000, ahead), false)
  assert.equal(await second.remember(forgotten, ahead + 60_000, ahead), true)
})
