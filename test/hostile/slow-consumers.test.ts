import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { test, type TestContext } from 'node:test'
import { pino } from 'pino'
import { fromProgram, effective } from '../../src/server/config.ts'
import { compose } from '../../src/server/create-server.ts'
import type { Config } from '../../src/server/options.ts'
import type { HubPort } from '../../src/core/ports.ts'
import { exactly } from '../../src/core/interest.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { until } from '../support/events.ts'
import { OPCODE } from '../support/frames.ts'
import { buffersUsed, heapUsed } from '../support/memory.ts'
import { openStill, stillSocket, type Kind, type StillConnection } from '../support/still-connection.ts'

/* Those who do not keep up, and what they cost the others: maxPendingBytes, and what waits is there once. */

const KINDS = ['websocket', 'sse'] as const
const MIB = 1_048_576

interface Hub {
  readonly server: ReturnType<typeof compose>
  readonly http: Server
  readonly lines: Record<string, unknown>[]
  open(kind: Kind, query?: string): Promise<StillConnection>
  /** Numbered messages of one KiB, each in a turn of its own. */
  publish(count: number): Promise<void>
  readonly published: number
  metric(name: string): Promise<number>
}

async function startHub(t: TestContext, config: Config = {}): Promise<Hub> {
  const lines: Record<string, unknown>[] = []
  const logger = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) })
  const server = compose(effective([fromProgram({ lonelyps: false, wspubsub: false, ...config })]).options, { logger })
  const http = createServer()
  await server.attach(http)
  t.after(() => server.close(AbortSignal.abort()))
  let published = 0
  return {
    server,
    http,
    lines,
    open: (kind, query = '') => openStill(http, kind, `/busy${query}`),
    get published() { return published },
    async publish(count) {
      for (let i = 0; i < count; i++) {
        await server.hub.publish('busy', numbered(published++))
        await new Promise(setImmediate)
      }
    },
    async metric(name) {
      const reading = await openPage(http)
      return reading.split('\n').filter((line) => line.startsWith(name)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
    },
  }
}

function numbered(n: number): string {
  return `${n} `.padEnd(1_024, 'x')
}

/** A message as its number, so that a difference can be read; all else as it came. */
function told(texts: readonly string[]): (number | string)[] {
  return texts.map((text) => (text === numbered(Number.parseInt(text, 10)) ? Number.parseInt(text, 10) : text))
}

function messages(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i)
}

function lose({ server }: Hub): void {
  const port = server.vitals.hub as Pick<HubPort, 'lose'> & typeof server.vitals.hub
  port.lose(exactly(topicFromText('busy')))
}

function connections({ server }: Hub): number {
  return Object.values(server.vitals.connections()).reduce((sum, count) => sum + count, 0)
}

test('what waits for three hundred who do not read is in memory once, and gone when they are; who reads loses nothing', async (t) => {
  const hub = await startHub(t)
  const healthy = [await hub.open('websocket'), await hub.open('sse')]
  for (const one of healthy) one.read()
  const stalled = await Promise.all(Array.from({ length: 300 }, (_, i) => hub.open(KINDS[i % 2] as Kind)))
  // Until each has what it takes over.
  await hub.publish(200)
  const before = { buffers: await buffersUsed(), heap: heapUsed() }
  await hub.publish(500)
  const grown = { buffers: await buffersUsed() - before.buffers, heap: heapUsed() - before.heap }
  // Once as a frame, once as an event, once for each who reads (which keeps it as text), and the room that a collector leaves.
  assert.ok(grown.buffers < 3 * MIB, `${grown.buffers} bytes of buffers for half a MiB that 300 have not got`)
  assert.ok(grown.heap < 6 * MIB, `${grown.heap} bytes of objects`)
  assert.deepEqual(hub.lines, [])
  for (const one of healthy) {
    await until(() => one.got.length === 700, 'all messages')
    assert.deepEqual(told(one.got), messages(0, 700))
  }
  for (const one of stalled) one.destroy()
  await until(() => connections(hub) === 2, 'the end of the stalled')
  assert.ok(await buffersUsed() - before.buffers < MIB / 8, 'what waited is freed')
})

