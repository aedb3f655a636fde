import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { buffer } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { createClient } from '../support/lonelyps.ts'
import { startServer } from '../support/server.ts'
import { openStream } from '../support/sse.ts'
import { connect } from '../support/websocket.ts'

async function start(t: TestContext) {
  const server = await startServer(t, { dataDir: temporaryFolder(t), spoolAbove: 1_000 })
  const spooled = async (): Promise<number> => Number(/^waystation_spool_bytes (\d+)$/m.exec(await (await fetch(`${server.url}/_/metrics`)).text())?.[1])
  return { server, client: createClient(server.port), spooled }
}

test('a program reads a message that is too large for memory as a stream, and the disk is free when it asks for the next', async (t) => {
  const { server, client, spooled } = await start(t)
  const reading = server.hub.subscribe('a')
  const large = Buffer.alloc(300_000, 'large ')
  assert.equal((await client.notify('a', large)).subscribers, 1)
  assert.equal((await client.notify('a', 'small')).subscribers, 1)
  assert.equal(await spooled(), 300_000)
  const { value } = await reading.next()
  assert.equal(value.size, 300_000)
  assert.throws(() => value.body, /too large for memory/)
  const pieces: Buffer[] = []
  for await (const piece of value.stream()) pieces.push(Buffer.from(piece))
  assert.ok(Buffer.concat(pieces).equals(large))
  const next = (await reading.next()).value
  assert.deepEqual([next.size, next.text(), (await buffer(Readable.from(next.stream()))).toString()], [5, 'small', 'small'])
  await until(async () => (await spooled()) === 0, 'an empty spool')
})

test('large messages that a program never reads are gone from disk when it stops', async (t) => {
  const { server, client, spooled } = await start(t)
  const waiting = server.hub.subscribe('a')
  const slow = server.hub.subscribe('a', { maxWaiting: 1 })
  for (let i = 0; i < 3; i++) await client.notify('a', Buffer.alloc(2_000))
  assert.equal(await spooled(), 6_000)
  await slow.next()
  await assert.rejects(slow.next(), { code: 'slow_consumer' })
  await slow.return?.()
  await waiting.next()
  await waiting.return?.()
  await until(async () => (await spooled()) === 0, 'an empty spool')
})

test('whoever cannot take a message of that size is told of a gap in its place', async (t) => {
  const { server, client } = await start(t)
  const stream = await openStream(t, `${server.url}/a`)
  const json = await connect(t, `${server.ws}/a?format=json`)
  await json.next()
  await client.notify('a', 'before')
  assert.equal((await client.notify('a', Buffer.alloc(2_000))).subscribers, 0)
  await client.notify('a', 'after')
  const events = await stream.inbox.take(3)
  assert.deepEqual(events.map(({ event }) => event), ['message', 'gap', 'message'])
  const frames = (await json.inbox.take(3)).map(({ data }) => JSON.parse(data) as { data?: string; gap?: { from: string; to: string } })
  assert.deepEqual(frames.map(({ data, gap }) => data ?? gap?.to.replace(/^.*:/, '')), ['before', '2', 'after'])
})
