import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import type { Worker } from 'node:worker_threads'
import { WaystationError } from '../../src/core/errors.ts'
import type { Clock } from '../../src/core/ports.ts'
import { realClock } from '../../src/server/real-world.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { run } from '../support/process.ts'
import { databasePath, exact, openRegistry, shell, startAndKeep, targets, URL } from './open-registry.ts'

const refused = (error: unknown): boolean => error instanceof WaystationError && error.code === 'registry_unavailable'
const SCRIPT = join(import.meta.dirname, 'registering.ts')

test('a process that is killed in the middle of a thousand registrations loses none that it has answered', async (t) => {
  const file = databasePath(t)
  const child = run(t, process.execPath, [SCRIPT, file, '1000', 'leave'])
  const answered = (): string[] => [...child.stdout().matchAll(/^answered (.*)\n/gm)].map(([, target]) => target as string)
  await until(() => answered().length >= 200, '200 registrations')
  child.child.kill('SIGKILL')
  assert.equal((await child.exited).signal, 'SIGKILL')
  assert.ok(answered().length < 1_000, 'it had come to its end already')
  const registry = openRegistry(t, file)
  const there = new Set<string>((await registry.list(URL)).map((one) => one.target))
  assert.deepEqual(answered().filter((target) => !there.has(target)), [])
  assert.equal(await registry.add(URL, exact('after')), true)
  assert.deepEqual(shell(t, file).prepare('PRAGMA integrity_check').all().map((row) => ({ ...row })), [{ integrity_check: 'ok' }])
})

test('a signature is known after a restart', async (t) => {
  const file = databasePath(t)
  const signature = Buffer.alloc(64, 7)
  const first = openRegistry(t, file)
  assert.equal(await first.remember(signature, realClock.now() + 240_000, realClock.now()), true)
  await first.close()
  assert.equal(await openRegistry(t, file).remember(signature, realClock.now() + 240_000, realClock.now()), false)
})

test('what has run out is let go, a little later', async (t) => {
  const file = databasePath(t)
  let now = 1_000_000
  const registry = openRegistry(t, file, { clock: { ...realClock, now: () => now } })
  for (let i = 0; i < 20; i++) await registry.remember(Buffer.from(`old ${i}`), now + 1_000, now)
  now += 1_000 + 600_000
  await registry.remember(Buffer.from('young'), now + 1_000, now)
  assert.equal(shell(t, `${file}-signatures`).prepare('SELECT count(*) AS n FROM signatures').get()?.['n'], 21, 'a hub whose clock is behind would take them again')
  now += 1
  for (let i = 0; i < 32; i++) await registry.remember(Buffer.from(`new ${i}`), now + 1_000, now)
  assert.equal(shell(t, `${file}-signatures`).prepare('SELECT count(*) AS n FROM signatures').get()?.['n'], 33)
})

test('nothing is made for the sake of reading; what is written is for the owner alone', async (t) => {
  const folder = join(temporaryFolder(t), 'new', 'folder')
  const file = join(folder, 'registry.db')
  const registry = openRegistry(t, file)
  const told = await startAndKeep(registry)
  assert.deepEqual(await registry.list(URL), [])
  assert.equal(await registry.remove(URL, exact('a')), false)
  assert.equal(await registry.removeId(1), false)
  assert.deepEqual(await registry.claim(0, 1, 1), [])
  await registry.set(URL, [])
  await registry.forget(Buffer.from('x'))
  assert.deepEqual(readdirSync(dirname(dirname(folder))), [])
  await registry.add(URL, exact('a'))
  assert.equal(told.there.size, 1)
  for (const [path, mode] of [[dirname(folder), 0o700], [folder, 0o700], [file, 0o600], [`${file}-wal`, 0o600]] as const) assert.equal(statSync(path).mode & 0o777, mode, path)
  await registry.close()
  assert.deepEqual(readdirSync(folder), ['registry.db'])
})

test('a database in memory is there from the start and gone at the end', async (t) => {
  const registry = openRegistry(t, ':memory:')
  const told = await startAndKeep(registry)
  await registry.add(URL, exact('a'))
  assert.equal(told.there.size, 1)
  await registry.close()
  assert.deepEqual(await openRegistry(t, ':memory:').list(URL), [])
})

