import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { createFanOut } from '../../../src/core/fan-out.ts'
import { limitsWith } from '../../../src/core/limits.ts'
import { createTurn } from '../../../src/core/turn.ts'
import { createWheel } from '../../../src/core/wheel.ts'
import { createOrigins } from '../../../src/http/origin.ts'
import { realClock } from '../../../src/server/real-world.ts'
import { GAP, sinkContract, subscriberContract, transportContract, type TransportClient } from '../../../src/testing/index.ts'
import { plain } from '../../../src/transports/sse/encode.ts'
import { EventStream } from '../../../src/transports/sse/event-stream.ts'
import { createSse } from '../../../src/transports/sse/sse.ts'
import { createInbox, until } from '../../support/events.ts'
import { raw, type Raw } from '../../support/raw.ts'
import { admitAll, anonymous, listenWith, transportKit } from '../../support/transport-port.ts'

const HEAD_END = '\r\n\r\n'

/** The data of the events so far, a gap as `GAP`. */
function eventsIn(stream: string): string[] {
  return stream.split('\n\n').slice(0, -1).filter((event) => event.includes('data: ')).map((event) => (event.includes('event: gap') ? GAP : event.split('data: ')[1] as string))
}

transportContract('event streams', async (t) => {
  const kit = transportKit({ drainTime: 100 })
  const transport = createSse({ kit, origins: createOrigins([]), admit: admitAll, identify: anonymous, path: '/_/sse' })
  const port = await listenWith(t, transport.route, kit)
  return {
    transport,
    async connect(topic): Promise<TransportClient> {
      const client = await raw(t, port)
      client.send(`GET /${topic} HTTP/1.1\r\nHost: hub\r\nAccept: text/event-stream\r\n\r\n`)
      const head = (await client.until((received) => received.includes('retry: ') || /^HTTP\/1.1 [^2]/.test(received.toString()))).toString()
      if (!head.startsWith('HTTP/1.1 200')) throw new Error(head)
      const inbox = createInbox<string>(`event on ${topic}`)
      let seen = 0
      const read = (): void => {
        const events = eventsIn(client.received().toString())
        for (const event of events.slice(seen)) inbox.push(event)
        seen = events.length
      }
      client.socket.on('data', read)
      read()
      return {
        next: () => inbox.next(),
        freeze: () => client.socket.pause(),
        leave: () => client.socket.destroy(),
        ended: client.ended,
      }
    },
  }
})

interface Pair {
  readonly stream: EventStream
  /** Settles when the stream is over on our side. */
  readonly closed: Promise<void>
  readonly far: Raw
  /** What has come at the far end, behind the head of the answer. */
  received(): Buffer
}

/** One event stream of ours, and the bare connection that is its other end. */
async function openPair(t: TestContext): Promise<Pair> {
  const server = createServer()
  const closed = Promise.withResolvers<void>()
  const opened = new Promise<EventStream>((resolve) => {
    server.on('request', (_, response) => resolve(new EventStream(response, {}, limitsWith(), createWheel(realClock), closed.resolve)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const far = await raw(t, (server.address() as AddressInfo).port)
  far.send('GET / HTTP/1.1\r\nHost: hub\r\n\r\n')
  const head = await far.until((received) => received.includes(HEAD_END))
  const start = head.indexOf(HEAD_END) + HEAD_END.length
  const stream = await opened
  t.after(() => stream.destroy())
  return { stream, closed: closed.promise, far, received: () => far.received().subarray(start) }
}

sinkContract('an event stream', async (t) => {
  const { stream, closed, far, received } = await openPair(t)
  return {
    sink: stream,
    async arrived(length) {
      await until(() => received().length >= length, `${length} bytes at the far end`)
      return received()
    },
    stall: () => far.socket.pause(),
    take: () => far.socket.resume(),
    async leave() {
      far.socket.destroy()
      await closed
    },
    ended: far.ended,
  }
}, { saysEnough: true })

subscriberContract('a fan-out of event streams', async (t) => {
  const events = { delivered() {}, slow() {}, lost() {}, empty() {} }
  const fanOut = createFanOut({ encoder: plain, turn: createTurn(realClock), clock: realClock, maxPendingBytes: 1_000_000, events })
  const pairs = await Promise.all([openPair(t), openPair(t)])
  for (const { stream } of pairs) fanOut.add(stream)
  const [{ stream, received }] = pairs as [Pair, Pair]
  let marks = 0
  return {
    subscriber: fanOut,
    receivers: 2,
    async arrived() {
      // Behind everything that was handed in, something whose coming can be waited for.
      const mark = `: mark ${++marks}\n\n`
      await new Promise<void>((resolve) => realClock.endOfTurn(resolve))
      stream.write(Buffer.from(mark))
      await until(() => received().includes(mark), 'the mark behind the messages')
      return eventsIn(received().toString())
    },
    async leave() {
      for (const { far } of pairs) far.socket.destroy()
      await Promise.all(pairs.map(({ closed }) => closed))
    },
  }
})
