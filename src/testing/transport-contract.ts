import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import type { HubPort, Transport } from '../core/ports.ts'
import { PATIENCE, within, type Patience } from './patience.ts'
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

/**
 * What every `Transport` must do. The suite brings the hub; its clock stands still, the transport's own may be real. A
 * transport under test is cleaned up by what it registers with `t.after`.
 */
export function transportContract(
  name: string,
  create: (t: TestContext) => Promise<TransportUnderTest> | TransportUnderTest,
  { patience = PATIENCE }: Patience = {},
): void {
  const soon = <T>(promise: Promise<T>, what: string): Promise<T> => within(promise, what, patience)

  suite(`${name}, as a transport`, () => {
    test('it has a name', async (t) => {
      const { transport } = await create(t)
      assert.match(transport.name, /^[a-z][a-z0-9-]*$/)
    })

    test('before its start it lets nobody in', async (t) => {
      const { connect } = await create(t)
      await assert.rejects(connect('news'))
    })

    test('every client of a topic gets all its messages, once, in one order', async (t) => {
      const { world, connect } = await started(t)
      const clients = await Promise.all([connect('news'), connect('news'), connect('news')])
      const expected = Array.from({ length: 100 }, (_, i) => `message ${i}`)
      for (const [i, text] of expected.entries()) {
        await world.publish('news', text)
        if (i % 10 === 0) await world.publish('other', 'not for them')
      }
      for (const client of clients) assert.deepEqual(await take(client, expected.length), expected)
    })

    test('a client gets what is published once it is in, and nothing from before', async (t) => {
      const { world, connect } = await started(t)
      const first = await connect('news')
      await world.publish('news', 'one')
      const second = await connect('news')
      await world.publish('news', 'two')
      assert.deepEqual(await take(first, 2), ['one', 'two'])
      assert.deepEqual(await take(second, 1), ['two'])
    })

    test('a client that has gone leaves nothing behind in the hub', async (t) => {
      const { world, connect } = await started(t)
      const [leaving, staying] = [await connect('news'), await connect('other')]
      assert.equal(names(world), 2)
      leaving.leave()
      await until(() => names(world) === 1, 'the hub forgets the topic of the client that left')
      await world.publish('other', 'still here')
      assert.deepEqual(await take(staying, 1), ['still here'])
    })

    test('nothing is published from within a delivery', async (t) => {
      const { world, connect, nested } = await started(t)
      const client = await connect('news')
      await world.publish('news', 'one')
      assert.deepEqual(await take(client, 1), ['one'])
      assert.equal(nested(), 0)
    })

    test('at its stop it lets no more in, and settles when those who were here are gone', async (t) => {
      const { world, transport, connect } = await started(t)
      const clients = await Promise.all([connect('news'), connect('news'), connect('other')])
      await soon(transport.stop(new AbortController().signal), 'the stop')
      assert.equal(names(world), 0, 'somebody is left in the hub')
      await soon(Promise.all(clients.map((client) => client.ended)), 'the end of every client')
      await assert.rejects(connect('news'))
    })

    test('a stop before the start does nothing', async (t) => {
      const { transport, connect } = await create(t)
      const world = createTestHub()
      await soon(transport.stop(new AbortController().signal), 'the stop')
      await transport.start(world.hub)
      const client = await connect('news')
      await world.publish('news', 'after all')
      assert.deepEqual(await take(client, 1), ['after all'])
    })

    test('a second stop does nothing, whether during the first or after it', async (t) => {
      const { world, transport, connect } = await started(t)
      const client = await connect('news')
      const { signal } = new AbortController()
      await soon(Promise.all([transport.stop(signal), transport.stop(signal)]), 'the stops')
      await soon(transport.stop(signal), 'the second stop')
      await soon(client.ended, 'the end of the client')
      assert.equal(names(world), 0)
    })

    test('a stop whose time is up already lets go of everyone at once', async (t) => {
      const { world, transport, connect } = await started(t)
      const clients = await Promise.all([connect('news'), connect('other')])
      clients[0]?.freeze()
      await soon(transport.stop(AbortSignal.abort()), 'the stop')
      await until(() => names(world) === 0, 'the hub forgets everyone')
      await soon(clients[1]?.ended as Promise<unknown>, 'the end of the other client')
    })

    test('a client that answers nothing holds the stop up no longer than its time', async (t) => {
      const { world, transport, connect } = await started(t)
      const [frozen, other] = [await connect('news'), await connect('news')]
      frozen.freeze()
      const deadline = new AbortController()
      const stopped = transport.stop(deadline.signal)
      await soon(other.ended, 'the end of the other client')
      deadline.abort()
      await soon(stopped, 'the stop')
      await until(() => names(world) === 0, 'the hub forgets everyone')
    })

    async function take(client: TransportClient, n: number): Promise<string[]> {
      const all: string[] = []
      while (all.length < n) all.push(await soon(client.next(), `message ${all.length + 1} of ${n}`))
      return all
    }

    async function until(condition: () => boolean, what: string): Promise<void> {
      const deadline = performance.now() + patience
      while (!condition()) {
        assert.ok(performance.now() < deadline, `${what}: not within ${patience} ms`)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }

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
    get head() { return hub.head },
    publish(draft, by) {
      if (depth > 0) nested++
      return hub.publish(draft, by)
    },
    lose: (interest) => hub.lose(interest),
    audience: (topic) => hub.audience(topic),
    may: (verb, topic, by) => hub.may(verb, topic, by),
    maySubscribe: (interest, by) => hub.maySubscribe(interest, by),
    join: (interest, subscriber) => hub.join(interest, subscriber),
    joinAll: (subscriber) => hub.joinAll(subscriber),
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
