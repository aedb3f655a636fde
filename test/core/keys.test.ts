import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { createKeys, domainOf, type Keys, type KeyVerdict } from '../../src/core/keys.ts'
import type { DomainNews, KeyRow } from '../../src/core/registry.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createManualClock, type ManualClock } from '../../src/testing/index.ts'

/** A table that answers when it is let, and counts what it is asked. */
interface World {
  readonly keys: Keys
  readonly clock: ManualClock
  /** By domain; several rows are for a table whose domains are not unique. */
  readonly rows: Map<string, Partial<KeyRow>[]>
  readonly queries: (readonly string[])[]
  readonly failures: unknown[]
  /** What the table does: it answers, refuses, hangs until `release`, or reads at once and its answer hangs until then. */
  mode: 'answers' | 'refuses' | 'hangs' | 'answers late'
  release(): void
  tell(news: DomainNews): void
  check(key: string, domain?: string): Promise<KeyVerdict>
}

const LIMITS = { maxCachedKeys: 3, keyCacheTime: 60_000, maxKeyChecks: 10 }

async function open(rows: Readonly<Record<string, string>> = {}, limits = LIMITS): Promise<World> {
  const clock = createManualClock()
  let told: (news: DomainNews) => void = () => {}
  let hanging: (() => void)[] = []
  const table = {
    async watchDomains(listener: (news: DomainNews) => void) {
      told = listener
      told({ all: true, domains: [...world.rows.keys()].map((domain) => [domain, true] as const) })
    },
    async keysOf(domains: readonly string[]) {
      world.queries.push(domains)
      if (world.mode === 'refuses') throw new Error('away')
      if (world.mode === 'hangs') await new Promise<void>((resolve) => hanging.push(resolve))
      const rows = domains.flatMap((domain) => (world.rows.get(domain) ?? []).map((row) => ({ id: 1, domain, username: '', apikey: undefined, sha256: undefined, insertedAt: 0, active: true, ...row })))
      if (world.mode === 'answers late') await new Promise<void>((resolve) => hanging.push(resolve))
      return rows
    },
  }
  const keys = createKeys({ table, clock, limits, failed: (error) => world.failures.push(error) })
  const world: World = {
    keys, clock, queries: [], failures: [], mode: 'answers',
    rows: new Map(Object.entries(rows).map(([domain, apikey]) => [domain, [{ apikey }]])),
    release() {
      for (const one of hanging) one()
      hanging = []
    },
    tell: (news) => told(news),
    async check(key, domain = 'acme') {
      const verdict = keys.check(key, domain)
      await clock.settle()
      return verdict
    },
  }
  await keys.start()
  return world
}