for (const kind of KINDS) {
  test(`a ${kind} subscriber that reads again in time gets everything, in order, and what is published then behind it`, async (t) => {
    const hub = await startHub(t)
    const slow = await hub.open(kind)
    for (let round = 1; round <= 3; round++) {
      await hub.publish(600)
      slow.read()
      await hub.publish(10)
      await until(() => slow.got.length >= hub.published, 'all messages')
      slow.stopReading()
    }
    assert.deepEqual(told(slow.got), messages(0, hub.published))
    assert.deepEqual(hub.lines, [])
  })

  test(`a ${kind} subscriber that is let go gets what was written to it, without a hole, and the reason; metric and log say so`, async (t) => {
    const hub = await startHub(t, { maxPendingBytes: 300_000 })
    const [slow, other] = [await hub.open(kind), await hub.open(kind)]
    other.read()
    await hub.publish(600)
    slow.read()
    await until(() => slow.ended, 'the end')
    const goodbye = slow.got.at(-1)
    assert.equal(goodbye, kind === 'websocket' ? 'close 1013 slow consumer' : ': slow consumer')
    assert.ok(slow.got.length > 1 && slow.got.length < 200)
    assert.deepEqual(told(slow.got.slice(0, -1)), messages(0, slow.got.length - 1))
    const transport = kind === 'websocket' ? 'pinghub' : 'sse'
    assert.equal(await hub.metric(`waystation_slow_consumers_total{transport="${transport}"}`), 1)
    assert.deepEqual(hub.lines.map(({ level, topic, msg, transport: by }) => [level, topic, msg, by]), [[40, 'busy', 'a slow consumer was let go', transport]])
    await until(() => other.got.length === 600, 'all messages')
    assert.deepEqual(told(other.got), messages(0, 600))
  })

  test(`a ${kind} subscriber that is behind when the hub goes away gets all that it is owed, and then the goodbye`, async (t) => {
    const hub = await startHub(t)
    const slow = await hub.open(kind)
    await hub.publish(500)
    const closing = hub.server.close()
    await new Promise(setImmediate)
    slow.read()
    await closing
    await until(() => slow.got.length === 501, 'all messages')
    assert.deepEqual(told(slow.got), [...messages(0, 500), kind === 'websocket' ? 'close 1001 the server is going away' : ': the server is going away'])
  })

  test(`a ${kind} subscriber that is behind when messages are lost is told in their place`, async (t) => {
    const hub = await startHub(t)
    const slow = await hub.open(kind, '?format=json')
    await hub.publish(300)
    lose(hub)
    await hub.publish(300)
    slow.read()
    const all = kind === 'websocket' ? 602 : 601
    await until(() => slow.got.length >= all, 'all messages')
    const seen = slow.got.map((text) => JSON.parse(text) as { type?: string; data?: string })
    const bodies = seen.flatMap(({ data }) => data ?? [])
    assert.deepEqual(told(bodies), messages(0, 600))
    const gap = slow.got.findIndex((text) => text.includes('gap'))
    assert.ok(slow.got[gap - 1]?.includes(`"${numbered(299)}"`) && slow.got[gap + 1]?.includes(`"${numbered(300)}"`), `the gap is at ${gap}`)
  })
}

test('a subscriber that is behind when messages are lost, and whose protocol has no word for it, gets what was before and then the reason', async (t) => {
  const hub = await startHub(t)
  const slow = await hub.open('websocket')
  await hub.publish(300)
  lose(hub)
  await hub.publish(300)
  slow.read()
  await until(() => slow.got.length === 301, 'all messages, and the reason')
  assert.deepEqual(told(slow.got.slice(0, 300)), messages(0, 300))
  assert.match(slow.got[300] ?? '', /^close 4410 gap: messages are lost; live is at /)
})

test('pings to one who is behind, and his answers, stand between messages', async (t) => {
  const hub = await startHub(t, { pingInterval: 100, pongDeadline: 60_000 })
  const [slow, other] = [await hub.open('websocket'), await hub.open('websocket')]
  other.read()
  await hub.publish(300)
  slow.send(OPCODE.ping)
  await until(() => other.got.includes('ping'), 'a ping to both')
  await hub.publish(100)
  slow.read()
  await until(() => slow.got.filter((text) => text !== 'ping').length >= 400, 'all messages')
  assert.deepEqual(told(slow.got.filter((text) => text !== 'ping')), messages(0, 400))
  assert.ok(slow.got.includes('ping'))
})

test('one who is behind and says goodbye gets all that he is owed before the answer', async (t) => {
  const hub = await startHub(t)
  const slow = await hub.open('websocket')
  await hub.publish(300)
  slow.send(OPCODE.close, Buffer.of(0x03, 0xe8))
  slow.read()
  await until(() => slow.ended, 'the end')
  assert.deepEqual(told(slow.got), [...messages(0, 300), 'close 1000 '])
})

/** The hub's own page, by the same way. */
async function openPage(http: Server): Promise<string> {
  const near = stillSocket(http)
  near.write('GET /_/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n')
  let page = ''
  for await (const chunk of near) page += String(chunk)
  return page
}
