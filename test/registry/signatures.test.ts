import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import type { Registry } from '../../src/core/registry.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { until } from '../support/events.ts'
import { run } from '../support/process.ts'
import { databasePath, exact, openRegistry, shell, URL } from './open-registry.ts'

const SCRIPT = join(import.meta.dirname, 'remembering.ts')
const LONG = 240_000

/** A database and hubs on it, the time of day made up. */
function world(t: TestContext) {
  const file = databasePath(t)
  const clock = createManualClock(Date.now())
  const hub = (bootTime = clock.now() - 3_600_000): Registry => openRegistry(t, file, { clock, bootTime })
  const use = (registry: Registry, name: string, signedAt = clock.now()): Promise<boolean> => registry.remember(Buffer.from(name), signedAt + LONG, signedAt)
  return { file, signatures: `${file}-signatures`, clock, hub, use }
}

function unavailable(said?: string): (error: unknown) => boolean {
  return (error) => error instanceof WaystationError && error.code === 'registry_unavailable' && (said === undefined || error.message.includes(said))
}

/** As a file that was written before the machine was started. */
function makeOld(path: string, at: number): void {
  for (const one of [path, `${path}-wal`]) if (existsSync(one)) utimesSync(one, at / 1_000, at / 1_000)
}

test('a process that is killed has forgotten no signature that it has answered', async (t) => {
  const { file } = world(t)
  const child = run(t, process.execPath, [SCRIPT, file])
  const answered = (): (readonly [string, number])[] => [...child.stdout().matchAll(/^(\d+) (\d+)\n/gm)].map(([, name, at]) => [`signature ${name}`, Number(at)])
  await until(() => answered().length >= 300, '300 signatures')
  child.child.kill('SIGKILL')
  assert.equal((await child.exited).signal, 'SIGKILL')
  const registry = openRegistry(t, file)
  const all = answered()
  const again = await Promise.all(all.map(([name, signedAt]) => registry.remember(Buffer.from(name), signedAt + LONG, signedAt)))
  assert.deepEqual(all.filter((_, i) => again[i]), [])
  assert.equal(await registry.remember(Buffer.from('after'), Date.now() + LONG, Date.now()), true)
  for (const one of [file, `${file}-signatures`]) assert.deepEqual(shell(t, one).prepare('PRAGMA integrity_check').all().map((row) => ({ ...row })), [{ integrity_check: 'ok' }])
})

test('after the machine was started again, what was signed before is refused, and what was dated ahead is known', async (t) => {
  const { signatures, clock, hub, use } = world(t)
  const first = hub()
  assert.equal(await use(first, 'used'), true)
  assert.equal(await use(first, 'at the edge', clock.now() + 5_000), true)
  assert.equal(await use(first, 'ahead', clock.now() + 5_001), true)
  await first.close()
  makeOld(signatures, clock.now() - 1)
  const began = clock.now()
  clock.advance(20_000)
  const registry = hub(began)
  await assert.rejects(use(registry, 'used', began), unavailable())
  await assert.rejects(use(registry, 'at the edge', began + 5_000), unavailable())
  await assert.rejects(use(registry, 'never seen', began + 5_000), unavailable())
  assert.equal(await use(registry, 'ahead', began + 5_001), false)
  assert.equal(await use(registry, 'new', began + 5_001), true)
  assert.equal(await use(registry, 'new', began + 5_001), false)
  assert.equal(await use(hub(began), 'new', began + 5_001), false, 'the second hub took away what the first has made')
})

test('a file of before the boot is not used, however damaged it is', async (t) => {
  const { signatures, clock, hub, use } = world(t)
  const first = hub()
  await use(first, 'used')
  await first.close()
  const old = Buffer.alloc(statSync(signatures).size, 'garbage')
  rmSync(signatures)
  writeFileSync(signatures, old)
  const damaged = hub()
  await assert.rejects(use(damaged, 'a'), unavailable(signatures))
  await damaged.close()
  makeOld(signatures, clock.now() - 1)
  const registry = hub(clock.now())
  clock.advance(10_000)
  assert.equal(await use(registry, 'a'), true)
})

test('a new database refuses nothing, whenever the machine was started', async (t) => {
  const { clock, hub, use } = world(t)
  const registry = hub(clock.now())
  await registry.add(URL, exact('a'))
  assert.equal(await use(registry, 'old', clock.now() - 100_000), true)
})

test('when the file of signatures is deleted while hubs run, they refuse what it may have held, and go on together', async (t) => {
  const { signatures, clock, hub, use } = world(t)
  const hubs = [hub(), hub()] as const
  assert.equal(await use(hubs[0], 'used'), true)
  assert.equal(await use(hubs[1], 'used'), false)
  for (const one of [signatures, `${signatures}-wal`, `${signatures}-shm`]) rmSync(one)
  clock.advance(1_000)
  for (const one of hubs) await assert.rejects(use(one, 'used', clock.now() - 1_000), unavailable())
  await assert.rejects(use(hubs[0], 'too close', clock.now() + 5_000), unavailable())
  clock.advance(5_001)
  assert.equal(await use(hubs[1], 'new'), true)
  assert.equal(await use(hubs[0], 'new'), false)
  assert.equal(await hubs[0].add(URL, exact('a')), true)
})