function sha256(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

test('a domain is owned when it has a row, active or not, and so is every topic under it', async () => {
  const { keys, tell } = await open({ acme: 'k' })
  for (const topic of ['acme', 'acme/', 'acme/prices', 'acme/a/b']) assert.equal(keys.owns(topicFromText(topic)), true, topic)
  for (const topic of ['', 'acm', 'acmee', 'Acme/prices', '/acme', 'x/acme']) assert.equal(keys.owns(topicFromText(topic)), false, topic)
  tell({ all: false, domains: [['other', true], ['acme', false]] })
  assert.deepEqual(['acme/x', 'other/x'].map((topic) => keys.owns(topicFromText(topic))), [false, true])
  tell({ all: true, domains: [['third', true]] })
  assert.deepEqual(['other/x', 'third/x'].map((topic) => keys.owns(topicFromText(topic))), [false, true])
  tell({ all: false, domains: [['', true]] })
  assert.deepEqual(['/x', '', 'x'].map((topic) => keys.owns(topicFromText(topic))), [true, true, false])
  assert.equal(domainOf(topicFromText('a/b/c')), 'a')
})

test('a key is good for its own domain, letter by letter, and for no other', async () => {
  const { check, queries } = await open({ acme: 'Key', other: 'else' })
  assert.equal(await check('Key'), 'good')
  for (const key of ['key', 'KEY', 'Key ', ' Key', 'Ke', '', 'else', "' OR 1=1 --", 'Key\0', '\0', '\ud800', 'x'.repeat(10_000)]) assert.equal(await check(key), 'bad', JSON.stringify(key.slice(0, 20)))
  for (const domain of ['Acme', 'other', 'acme ', '', "acme' --", '\ud800', 'a\0cme', 'x'.repeat(10_000)]) assert.equal(await check('Key', domain), 'bad', JSON.stringify(domain.slice(0, 20)))
  assert.ok(!JSON.stringify(queries).includes('\\u0000') && !JSON.stringify(queries).includes('ud800'), 'a database was asked for what it cannot hold')
})

test('a row with a hash is asked for nothing else, and one that is not active for nothing at all', async () => {
  const { check, rows } = await open()
  rows.set('acme', [{ sha256: sha256('hashed'), apikey: 'plain' }])
  assert.deepEqual([await check('hashed'), await check('plain'), await check(sha256('hashed').toString('hex'))], ['good', 'bad', 'bad'])
  rows.set('off', [{ apikey: 'plain', active: false }])
  rows.set('empty', [{}])
  rows.set('short', [{ sha256: sha256('hashed').subarray(0, 16) }])
  assert.deepEqual([await check('plain', 'off'), await check('', 'empty'), await check('hashed', 'short')], ['bad', 'bad', 'bad'])
})

test('two rows with the same key count as none, which is told; of two with different keys each is good', async () => {
  const { check, rows, failures } = await open()
  rows.set('acme', [{ apikey: 'one' }, { sha256: sha256('two') }])
  assert.deepEqual([await check('one'), await check('two')], ['good', 'good'])
  rows.set('twice', [{ apikey: 'secret' }, { sha256: sha256('secret') }])
  assert.equal(await check('secret', 'twice'), 'bad')
  assert.match(String(failures), /2 rows of the domain "twice"/)
  assert.doesNotMatch(String(failures), /secret/)
})

test('a good key is known at once the next time, for as long as it may be; a bad one is asked for again', async () => {
  const { check, keys, clock, queries } = await open({ acme: 'k' })
  assert.equal(await check('k'), 'good')
  assert.equal(keys.check('k', 'acme'), 'good')
  clock.advance(LIMITS.keyCacheTime - 1)
  assert.equal(keys.check('k', 'acme'), 'good')
  clock.advance(1)
  assert.equal(await check('k'), 'good')
  assert.equal(queries.length, 2)
  await check('bad')
  await check('bad')
  assert.equal(queries.length, 4)
})

test('a key is forgotten when the row of its domain changes', async () => {
  const { check, keys, rows, tell } = await open({ acme: 'k', other: 'o' })
  await check('k')
  await check('o', 'other')
  rows.set('acme', [{ apikey: 'new' }])
  tell({ all: false, domains: [['acme', true]] })
  assert.deepEqual([await check('k'), await check('new'), keys.check('o', 'other')], ['bad', 'good', 'good'])
  tell({ all: true, domains: [['acme', true]] })
  assert.ok(keys.check('o', 'other') instanceof Promise)
})

test('no more keys are remembered than may be, and the oldest goes first', async () => {
  const { check, keys } = await open({ a: 'k', b: 'k', c: 'k', d: 'k' })
  for (const domain of ['a', 'b', 'c', 'd']) assert.equal(await check('k', domain), 'good')
  assert.deepEqual(['b', 'c', 'd'].map((domain) => keys.check('k', domain)), ['good', 'good', 'good'])
  assert.ok(keys.check('k', 'a') instanceof Promise)
})

test('what is asked for in one turn shares a query, and each domain is asked for once', async () => {
  const { keys, clock, queries } = await open({ a: 'k', b: 'k' })
  const verdicts = ['a', 'b', 'a'].map((domain) => keys.check('k', domain))
  await clock.settle()
  assert.deepEqual(await Promise.all(verdicts), ['good', 'good', 'good'])
  assert.deepEqual(queries, [['a', 'b']])
})

test('past the bound of those that wait nothing more is asked, and there is room again when they are answered', async () => {
  const world = await open({ acme: 'k' })
  const { keys, clock } = world
  world.mode = 'hangs'
  const waiting = Array.from({ length: LIMITS.maxKeyChecks }, (_, i) => keys.check(`k${i}`, 'acme'))
  await clock.settle()
  assert.equal(keys.check('k', 'acme'), 'unavailable')
  world.mode = 'answers'
  world.release()
  assert.deepEqual(await Promise.all(waiting), waiting.map(() => 'bad'))
  assert.equal(await world.check('k'), 'good')
})

test('when the database is away a new key cannot be checked, and one that is remembered is good', async () => {
  const world = await open({ acme: 'k', other: 'k' })
  await world.check('k')
  world.mode = 'refuses'
  assert.equal(await world.check('k', 'other'), 'unavailable')
  assert.equal(world.keys.check('k', 'acme'), 'good')
  assert.equal(world.failures.length, 1)
  world.mode = 'answers'
  assert.equal(await world.check('k', 'other'), 'good')
})

test('a key in use ends once when it is replaced, revoked or taken away, and not when only its row is written again', async () => {
  for (const change of [[{ apikey: 'new' }], [{ apikey: 'k', active: false }], []]) {
    const { keys, check, clock, rows, tell } = await open({ acme: 'k' })
    let ended = 0
    await check('k')
    keys.hold('k', 'acme', () => ended++)
    tell({ all: false, domains: [['acme', true]] })
    await clock.settle()
    assert.equal(ended, 0)
    rows.set('acme', change)
    tell({ all: false, domains: [['acme', change.length > 0]] })
    tell({ all: true, domains: [] })
    await clock.settle()
    assert.equal(ended, 1)
  }
})

test('a key that was taken away between its check and its use ends, too', async () => {
  const { keys, check, clock, rows, tell } = await open({ acme: 'k' })
  await check('k')
  rows.delete('acme')
  tell({ all: false, domains: [['acme', false]] })
  let ended = 0
  keys.hold('k', 'acme', () => ended++)
  await clock.settle()
  assert.equal(ended, 1)
})

for (const [what, news] of [['of the row', { all: false, domains: [['acme', true]] }], ['of everything', { all: true, domains: [['acme', true]] }]] as const) {
  test(`an answer that was on its way when the news came ${what} is of before: it is not remembered, and who is let in by it is looked up again`, async () => {
    const world = await open({ acme: 'one' })
    const ended: string[] = []
    world.mode = 'answers late'
    const first = world.keys.check('one', 'acme')
    await world.clock.settle()
    world.rows.set('acme', [{ apikey: 'two' }])
    world.tell(news)
    world.mode = 'answers'
    world.release()
    assert.equal(await first, 'good')
    world.keys.hold('one', 'acme', () => ended.push('one'))
    await world.clock.settle()
    assert.deepEqual(ended, ['one'])
    assert.equal(await world.check('one'), 'bad')
  })
}

test('news that come while those in use are looked up are not lost to newcomers either', async () => {
  const world = await open({ acme: 'one' })
  const ended: string[] = []
  assert.equal(await world.check('one'), 'good')
  world.keys.hold('one', 'acme', () => ended.push('one'))
  world.mode = 'answers late'
  world.tell({ all: false, domains: [['acme', true]] })
  await world.clock.settle()
  world.rows.delete('acme')
  world.tell({ all: false, domains: [['acme', false]] })
  world.mode = 'answers'
  world.release()
  await world.clock.settle()
  assert.deepEqual(ended, ['one'])
  assert.equal(await world.check('one'), 'bad')
})

test('while the database is away nobody is sent away, and it is asked again until it answers', async () => {
  const world = await open({ acme: 'k', other: 'k' })
  const { keys, check, clock, rows, tell } = world
  const ended: string[] = []
  for (const domain of ['acme', 'other']) {
    await check('k', domain)
    keys.hold('k', domain, () => ended.push(domain))
  }
  world.mode = 'refuses'
  rows.delete('acme')
  tell({ all: true, domains: [['other', true]] })
  for (let i = 0; i < 3; i++) {
    await clock.settle()
    clock.advance(1_000)
  }
  assert.deepEqual(ended, [])
  world.mode = 'answers'
  await clock.settle()
  clock.advance(1_000)
  await clock.settle()
  assert.deepEqual(ended, ['acme'])
})

test('a database that is away is asked for those in use once a second, whatever was told meanwhile', async () => {
  const world = await open({ acme: 'k' })
  await world.check('k')
  world.keys.hold('k', 'acme', () => {})
  world.mode = 'refuses'
  for (let i = 0; i < 5; i++) {
    world.clock.advance(100)
    world.tell({ all: false, domains: [['acme', true]] })
    await world.clock.settle()
  }
  const before = world.queries.length
  for (let i = 0; i < 30; i++) {
    world.clock.advance(100)
    await world.clock.settle()
  }
  assert.equal(world.queries.length - before, 3)
})

test('whoever has left is not told of the end of the key, and costs nothing', async () => {
  const { keys, check, clock, rows, tell, queries } = await open({ acme: 'k' })
  await check('k')
  let ended = 0
  keys.hold('k', 'acme', () => ended++)()
  rows.delete('acme')
  tell({ all: false, domains: [['acme', false]] })
  await clock.settle()
  assert.deepEqual([ended, queries.length], [0, 1])
})

test('a database that is away is told of once in a while, however many ask; so are keys that are there twice', async () => {
  const world = await open({ acme: 'k' })
  const ask = async (): Promise<void> => {
    world.clock.advance(100)
    await world.check('k')
  }
  world.mode = 'refuses'
  for (let i = 0; i < 50; i++) await ask()
  assert.equal(world.failures.length, 1)
  world.mode = 'answers'
  world.rows.set('acme', [{ apikey: 'k' }, { apikey: 'k' }])
  for (let i = 0; i < 40; i++) await ask()
  assert.equal(world.failures.length, 2)
  for (let i = 0; i < 70; i++) await ask()
  assert.equal(world.failures.length, 3)
  world.mode = 'refuses'
  await ask()
  assert.equal(world.failures.length, 4)
})

test('a table that never answers is away after five seconds; it is asked again, and who was revoked meanwhile ends', async () => {
  const world = await open({ acme: 'k' })
  const ended: string[] = []
  await world.check('k')
  world.keys.hold('k', 'acme', () => ended.push('k'))
  world.mode = 'hangs'
  world.rows.delete('acme')
  world.tell({ all: false, domains: [['acme', false]] })
  const verdict = world.keys.check('k', 'acme')
  await world.clock.settle()
  world.clock.advance(5_000)
  assert.equal(await verdict, 'unavailable')
  assert.equal(world.failures.length, 1)
  world.mode = 'answers'
  await world.clock.settle()
  world.clock.advance(1_000)
  await world.clock.settle()
  assert.deepEqual(ended, ['k'])
  assert.equal(await world.check('k'), 'bad')
})

test('a key in use is looked up again now and then, though nobody was told of a change', async () => {
  // A timer knows no time that is longer than some weeks.
  const { keys, check, clock, rows, queries } = await open({ acme: 'k', other: 'k' }, { ...LIMITS, keyCacheTime: 2 ** 40 })
  const ended: string[] = []
  for (const domain of ['acme', 'other']) {
    await check('k', domain)
    keys.hold('k', domain, () => ended.push(domain))
  }
  rows.delete('acme')
  for (let i = 0; i < 3; i++) {
    clock.advance(60_000)
    await clock.settle()
  }
  assert.deepEqual(ended, ['acme'])
  assert.deepEqual(queries.slice(2), [['acme', 'other'], ['other'], ['other']])
  keys.stop()
  clock.advance(60_000)
  await clock.settle()
  assert.equal(queries.length, 5)
})

test('after the stop no check waits for ever', async () => {
  const { keys } = await open({ acme: 'k' })
  const verdict = keys.check('k', 'acme')
  keys.stop()
  assert.equal(await verdict, 'unavailable')
  assert.equal(keys.check('k', 'acme'), 'unavailable')
})
