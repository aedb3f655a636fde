import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createSpool } from '../../src/http/spool.ts'
import type { MessageHead, ReceivePart } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { createIncoming } from '../../src/subscriber/socket/incoming.ts'
import { createTaking } from '../../src/subscriber/socket/taking.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { acknowledged, openFakeBroadcaster, openSocketSubscriber, sha512 } from '../support/lonelyps-broadcaster.ts'
import { nextOf } from '../support/subscriber.ts'

const NONE = Buffer.alloc(0)
const headOf = (body: Buffer): MessageHead => {
  const length = BigInt(body.length)
  return { topic: Buffer.from('a'), compressor: 0, compressedLength: length, decompressedLength: length, sha512: sha512(body) }
}
const partOf = (body: Buffer, part = 0, head: MessageHead | undefined = part === 0 ? headOf(body) : undefined): ReceivePart =>
  ({ type: 'receive_stream', identifier: Buffer.from('id'), part, head, body, authorization: undefined, tracing: NONE })

function open(t: Parameters<typeof temporaryFolder>[0]) {
  const seen: string[] = []
  const gate = { isOpen: true, opened: Promise.withResolvers<void>() }
  const taking = createTaking(createSpool(temporaryFolder(t), 1_000_000), { spoolAbove: 1_000_000, waiting: 1_000, waitingBytes: 1_000_000_000, maxWindow: 0 })
  const over = new AbortController()
  t.after(() => over.abort())
  const incoming = createIncoming({
    taking,
    over: over.signal,
    deliver: (_, { content, done }) => {
      seen.push(content.body.toString())
      done()
    },
    missed: () => seen.push('missed'),
    acknowledge: (_, part) => seen.push(`acknowledged ${part ?? 'all'}`),
    room: () => (gate.isOpen ? undefined : gate.opened.promise),
    drop: (why) => seen.push(why),
    pause: () => seen.push('pause'),
    resume: () => seen.push('resume'),
  })
  return { seen, gate, incoming }
}

test('nothing more is acknowledged while the network does not take what was sent, and all of it afterwards', async (t) => {
  const { seen, gate, incoming } = open(t)
  incoming.part(partOf(Buffer.from('1')), 100, undefined)
  gate.isOpen = false
  incoming.part(partOf(Buffer.from('2')), 100, undefined)
  incoming.part(partOf(Buffer.from('3')), 100, undefined)
  await new Promise((resolve) => void setImmediate(resolve))
  assert.deepEqual(seen, ['1', 'acknowledged all'])
  gate.isOpen = true
  gate.opened.resolve()
  await until(() => seen.length === 6, 'the others')
  assert.deepEqual(seen.slice(2), ['2', 'acknowledged all', '3', 'acknowledged all'])
})

test('what waits its turn is counted with all of its frame, not with its body alone', async (t) => {
  const { seen, gate, incoming } = open(t)
  gate.isOpen = false
  for (let i = 0; i < 4; i++) incoming.part(partOf(Buffer.from(String(i))), 16_000_000, undefined)
  assert.equal(seen.length, 0)
  incoming.part(partOf(Buffer.from('4')), 16_000_000, undefined)
  assert.deepEqual(seen, ['pause'])
  gate.isOpen = true
  gate.opened.resolve()
  await until(() => seen.includes('resume'), 'less')
})

test('nothing is kept of the frames that parts came in', async (t) => {
  const { seen, incoming } = open(t)
  const body = randomBytes(300)
  const frames = [0, 200, 250].map((at, i, all) => Buffer.from(body.subarray(at, all[i + 1])))
  const first = { ...headOf(body), topic: Buffer.from('a') }
  const pieces = frames.map((frame, part) => ({ ...partOf(frame, part, part === 0 ? first : undefined), identifier: Buffer.from('id') }))
  for (const piece of pieces) {
    incoming.part(piece, 100, undefined)
    await until(() => seen.includes(`acknowledged ${piece.part}`) || seen.includes('acknowledged all'), 'its turn')
    // Whoever still looks at the frame is found out.
    for (const bytes of [piece.body, piece.identifier, piece.head?.sha512]) if (bytes !== undefined && piece.part < 2) bytes.fill(0)
    if (piece.part < 2) pieces[piece.part + 1]?.identifier.set(Buffer.from('id'))
  }
  assert.deepEqual(seen, ['acknowledged 0', 'acknowledged 1', body.toString(), 'acknowledged all'])
})

test('sixteen parts of a message may be empty', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const one = await openSocketSubscriber(t, fake)
  const feed = one.subscribe('a')
  await feed.ready
  const line = await fake.lines.next()
  await line.next('subscribe_exact')
  line.deliver('a', [...Array.from({ length: 16 }, () => NONE), Buffer.from('whole')])
  assert.equal(await (await nextOf(feed)).text(), 'whole')
  await acknowledged(line, 17)
})

test('feeds that are opened and closed leave nothing behind on their connection', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const one = await openSocketSubscriber(t, fake)
  await one.subscribe('kept').ready
  const [added, removed] = [t.mock.method(EventTarget.prototype, 'addEventListener'), t.mock.method(EventTarget.prototype, 'removeEventListener')]
  for (let i = 0; i < 5; i++) {
    const feed = one.subscribe(['a', 'b/*'])
    await feed.ready
    await feed.close()
  }
  assert.deepEqual([added.mock.callCount(), removed.mock.callCount()], [5, 5])
})
