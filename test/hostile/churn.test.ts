import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { OPCODE } from '../support/frames.ts'
import { buffersUsed, heapUsed } from '../support/memory.ts'
import { startServer } from '../support/server.ts'
import { openStill, stillSocket } from '../support/still-connection.ts'

/*
 * Topics that are visited once and left leave nothing. With as many as the issue asks for:
 *   npm run soak:churn
 */

const TOPICS = Number(process.env['CHURN_TOPICS'] ?? 3_000)
/** What fills caches that have a bound, and has the compiler do its work. */
const WARM_UP = Math.max(1_500, TOPICS / 5)
const AT_ONCE = 50

const VISITS: Record<string, (to: string, topic: string) => Promise<void>> = {
  async 'a WebSocket that says something'(to, topic) {
    const socket = await openStill(to, 'websocket', `/${topic}`)
    socket.read()
    socket.send(OPCODE.text, 'hello')
    await soon(() => socket.got.length === 1)
    socket.send(OPCODE.close, Buffer.of(0x03, 0xe8))
    await soon(() => socket.ended)
  },
  async 'an event stream'(to, topic) {
    const stream = await openStill(to, 'sse', `/${topic}`)
    stream.destroy()
  },
  async 'POSTs of one connection'(to, topic) {
    const near = stillSocket(to)
    let answers = ''
    near.on('data', (chunk: Buffer) => (answers += chunk.toString('latin1')))
    for (let i = 1; i <= 10; i++) {
      near.write(`POST /${topic}/${i} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello`)
      await soon(() => answers.split('HTTP/1.1 200 ').length === i + 1)
    }
    near.destroy()
  },
}

async function soon(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    if (turns === 100_000) throw new Error('nothing came')
    await new Promise(setImmediate)
  }
}

for (const [name, visit] of Object.entries(VISITS)) {
  test(`${TOPICS} topics that were visited once, by ${name}, leave the heap as it was`, async (t) => {
    // A TCP port for each visit would soon be one too many.
    const hub = await startServer(t, { addr: join(temporaryFolder(t), 'hub'), lonelyps: false, wspubsub: false })
    let begun = 0

    async function visitMany(count: number): Promise<void> {
      const end = begun + count
      await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        while (begun < end) await visit(hub.url, `visited/${++begun}/once`)
      }))
      await until(async () => (await gauge(hub.url, 'waystation_connections')) + (await gauge(hub.url, 'waystation_topics')) === 0, 'everybody to be gone')
    }

    const [many, few] = name.startsWith('POST') ? [TOPICS / 10, WARM_UP / 10] : [TOPICS, WARM_UP]
    await visitMany(few)
    const before = { buffers: await buffersUsed(), heap: heapUsed() }
    await visitMany(many)
    const after = { buffers: await buffersUsed(), heap: heapUsed() }
    const grown = after.heap - before.heap
    t.diagnostic(`${before.heap} bytes of heap before, ${grown} more after; ${after.buffers - before.buffers} of buffers`)
    assert.ok(grown < before.heap * 0.05, `${grown} bytes more than ${before.heap}`)
    assert.ok(after.buffers - before.buffers < 1_048_576, 'buffers')
  })
}

async function gauge(to: string, name: string): Promise<number> {
  const near = stillSocket(to)
  near.write('GET /_/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n')
  let page = ''
  for await (const chunk of near) page += String(chunk)
  return page.split('\n').filter((line) => line.startsWith(name)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}
