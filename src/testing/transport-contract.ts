import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import type { HubPort, Transport } from '../core/ports.ts'
import { createTestHub, type TestHub } from './test-hub.ts'

export interface TransportUnderTest {
  readonly transport: Transport
  /**
   * Subscribes a client to this topic, over the wire, as any client would. Settles when it is subscribed; rejects when the
   * transport lets nobody in.
   */
  connect(topic: string): Promise<TransportClient>
}

export interface TransportClient {
  /** The body of its next message, as text. */
  next(): Promise<string>
  /** From now on it takes and answers nothing, as if its cable had been pulled. */
  freeze(): void
  /** It goes away. */
  leave(): void
  /** Settles when its connection is over. */
  readonly ended: Promise<unknown>
}

const LIMIT = { timeout: 60_000 }

/**
 * What every `Transport` must do. The suite brings the hub; its clock stands still, the transport's own may be real. A
 * transport under test is cleaned up by what it registers with `t.after`.
 */
export function transportContract(name: string, create: (t: TestContext) => Promise<TransportUnderTest> | TransportUnderTest): void {
  suite(`${name}, as a transport`, () => {
    test('it has a name', LIMIT, async (t) => {
      const { transport } = await create(t)
      assert.match(transport.name, /^[a-z][a-z0-9-]*$/)
    })

    test('before its start it lets nobody in', LIMIT, async (t) => {
      const { connect } = await create(t)
      await assert.rejects(connect('news'))
    })

    test('every client of a topic gets all its messages, once, in one order', LIMIT, async (t) => {
      const { world, connect } = await started(t)
      const clients = await Promise.all([connect('news'), connect('news'), connect('news')])
      const expected = Array.from({ length: 100 }, (_, i) => `message ${i}`)
      for (const [i, text] of expected.entries()) {
        await world.publish('news', text)
        if (i % 10 === 0) await world.publish('other', 'not for them')
      }
      for (const client of clients) assert.deepEqual(await take(client, expected.length), expected)
    })

    test('a client gets what is published once it is in, and nothing from before', LIMIT, async (t) => {
      const { world, connect } = await started(t)
      const first = await connect('news')
      await world.publish('news', 'one')
      const second = await connect('news')
      await world.publish('news', 'two')
      assert.deepEqual(await take(first, 2), ['one', 'two'])
      assert.equal(await second.next(), 'two')
    })

    test('a client that has gone leaves nothing behind in the hub', LIMIT, async (t) => {
      const { world, connect } = await started(t)
      const [leaving, staying] = [await connect('news'), await connect('other')]
      assert.equal(names(world), 2)
      leaving.leave()
      await until(() => names(world) === 1, 'the hub forgets the topic of the client that left')
      await world.publish('other', 'still here')
      assert.equal(await staying.next(), 'still here')
    })

    test('nothing is published from within a delivery', LIMIT, async (t) => {
      const { world, connect, nested } = await started(t)
      const client = await connect('news')
      await world.publish('news', 'one')
      assert.equal(await client.next(), 'one')
      assert.equal(nested(), 0)
    })

    test('at its stop it lets no more in, and settles when those who were here are gone', LIMIT, async (t) => {
      const { world, transport, connect } = await started(t)
      const clients = await Promise.all([connect('news'), connect('news'), connect('other')])
      await transport.stop(new AbortController().signal)
      assert.equal(names(world), 0, 'somebody is left in the hub')
      await Promise.all(clients.map((client) => client.ended))
      await assert.rejects(connect('news'))
    })

    test('a stop before the start does nothing', LIMIT, async (t) => {
      const { transport, connect } = await create(t)
      const world = createTestHub()
      await transport.stop(new AbortController().signal)
      await transport.start(world.hub)
      const client = await connect('news')
      await world.publish('news', 'after all')
      assert.equal(await client.next(), 'after all')
    })

    test('a second stop does nothing, whether during the first or after it', LIMIT, async (t) => {
      const { world, transport, connect } = await started(t)
      const client = await connect('news')
      const { signal } = new AbortController()
      await Promise.all([transport.stop(signal), transport.stop(signal)])
      await transport.stop(signal)
      await client.ended
      assert.equal(names(world), 0)
    })

    test('a stop whose time is up already lets go of everyone at once', LIMIT, async (t) => {
      const { world, transport, connect } = await started(t)
      const clients = await Promise.all([connect('news'), connect('other')])
      clients[0]?.freeze()
      await transport.stop(AbortSignal.abort())
      await until(() => names(world) === 0, 'the hub forgets everyone')
      await clients[1]?.ended
    })

    test('a client that answers nothing holds the stop up no longer than its time', LIMIT, async (t) => {
      const { world, transport, connect } = await started(t)
      const [frozen, other] = [await connect('news'), await connect('news')]
      frozen.freeze()
      const deadline = new AbortController()
      const stopped = transport.stop(deadline.signal)
      await other.ended
      deadline.abort()
      await stopped
      await until(() => names(world) === 0, 'the hub forgets everyone')
    })

    async function started(t: TestContext): Promise<TransportUnderTest & { world: TestHub; nested: () => number }> {
      const under = await create(t)
      const world = createTestHub()
      const { port, publish, nested } = watched(world)
      await under.transport.start(port)
      return { ...under, world: { ...world, publish }, nested }
    }
  })
}

/** The hub as the transport gets it, with an eye on publications that are made while another is delivered. */
function watched(world: TestHub): { port: HubPort; publish: TestHub['publish']; nested: () => number } {
  let depth = 0
  let nested = 0
  const { hub } = world
  const port: HubPort = {
    get cursor() { return hub.cursor },
    publish(draft, by) {
      if (depth > 0) nested++
      return hub.publish(draft, by)
    },
    may: (verb, topic, by) => hub.may(verb, topic, by),
    maySubscribe: (interest, by) => hub.maySubscribe(interest, by),
    join: (interest, subscriber) => hub.join(interest, subscriber),
    resume: (interest, after, late) => hub.resume(interest, after, late),
  }
  return {
    port,
    nested: () => nested,
    publish(topic, text) {
      depth++
      // What is delivered is delivered before this returns: the log in memory is synchronous.
      const published = world.publish(topic, text)
      depth--
      return published
    },
  }
}

function names(world: TestHub): number {
  return world.hub.topics + world.hub.patterns
}

async function take(client: TransportClient, n: number): Promise<string[]> {
  const all: string[] = []
  while (all.length < n) all.push(await client.next())
  return all
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!condition()) {
    assert.ok(performance.now() < deadline, `${what}: not within 20 s`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