test('a database that comes without its signatures, or with those of another, refuses what they may have held', async (t) => {
  const one = world(t)
  const other = world(t)
  const registries = [one.hub(), other.hub()] as const
  await one.use(registries[0], 'used')
  await other.use(registries[1], 'elsewhere')
  await Promise.all(registries.map((registry) => registry.close()))
  one.clock.advance(10_000)
  const signedAt = one.clock.now() - 10_000
  rmSync(one.signatures)
  const alone = one.hub()
  await assert.rejects(one.use(alone, 'used', signedAt), unavailable())
  await alone.close()
  copyFileSync(other.signatures, one.signatures)
  const mixed = one.hub()
  await assert.rejects(one.use(mixed, 'used', signedAt), unavailable())
  one.clock.advance(6_000)
  assert.equal(await one.use(mixed, 'new'), true)
})

test('signatures that come without their database are known still', async (t) => {
  const { file, hub, use } = world(t)
  const first = hub()
  await use(first, 'used')
  await first.close()
  rmSync(file)
  assert.equal(await use(hub(), 'used'), false)
})

test('where there can be no file of signatures, every signature is refused, and registrations are taken', async (t) => {
  const { signatures, clock, hub, use } = world(t)
  mkdirSync(signatures)
  const registry = hub()
  await assert.rejects(use(registry, 'a'), unavailable(signatures))
  await assert.rejects(use(registry, 'b', clock.now() + 60_000), unavailable(signatures))
  await assert.rejects(registry.forget(Buffer.from('a')), unavailable(signatures))
  assert.equal(await registry.add(URL, exact('a')), true)
  rmSync(signatures, { recursive: true })
  assert.equal(await use(registry, 'a'), true)
})

test('a signature does not wait for whoever holds the database', async (t) => {
  const { file, hub, use } = world(t)
  const registry = hub()
  await use(registry, 'first')
  const other = shell(t, file)
  other.exec('BEGIN IMMEDIATE')
  assert.equal(await use(registry, 'second'), true)
  assert.equal(await use(registry, 'second'), false)
  other.exec('COMMIT')
})

test('a signature that the database remembers, as older versions wrote it, is known', async (t) => {
  const { file, clock, hub, use } = world(t)
  const registry = hub()
  await registry.add(URL, exact('a'))
  shell(t, file).prepare('INSERT INTO signatures (code, expires_at) VALUES (?, ?)').run(Buffer.from('used'), clock.now() + 1_000)
  assert.equal(await use(registry, 'used'), false)
  await registry.forget(Buffer.from('used'))
  assert.equal(await use(registry, 'used'), true)
})

test('the file of signatures is for its owner alone', async (t) => {
  const { signatures, hub, use } = world(t)
  await use(hub(), 'a')
  for (const one of [signatures, `${signatures}-wal`]) assert.equal(statSync(one).mode & 0o777, 0o600, one)
})

test('a signature is known by whichever way it is asked for, by the thread or beside it', async (t) => {
  const { hub, clock } = world(t)
  const [here, there] = [hub(), hub()]
  const ask = (registry: Registry, name: string) => registry.remember(Buffer.from(name), clock.now() + LONG, clock.now())
  assert.equal(await ask(here, 'first, by the thread'), true)
  assert.equal(await ask(here, 'first, by the thread'), false)
  assert.deepEqual(await Promise.all(['at once', 'at once', 'with it'].map((name) => ask(here, name))), [true, false, true])
  assert.equal(await ask(here, 'at once'), false)
  assert.equal(await ask(there, 'at once'), false, 'by the thread of another')
  assert.equal(await ask(there, 'at once'), false, 'by another, at once')
  await here.forget(Buffer.from('at once'))
  assert.equal(await ask(there, 'at once'), true)
  await here.close()
  await assert.rejects(async () => ask(here, 'late'), unavailable())
})

test('while another program holds the file of signatures the event loop goes on, and each waits its time and is refused', async (t) => {
  const { file, hub, signatures, use, clock } = world(t)
  const registry = openRegistry(t, file, { clock, bootTime: clock.now() - 3_600_000, busyTimeout: 400 })
  assert.equal(await use(registry, 'before'), true)
  const holder = shell(t, signatures)
  holder.exec('BEGIN IMMEDIATE')
  let turns = 0
  let over = false
  const refusals = Promise.all(Array.from({ length: 50 }, (_, i) => assert.rejects(async () => use(registry, `while held ${i}`), unavailable()))).finally(() => (over = true))
  while (!over) {
    turns++
    await new Promise((resolve) => setImmediate(resolve))
  }
  await refusals
  assert.ok(turns > 50, `${turns} turns`)
  holder.exec('ROLLBACK')
  assert.equal(await use(registry, 'while held 1'), true)
  clock.advance(1_000)
  assert.equal(await use(registry, 'while held 2'), true, 'beside the thread again')
  assert.equal(await use(hub(), 'while held 2'), false)
})

test('what is still answered while it closes opens no file again', async (t) => {
  const { hub, use, signatures } = world(t)
  const registry = hub()
  const first = use(registry, 'answered while it closes')
  const closing = registry.close()
  assert.equal(await first, true)
  await closing
  await assert.rejects(use(registry, 'late'), unavailable())
  const again = hub()
  assert.equal(await use(again, 'by the thread'), true)
  const beside = use(again, 'beside it')
  await Promise.all([again.close(), beside.then((isNew) => assert.equal(isNew, true))])
  // The last to close a database takes its log away.
  await until(() => !existsSync(`${signatures}-wal`), 'nobody to have the file open')
})
