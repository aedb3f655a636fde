import assert from 'node:assert/strict'
import { pino } from 'pino'
import { test, type TestContext } from 'node:test'
import { createServer, type Config, type WaystationServer } from '../../src/index.ts'
import { until } from '../support/events.ts'
import { openFrames, OPCODE } from '../support/frames.ts'
import { clientFrame, raw, type Raw } from '../support/raw.ts'
import { request } from '../support/responses.ts'
import { openStream } from '../support/sse.ts'
import { connect } from '../support/websocket.ts'

/* Readers that do not read: maxPendingBytes and writeTimeout. */

interface Hub extends WaystationServer {
  readonly port: number
  /** The log lines so far. */
  readonly lines: Record<string, unknown>[]
  metric(name: string): Promise<number>
  /** Numbered messages of about 64 KB on a topic, one a turn, until the condition holds. Gives how many. */
  flood(topic: string, enough: () => boolean | Promise<boolean>): Promise<number>
}

async function startHub(t: TestContext, config: Config): Promise<Hub> {
  const lines: Record<string, unknown>[] = []
  const logger = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) })
  const server = createServer({ addr: '127.0.0.1:0', ...config }, { logger })
  await server.listen()
  t.after(() => server.close(AbortSignal.abort()))
  return Object.assign(server, {
    port: Number(new URL(server.url).port),
    lines,
    async metric(name: string) {
      const page = await (await fetch(`${server.url}/_/metrics`)).text()
      return page.split('\n').filter((line) => line.startsWith(name)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
    },
    async flood(topic: string, enough: () => boolean | Promise<boolean>) {
      const filling = 'x'.repeat(65_500)
      for (let n = 0; ; n++) {
        if (await enough()) return n
        if (n > 4_000) throw new Error('nothing came of 256 MB')
        await server.hub.publish(topic, `${n} ${filling}`)
        await new Promise(setImmediate)
      }
    },
  })
}

const TRANSPORTS = {
  pinghub: {
    async stall(t: TestContext, port: number): Promise<{ raw: Raw; goodbye(): Promise<void> }> {
      const socket = await openFrames(t, port, '/topic%20one')
      socket.raw.socket.pause()
      return { raw: socket.raw, async goodbye() {
        for (let n = 0; ; n++) {
          const { opcode, payload } = await socket.frames.next()
          if (opcode === OPCODE.close) {
            assert.deepEqual([payload.readUInt16BE(0), payload.toString('utf8', 2)], [1013, 'slow consumer'])
            return
          }
          assert.equal(payload.toString('utf8', 0, payload.indexOf(' ')), String(n), 'what was taken before has no hole')
        }
      } }
    },
  },
  sse: {
    async stall(t: TestContext, port: number): Promise<{ raw: Raw; goodbye(): Promise<void> }> {
      const connection = await raw(t, port)
      connection.send(request('GET /topic%20one', { headers: { Accept: 'text/event-stream' } }))
      await connection.until((received) => received.includes('\nid: '))
      connection.socket.pause()
      return { raw: connection, async goodbye() {
        const text = (await connection.ended).toString()
        const numbers = [...text.matchAll(/^data: (\d+) /gm)].map((match) => Number(match[1]))
        assert.deepEqual(numbers, numbers.map((_, i) => i), 'what was taken before has no hole')
        assert.match(text, /\n\n: slow consumer\n\n$/)
      } }
    },
  },
} as const

for (const [name, { stall }] of Object.entries(TRANSPORTS)) {
  test(`maxPendingBytes: a ${name} client that does not read is let go with a reason, a metric and a log line, and the others lose nothing`, async (t) => {
    const hub = await startHub(t, { maxPendingBytes: 65_536, logLevel: 'warn' })
    const slow = await stall(t, hub.port)
    const [socket, stream] = [await connect(t, `${hub.url.replace('http', 'ws')}/topic%20one`), await openStream(t, `${hub.url}/topic%20one`)]
    const sent = await hub.flood('topic one', () => hub.lines.length > 0)
    slow.raw.socket.resume()
    await slow.goodbye()
    for (let n = 0; n < sent; n++) {
      assert.equal((await socket.next()).split(' ')[0], String(n))
      assert.equal((await stream.next()).data.split(' ')[0], String(n))
    }
    assert.deepEqual(hub.lines.map(({ level, transport, topic, msg }) => [level, transport, topic, msg]), [[40, name, 'topic one', 'a slow consumer was let go']])
    assert.equal(await hub.metric(`waystation_slow_consumers_total{transport="${name}"}`), 1)
    assert.equal(await hub.metric('waystation_slow_consumers_total'), 1)
  })

  test(`writeTimeout: a ${name} client that takes nothing is cut, though it is not over maxPendingBytes`, async (t) => {
    const hub = await startHub(t, { maxPendingBytes: 268_435_456, writeTimeout: 200, logLevel: 'silent' })
    const slow = await stall(t, hub.port)
    const gone = async (): Promise<boolean> => (await hub.metric('waystation_connections')) === 0
    await hub.flood('topic one', gone)
    assert.equal(await hub.metric('waystation_slow_consumers_total'), 0)
    slow.raw.socket.resume()
    await slow.raw.ended
  })

  test(`writeTimeout: a ${name} client that was let go and still does not read is cut`, async (t) => {
    // Long enough that it is over maxPendingBytes, a turn or two after its buffers are full, before a write has waited so long.
    const hub = await startHub(t, { maxPendingBytes: 65_536, writeTimeout: 1_000, logLevel: 'silent' })
    await stall(t, hub.port)
    for (let burst = 0; burst < 8; burst++) await Promise.all(Array.from({ length: 64 }, () => hub.hub.publish('topic one', 'x'.repeat(65_500))))
    assert.equal(await hub.metric('waystation_slow_consumers_total'), 1)
    await until(async () => (await hub.metric('waystation_connections')) === 0, 'the cut')
  })
}

test('a client that asks and asks and never reads the answers is cut, and costs no more than its share', async (t) => {
  const hub = await startHub(t, { logLevel: 'silent' })
  const before = process.memoryUsage.rss()
  const greedy = await openFrames(t, hub.port, '/a')
  greedy.raw.socket.pause()
  let ended = false
  greedy.raw.socket.on('error', () => {}).on('close', () => (ended = true))
  const pings = Buffer.concat(Array.from({ length: 500 }, () => clientFrame(OPCODE.ping, 'x'.repeat(125))))
  await until(async () => {
    if (greedy.raw.socket.writableLength < 1_000_000) for (let i = 0; i < 10; i++) greedy.raw.send(pings)
    return ended || (await hub.metric('waystation_connections')) === 0
  }, 'the cut')
  assert.ok(process.memoryUsage.rss() - before < 200_000_000, 'memory')
})