test('a registry that nobody closes does not keep its process alive, but an answer is waited for', async (t) => {
  const child = run(t, process.execPath, [SCRIPT, databasePath(t), '20', 'leave'])
  assert.deepEqual(await child.exited, { code: 0, signal: null }, child.stderr())
  assert.match(child.stdout(), /^answered topic\/19$[^]*^done$/m)
  assert.equal(child.stderr(), '')
})

test('closing ends the thread, and what was asked for before is answered', async (t) => {
  const threads: Worker[] = []
  const note = (worker: Worker): void => void threads.push(worker)
  process.on('worker', note)
  t.after(() => process.off('worker', note))
  const registry = openRegistry(t, databasePath(t))
  assert.equal(threads.length, 0, 'a thread was begun before there was anything to do')
  await registry.add(URL, exact('a'))
  const added = registry.add(URL, exact('b'))
  let ended = false
  threads[0]?.once('exit', () => (ended = true))
  await registry.close()
  assert.ok(ended)
  assert.equal(await added, true)
})

test('when the thread dies, all that is open and all that follows is refused', async (t) => {
  let thread: Worker | undefined
  process.once('worker', (worker) => (thread = worker))
  const registry = openRegistry(t, databasePath(t))
  await registry.add(URL, exact('a'))
  void thread?.terminate()
  // Nobody knows yet that it is gone.
  const open = Array.from({ length: 5 }, (_, i) => assert.rejects(registry.add(URL, exact(`${i}`)), refused))
  await Promise.all(open)
  await assert.rejects(registry.list(URL), refused)
  await registry.close()
})

test('a thread that died is followed by another after a pause that grows, and what has changed meanwhile is told', async (t) => {
  const threads: Worker[] = []
  const note = (worker: Worker): void => void threads.push(worker)
  process.on('worker', note)
  t.after(() => process.off('worker', note))
  const file = databasePath(t)
  const pauses: { ms: number; over: () => void }[] = []
  const clock: Clock = {
    ...realClock,
    after(ms, over) {
      pauses.push({ ms, over })
      return () => {}
    },
  }
  const registry = openRegistry(t, file, { clock })
  const told = await startAndKeep(registry)
  const domains: (readonly [string, boolean])[] = []
  await registry.watchDomains((news) => void domains.push(...news.domains))
  await registry.set(URL, [exact('gone'), exact('stays')])
  const reading = registry.everything()[Symbol.asyncIterator]()
  await reading.next()
  for (const [i, ms] of [500, 1_000, 2_000].entries()) {
    await until(() => threads.length === i + 1, 'the thread')
    void threads[i]?.terminate()
    await until(() => pauses.length === i + 1, 'the pause')
    assert.equal(pauses[i]?.ms, ms)
    await assert.rejects(registry.list(URL), refused)
    assert.equal(registry.available, false)
    pauses[i]?.over()
  }
  shell(t, file).exec(`DELETE FROM subscriptions WHERE target = CAST('gone' AS BLOB); INSERT INTO subscriptions (kind, target, url) VALUES ('exact', CAST('new' AS BLOB), 'http://one.example/');
    INSERT INTO apikeys (domain, username) VALUES ('acme', 'u')`)
  await until(() => targets(told).join() === 'new,stays' && registry.available, 'what has changed')
  await until(() => domains.some(([domain]) => domain === 'acme'), 'the domain')
  const readOn = async (): Promise<void> => {
    while ((await reading.next()).done !== true);
  }
  await assert.rejects(readOn, refused, 'what another thread reads was taken for the rest')
  assert.deepEqual(told.calls.slice(1).flat().map((change) => change.type).sort(), ['added', 'removed'], 'more was told than the difference')
  assert.equal(await registry.add(URL, exact('after')), true)
  assert.deepEqual(targets(told), ['after', 'new', 'stays'])
  void threads.at(-1)?.terminate()
  await until(() => pauses.length === 4, 'the pause')
  assert.equal(pauses[3]?.ms, 500, 'an answer did not end the growing')
})

test('a database in memory is gone with its thread', async (t) => {
  let thread: Worker | undefined
  process.once('worker', (worker) => (thread = worker))
  const registry = openRegistry(t, ':memory:', { clock: { ...realClock, after: () => assert.fail('it would begin again with nothing') } })
  await registry.add(URL, exact('a'))
  void thread?.terminate()
  await assert.rejects(registry.list(URL), refused)
})
