import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import { WaystationError } from '../core/errors.ts'
import type { Clock } from '../core/ports.ts'
import type { Registry, RegistryChange, Wanted } from '../core/registry.ts'
import { topicFromBytes, topicFromText } from '../core/topic.ts'
import { createManualClock } from './manual-clock.ts'
import { PATIENCE, type Patience } from './patience.ts'
import { registryKeysContract } from './registry-keys.ts'
import { registryMovesContract } from './registry-moves.ts'
import { registryNoticesContract, type OpenedRegistry } from './registry-notices.ts'
import { byId, exact, glob, OTHER_URL, plain, URL, watch } from './registry-view.ts'
import { createSeededRandom } from './seeded-random.ts'

/** What a registry under test is made of. */
export interface RegistryParts {
  /** Stands still, and is the same for all that share a database. */
  readonly clock: Clock
}

export interface RegistryUnderTest {
  /** On a database of its own, with nothing in it. */
  readonly registry: Registry
  /** Opens one more on the same database, as another hub does. */
  another(): Registry | Promise<Registry>
}

type OpenRegistry = (parts: RegistryParts, t: TestContext) => RegistryUnderTest | Promise<RegistryUnderTest>

/** What every `Registry` must do. The suite closes all that it has opened. */
export function registryContract(name: string, create: OpenRegistry, { patience = PATIENCE }: Patience = {}): void {
  async function open(t: TestContext): Promise<OpenedRegistry> {
    const clock = createManualClock()
    const { registry, another } = await create({ clock }, t)
    const opened = [registry]
    t.after(() => Promise.all(opened.map((one) => one.close())))
    return {
      registry,
      clock,
      async another() {
        const one = await another()
        opened.push(one)
        return one
      },
    }
  }

  suite(`${name}, as a registry`, () => {
    test('a registration is told before the promise of its making settles, and so is its end', async (t) => {
      const { registry } = await open(t)
      const view = await watch(registry)
      assert.equal(view.calls.length, 0, 'something was told of an empty database')
      assert.equal(await registry.add(URL, exact('a', 'http://recovery/')), true)
      assert.deepEqual(plain(view.all()), [{ url: URL, kind: 'exact', target: 'a', recovery: 'http://recovery/' }])
      assert.equal(await registry.remove(URL, exact('a')), true)
      assert.deepEqual(view.all(), [])
      await registry.add(URL, exact('b'))
      assert.equal(await registry.removeId(view.all()[0]?.id as number), true)
      assert.deepEqual(view.all(), [])
    })

    test('what is there already is told when it starts, all of it before that settles', async (t) => {
      const { registry } = await open(t)
      for (let i = 0; i < 25; i++) await registry.add(i % 2 === 0 ? URL : OTHER_URL, exact(`a/${i}`))
      const view = await watch(registry)
      assert.equal(view.all().length, 25)
      assert.deepEqual(byId(view.all().filter((one) => one.url === URL)), byId(await registry.list(URL)))
    })

    test('what a url has already is not added again, and stays as it was', async (t) => {
      const { registry } = await open(t)
      const view = await watch(registry)
      await registry.add(URL, exact('a', 'http://recovery/'))
      const before = await registry.list(URL)
      assert.equal(await registry.add(URL, exact('a', 'http://elsewhere/')), false)
      assert.equal(await registry.add(URL, exact('a')), false)
      assert.deepEqual(await registry.list(URL), before)
      assert.equal(view.calls.length, 1, 'a change was told that was none')
    })

    test('another url, another target and another kind are another registration', async (t) => {
      const { registry } = await open(t)
      for (const [url, wanted] of [[URL, exact('a')], [URL, glob('a')], [URL, exact('A')], [OTHER_URL, exact('a')]] as const) assert.equal(await registry.add(url, wanted), true)
      assert.equal(await registry.remove(URL, exact('a')), true)
      assert.deepEqual(plain(await registry.list(URL)).map(({ kind, target }) => `${kind} ${target}`).sort(), ['exact A', 'glob a'])
      assert.equal((await registry.list(OTHER_URL)).length, 1)
    })

    test('what is not there cannot be removed', async (t) => {
      const { registry } = await open(t)
      assert.equal(await registry.remove(URL, exact('a')), false)
      assert.equal(await registry.removeId(1), false)
      await registry.add(URL, exact('a'))
      assert.equal(await registry.remove(OTHER_URL, exact('a')), false)
      assert.equal(await registry.remove(URL, glob('a')), false)
      assert.equal(await registry.remove(URL, exact('a')), true)
      assert.equal(await registry.remove(URL, exact('a')), false)
    })

    test('no number is given twice', async (t) => {
      const { registry } = await open(t)
      const ids = new Set<number>()
      for (let i = 0; i < 20; i++) {
        await registry.add(URL, exact('a'))
        const [one] = await registry.list(URL)
        ids.add(one?.id as number)
        await registry.remove(URL, exact('a'))
      }
      assert.equal(ids.size, 20)
    })

    test('any bytes are a topic, and any text is a url', async (t) => {
      const { registry, another } = await open(t)
      const targets = [Buffer.from([]), Buffer.from([0]), Buffer.from([0xc3, 0x28]), Buffer.from([0xff, 0xfe, 0x61]), Buffer.from('ü/😀'), Buffer.from("'; --"), Buffer.alloc(65_535, 0x80)].map(topicFromBytes)
      const urls = ['', 'http://ü.example/😀?a=\'"%00', 'a\nb\u0000c', 'x'.repeat(65_535)]
      for (const url of urls) {
        for (const target of targets) assert.equal(await registry.add(url, { kind: 'exact', target, recovery: url }), true)
      }
      const elsewhere = await another()
      for (const url of urls) {
        const listed = await elsewhere.list(url)
        assert.deepEqual(listed.map((one) => one.target).sort(), [...targets].sort())
        assert.ok(listed.every((one) => one.url === url && one.recovery === url))
      }
    })

    test('a set makes what a url has equal to it, in one step, and leaves other urls alone', async (t) => {
      const { registry } = await open(t)
      const view = await watch(registry)
      await registry.add(OTHER_URL, exact('changes'))
      await registry.set(URL, [exact('stays', 'http://r/'), exact('gone'), glob('stays'), exact('changes'), glob('changes')])
      const before = new Map(view.all().map((one) => [`${one.url} ${one.kind} ${one.target}`, one.id]))
      const calls = view.calls.length
      await registry.set(URL, [exact('new'), exact('changes', 'http://r/'), exact('stays', 'http://r/'), glob('stays')])
      assert.equal(view.calls.length, calls + 1, 'a small set was told in pieces')
      assert.deepEqual(plain(view.all()), plain([...(await registry.list(URL)), ...(await registry.list(OTHER_URL))]))
      assert.deepEqual(plain(await registry.list(URL)), plain([
        { url: URL, ...exact('changes', 'http://r/') }, { url: URL, ...exact('new') }, { url: URL, ...exact('stays', 'http://r/') }, { url: URL, ...glob('stays') },
      ]))
      for (const one of view.all()) if (one.target !== 'new') assert.equal(one.id, before.get(`${one.url} ${one.kind} ${one.target}`), `${one.target} is another registration now`)
      const last = view.calls.at(-1) as readonly RegistryChange[]
      assert.deepEqual(last.map((change) => (change.type === 'added' ? change.registration.target : 'removed')).sort(), ['changes', 'new', 'removed', 'removed'])
      await registry.set(URL, [])
      assert.deepEqual(plain(view.all()), [{ url: OTHER_URL, ...exact('changes') }])
    })

    for (const n of [16, 20, 1_000]) {
      test(`to set the same ${n} targets again changes nothing`, async (t) => {
        const { registry } = await open(t)
        const wanted = Array.from({ length: n }, (_, i) => (i % 2 === 0 ? exact(`a/${i}`) : glob(`b/${i}/*`)))
        await registry.set(URL, wanted)
        const first = byId(await registry.list(URL))
        assert.equal(first.length, n)
        const view = await watch(registry)
        const calls = view.calls.length
        await registry.set(URL, wanted)
        await registry.set(URL, wanted.toReversed())
        assert.deepEqual(byId(await registry.list(URL)), first)
        assert.equal(view.calls.length, calls, 'a change was told that was none')
      })
    }

    test('a set of thousands is told before its answer, in however many calls, and so is its end', async (t) => {
      const { registry } = await open(t)
      const view = await watch(registry)
      const wanted = Array.from({ length: 2_500 }, (_, i) => exact(`a/${i}`))
      await registry.set(URL, wanted)
      assert.equal(view.all().length, wanted.length)
      const listed = await registry.list(URL)
      // To show the difference of thousands would take seconds.
      assert.equal(listed.length, wanted.length)
      assert.deepEqual(byId(listed), byId(view.all()))
      await registry.set(URL, [])
      assert.equal(view.all().length, 0)
    })

    test('what stays in a set is never absent for another reader', async (t) => {
      const { registry, another } = await open(t)
      const reader = await another()
      const staying = Array.from({ length: 40 }, (_, i) => exact(`stays/${i}`))
      await registry.set(URL, staying)
      let sets = 0
      const writing = (async () => {
        for (; sets < 60; sets++) await registry.set(URL, [...staying, ...Array.from({ length: 20 }, (_, i) => exact(`${sets}/${i}`))])
      })()
      let reads = 0
      while (sets < 60) {
        const there = new Set((await reader.list(URL)).map((one) => one.target))
        reads++
        for (const one of staying) assert.ok(there.has(one.target), `${one.target} was absent in read ${reads}`)
      }
      await writing
      assert.ok(reads > 0)
    })

    test('hubs on one database have one secret: the first that was stated, whoever asks, and whatever for', async (t) => {
      const { registry, another } = await open(t)
      const others = [await another(), await another()]
      const fresh = [1, 2, 3].map((byte) => Buffer.alloc(64, byte))
      const got = await Promise.all([registry, ...others].map((one, i) => one.hubSecret(fresh[i] as Buffer)))
      assert.ok(fresh.some((bytes) => bytes.equals(got[0] as Uint8Array)), 'it is none of those stated')
      for (const one of [...got, await registry.hubSecret(Buffer.alloc(64, 9)), await (await another()).hubSecret(Buffer.alloc(64, 8))]) assert.deepEqual(Buffer.from(one), Buffer.from(got[0] as Uint8Array))
    })

    test('what was changed elsewhere is told here', async (t) => {
      const { registry, another } = await open(t)
      const elsewhere = await another()
      const view = await watch(registry)
      await elsewhere.add(URL, exact('a'))
      await view.shows((all) => all.length === 1, patience)
      await elsewhere.set(URL, [exact('a', 'http://r/'), glob('b')])
      await view.shows((all) => all.length === 2 && all.some((one) => one.recovery === 'http://r/'), patience)
      assert.deepEqual(byId(view.all()), byId(await elsewhere.list(URL)))
      await elsewhere.set(URL, [])
      await view.shows((all) => all.length === 0, patience)
    })

    test('what was answered elsewhere is told here once it was asked to be current, every time', async (t) => {
      const { registry, another } = await open(t)
      const elsewhere = await another()
      const [view, other] = [await watch(registry), await watch(elsewhere)]
      const wanted = Array.from({ length: 5 }, (_, i) => exact(`set/${i}`))
      for (let i = 0; i < 200; i++) {
        const [writer, reader, seen] = i % 2 === 0 ? [elsewhere, registry, view] : [registry, elsewhere, other]
        // Of eight rounds one takes away, and one sets.
        if (i % 8 === 3) await writer.remove(URL, exact(`${i - 1}`))
        else if (i % 8 === 6) await writer.set(OTHER_URL, wanted.slice(i % 5))
        else await writer.add(URL, exact(`${i}`))
        await reader.current()
        const there = new Set(seen.all().map((one) => `${one.url} ${one.target}`))
        if (i % 8 === 3) assert.ok(!there.has(`${URL} ${i - 1}`), `${i - 1} is still there`)
        else if (i % 8 === 6) assert.deepEqual([...there].filter((one) => one.startsWith(OTHER_URL)).sort(), wanted.slice(i % 5).map((one) => `${OTHER_URL} ${one.target}`))
        else assert.ok(there.has(`${URL} ${i}`), `${i} is not there`)
      }
    })

    test('to be current is nothing to wait for where nothing has happened, and asked for by many it is the same for all', async (t) => {
      const { registry, another } = await open(t)
      const elsewhere = await another()
      const view = await watch(registry)
      await registry.current()
      await registry.current()
      assert.equal(view.calls.length, 0)
      await elsewhere.add(URL, exact('a'))
      await Promise.all(Array.from({ length: 20 }, async () => {
        await registry.current()
        assert.equal(view.all().length, 1)
      }))
    })

    test('a database that has answered is available', async (t) => {
      const { registry } = await open(t)
      assert.equal(registry.available, true)
      await registry.add(URL, exact('a'))
      assert.equal(registry.available, true)
    })

    test('what is asked for all at once is all done', async (t) => {
      const { registry, another } = await open(t)
      const both = [registry, await another()]
      const view = await watch(registry)
      const made = await Promise.all(Array.from({ length: 200 }, (_, i) => (both[i % 2] as Registry).add(URL, exact(`a/${i % 100 - i % 2}`))))
      assert.equal(made.filter(Boolean).length, 50)
      assert.equal((await registry.list(URL)).length, 50)
      await view.shows((all) => all.length === 50, patience)
    })

    test('a signature is new once, until it has run out or is forgotten', async (t) => {
      const { registry, another, clock } = await open(t)
      const elsewhere = await another()
      const [one, other] = [Buffer.alloc(64, 1), Buffer.alloc(64, 2)]
      assert.equal(await registry.remember(one, clock.now() + 1_000, clock.now()), true)
      assert.equal(await registry.remember(one, clock.now() + 1_000, clock.now()), false)
      assert.equal(await elsewhere.remember(one, clock.now() + 9_000, clock.now()), false)
      assert.equal(await elsewhere.remember(other, clock.now() + 240_000, clock.now()), true)
      clock.advance(1_000)
      assert.equal(await registry.remember(one, clock.now() + 1_000, clock.now()), false, 'it was forgotten a moment too early')
      clock.advance(1)
      assert.equal(await registry.remember(one, clock.now() + 1_000, clock.now()), true)
      assert.equal(await elsewhere.remember(one, clock.now() + 1_000, clock.now()), false)
      await registry.forget(one)
      await registry.forget(one)
      assert.equal(await elsewhere.remember(one, clock.now() + 1_000, clock.now()), true)
      clock.advance(200_000)
      assert.equal(await registry.remember(other, clock.now() + 1_000, clock.now()), false)
    })

    test('a signature that is dated ahead, as far as a clock may be wrong, is like any other', async (t) => {
      const { registry, another, clock } = await open(t)
      const elsewhere = await another()
      for (const ahead of [1_000, 4_999, 5_000, 5_001, 60_000, 120_000]) {
        const [signature, signedAt] = [Buffer.from(`ahead ${ahead}`), clock.now() + ahead]
        assert.equal(await registry.remember(signature, signedAt + 121_000, signedAt), true)
        clock.advance(Math.floor(ahead / 2))
        assert.equal(await elsewhere.remember(signature, signedAt + 121_000, signedAt), false)
        clock.advance(ahead)
        assert.equal(await elsewhere.remember(signature, signedAt + 121_000, signedAt), false, 'its time has come, and it is new')
        await elsewhere.forget(signature)
        assert.equal(await registry.remember(signature, signedAt + 121_000, signedAt), true)
        assert.equal(await elsewhere.remember(signature, signedAt + 121_000, signedAt), false)
      }
    })

    test('of all who bring the same signature at once, one is told that it is new', async (t) => {
      const { registry, another, clock } = await open(t)
      const both = [registry, await another()]
      for (let i = 0; i < 30; i++) {
        const answers = await Promise.all([0, 1, 0, 1].map((which) => (both[which] as Registry).remember(Buffer.from(`signature ${i}`), clock.now() + 9_000, clock.now() + i * 400)))
        assert.equal(answers.filter(Boolean).length, 1)
      }
    })

    registryNoticesContract(open)
    registryKeysContract(open, patience)
    registryMovesContract(open)

    for (const seed of [1, 2, 3]) {
      test(`whatever two do at once, what is told is what is there (seed ${seed})`, async (t) => {
        const { registry, another } = await open(t)
        const both = [registry, await another()]
        const views = await Promise.all(both.map(watch))
        const random = createSeededRandom(seed)
        const pick = (n: number): number => Math.floor(random.next() * n)
        for (let round = 0; round < 20; round++) {
          await Promise.all(Array.from({ length: 10 }, () => randomly(both[pick(2)] as Registry, pick)))
        }
        const there = byId([...(await registry.list(URL)), ...(await registry.list(OTHER_URL))])
        for (const view of views) await view.shows((all) => JSON.stringify(byId(all)) === JSON.stringify(there), patience)
      })
    }

    test('when it is closed, what was asked for is settled first, and what comes later is refused', async (t) => {
      const { registry, another } = await open(t)
      const adding = Array.from({ length: 20 }, (_, i) => registry.add(URL, exact(`a/${i}`)))
      await Promise.all([registry.close(), registry.close()])
      assert.deepEqual(await Promise.all(adding), adding.map(() => true))
      assert.equal((await (await another()).list(URL)).length, 20)
      for (const late of [() => registry.list(URL), () => registry.add(URL, exact('late')), () => registry.remember(Buffer.from('x'), 1, 1), () => registry.keysOf(['a']), () => registry.removeKey('a'), () => registry.restore([])]) {
        await assert.rejects(async () => late(), (error) => error instanceof WaystationError && error.code === 'registry_unavailable')
      }
      await registry.close()
    })
  })
}

async function randomly(registry: Registry, pick: (n: number) => number): Promise<void> {
  const url = pick(2) === 0 ? URL : OTHER_URL
  const wanted = (): Wanted => ({ kind: pick(2) === 0 ? 'exact' : 'glob', target: topicFromText(`t${pick(6)}`), recovery: pick(2) === 0 ? undefined : `http://r${pick(2)}/` })
  const action = pick(4)
  if (action === 0) await registry.set(url, Array.from({ length: pick(8) }, wanted))
  else if (action === 1) await registry.remove(url, wanted())
  else await registry.add(url, wanted())
}
