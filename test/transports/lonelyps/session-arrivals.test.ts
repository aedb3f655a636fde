import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitsWith } from '../../../src/core/limits.ts'
import { macOf, prove, type Scheme } from '../../../src/protocol/lonelyps/authorization.ts'
import { claims } from '../../../src/protocol/lonelyps/claims.ts'
import type { MessageHead, ToBroadcaster } from '../../../src/protocol/lonelyps/stateful/messages.ts'
import { encodeToBroadcaster } from '../../../src/protocol/lonelyps/stateful/to-broadcaster.ts'
import { createArrivals } from '../../../src/transports/lonelyps/socket/arrivals.ts'
import { headOf } from '../../support/lonelyps-socket.ts'
import { drawPlan, type Plan } from './model/plan.ts'
import { createFakeWire } from './model/wire.ts'
import { createWorld, type Fate } from './model/world.ts'

/* What is on its way to one socket, by a clock that is set by hand: when it is late, and in which order it is read. */
const NONE = Buffer.alloc(0)
const MIB = 1_048_576
const SPAN = 10_000
/** Looks are less than a tick late. */
const LATE = 500
const bare = { tracing: NONE, authorization: undefined }
const configure: ToBroadcaster = { type: 'configure', nonce: Buffer.alloc(32, 7), zstd: false, training: false, initialDictionary: 0, ...bare }

function open(more: Partial<Plan> = {}) {
  const none: Scheme = { type: 'none' }
  const limits = limitsWith({ requestTimeout: SPAN, acknowledgeTimeout: 3_000, configureTimeout: 1_000, spoolAbove: 8 * MIB, maxUnanswered: 2 })
  const plan: Plan = { ...drawPlan(1), toBroadcasters: none, toSubscribers: none, form: 'minimal', compression: 'no', relaying: 'none', limits, ...more }
  const world = createWorld(plan, 1)
  const wire = createFakeWire()
  const session = world.connect(wire, '192.0.2.7')
  let number = 0
  const nothing = { number: 0, bytes: 0, announced: 0, kept: 0 }
  return {
    world, wire, session,
    async say(message: ToBroadcaster) {
      session.receive(Buffer.concat([encodeToBroadcaster(message, 'minimal'), 'body' in message ? message.body : NONE]), true)
      session.arrived(nothing)
      await world.clock.settle()
    },
    /** So much of the next frame, or of the same, has come. */
    half(bytes: number, which: 'next' | 'same') {
      if (which === 'next') number++
      session.arrived({ number, bytes, announced: 16 * MIB, kept: Math.min(bytes, 100_000) })
    },
    async pass(ms: number) {
      for (let left = ms; left > 0; left -= 250) {
        world.clock.advance(Math.min(250, left))
        await world.clock.settle()
      }
    },
  }
}

const stream = (part: number, body: Buffer, length: number): ToBroadcaster => ({
  type: 'notify_stream', identifier: Buffer.from('s'), part, head: part === 0 ? { ...headOf(Buffer.from('a'), NONE), compressedLength: BigInt(length), decompressedLength: BigInt(length) } : undefined, body, ...bare,
})

test('a frame that has begun must end within the span, or bring a MiB in each', async () => {
  const { say, half, pass, wire, world } = open()
  await say(configure)
  half(100, 'next')
  await pass(SPAN - LATE)
  half(MIB + 100, 'same')
  await pass(SPAN)
  assert.deepEqual(wire.closes, [])
  half(2 * MIB, 'same')
  await pass(2 * LATE)
  assert.deepEqual([wire.closes, world.ended], [['1000 ""'], ['a message it began does not come']])
})

test('one frame after the other, each in time, is no slow one', async () => {
  const { say, half, pass, wire } = open()
  await say(configure)
  for (let i = 0; i < 5; i++) {
    half(1_000, 'next')
    await pass(SPAN - LATE)
  }
  assert.deepEqual(wire.closes, [])
})

test('a message in parts must end within the span, or bring a MiB in each, by its own bytes', async () => {
  for (const other of ['nothing', 'other frames'] as const) {
    const { say, half, pass, wire, world } = open()
    await say(configure)
    await say(stream(0, Buffer.alloc(10), 4 * MIB))
    await pass(SPAN - LATE)
    // Part of it is a frame that is on its way.
    half(MIB, 'next')
    await pass(SPAN - 2 * LATE)
    assert.deepEqual(wire.closes, [])
    await say(stream(1, Buffer.alloc(MIB), 4 * MIB))
    await pass(2 * LATE)
    assert.deepEqual(wire.closes, [])
    for (let i = 0; i < 4 && other === 'other frames'; i++) await say({ type: 'notify', identifier: NONE, head: headOf(Buffer.from('b'), Buffer.alloc(MIB)), body: Buffer.alloc(MIB), ...bare })
    await pass(SPAN + LATE)
    assert.deepEqual([wire.closes, world.ended], [['1000 ""'], ['a message it began does not come']])
    assert.equal(world.held().bodies, 0)
  }
})

test('what was whole in time leaves nothing that is late', async () => {
  const { say, half, pass, wire } = open()
  await say(configure)
  for (let i = 0; i < 3; i++) {
    await say({ ...stream(0, Buffer.alloc(10), 20), head: headOf(Buffer.from('a'), Buffer.alloc(20)) } as ToBroadcaster)
    half(300, 'next')
    await say(stream(1, Buffer.alloc(10), 20))
    await pass(3 * SPAN)
  }
  assert.deepEqual(wire.closes, [])
})

test('no time runs while the hub does not read, nor while a part waits for the disk', async () => {
  for (const why of ['not read', 'disk'] as const) {
    const { say, half, pass, wire, world } = open()
    await say(configure)
    if (why === 'disk') {
      world.moods.disk = 'slow'
      await say(stream(0, Buffer.alloc(10), 9 * MIB))
    } else {
      await say(stream(0, Buffer.alloc(10), MIB))
      world.moods.webhooks = 'slow'
      for (let i = 0; i < 2; i++) await say({ type: 'notify', identifier: NONE, head: headOf(Buffer.from('b'), NONE), body: NONE, ...bare })
      assert.ok(wire.paused)
      half(300, 'next')
    }
    await pass(5 * SPAN)
    assert.deepEqual(wire.closes, [])
    world.moods.disk = 'quick'
    if (why === 'disk') world.doors.disk.answer(0)
    else for (const i of [0, 1]) world.doors.webhooks.answer(i, 0)
    await world.clock.settle()
    await pass(SPAN - LATE)
    assert.deepEqual([wire.closes, wire.paused], [[], false])
    await pass(3 * LATE)
    assert.deepEqual([wire.closes.length, world.ended], [1, ['a message it began does not come']])
  }
})

test('no time runs while any part waits to be done', () => {
  let now = 0
  const arrivals = createArrivals({ now: () => now, span: SPAN, take: () => true, give() {}, inParts: () => 10, sooner() {} })
  arrivals.partWaits()
  arrivals.partDone()
  now = SPAN / 2
  arrivals.partWaits()
  arrivals.partWaits()
  arrivals.partDone()
  now = 5 * SPAN
  assert.deepEqual([arrivals.isLate(now), arrivals.due], [false, Infinity])
  arrivals.partDone()
  assert.equal(arrivals.due, 5.5 * SPAN)
  assert.equal(arrivals.isLate(5.5 * SPAN), true)
})

test('what has come of a message is booked as long as it is there: until its socket has gone', async () => {
  const { say, half, session, world } = open()
  await say(configure)
  half(4_096, 'next')
  assert.equal(world.held().bodies, 0)
  half(100_000, 'same')
  assert.equal(world.held().bodies, 100_000)
  half(5_000, 'next')
  assert.equal(world.held().bodies, 5_000)
  session.arrived({ number: 2, bytes: 0, announced: 0, kept: 0 })
  assert.equal(world.held().bodies, 0)
  half(70_000, 'next')
  session.close(1000, 'told to')
  assert.equal(world.held().bodies, 70_000)
  session.gone()
  assert.equal(world.held().bodies, 0)
})

test('a handshake that announces too much, or comes in too many pieces, ends before it has come', async () => {
  for (const unfinished of [{ number: 1, bytes: 10, announced: 200_000, kept: 300 }, { number: 1, bytes: 2_000, announced: 2_000, kept: 200_000 }]) {
    const { session, world } = open()
    session.arrived({ ...unfinished, announced: 190_000, kept: 190_000 })
    assert.deepEqual(world.ended, [])
    session.arrived(unfinished)
    assert.deepEqual(world.ended, ['a long message before CONFIGURE'])
  }
})

test('what comes behind frames of the handshake is read after them: a part is proved by what its first part says', async () => {
  const scheme: Scheme = { type: 'hmac', key: Buffer.alloc(64, 1) }
  const { say, world, wire } = open({ toBroadcasters: scheme })
  let nonce = 0
  const proved = (claim: ReturnType<typeof claims.notify>, fate: Fate): string => {
    const header = prove(scheme, claim, { now: Math.floor(world.clock.now() / 1_000), nonce: `${nonce++}` }) as string
    world.fates.set((macOf(header) as Buffer).toString('hex'), fate)
    return header
  }
  const notifyClaim = (head: MessageHead, identifier: string) => claims.notify({ ...head, identifier: Buffer.from(identifier), tracing: NONE })
  await say({ ...configure, authorization: proved(claims.configure(configure as Parameters<typeof claims.configure>[0]), 'slow') } as ToBroadcaster)
  const empty = headOf(Buffer.from('b'), NONE)
  await say({ type: 'notify', identifier: Buffer.from('n'), head: empty, body: NONE, tracing: NONE, authorization: proved(notifyClaim(empty, 'n'), 'slow') })
  const head = headOf(Buffer.from('a'), Buffer.from('ab'))
  await say({ type: 'notify_stream', identifier: Buffer.from('s'), part: 0, head, body: Buffer.from('a'), tracing: NONE, authorization: proved(notifyClaim(head, 's'), 'new') })
  world.doors.remember.answer(0, true)
  await world.clock.settle()
  // The connection is open, and the first part waits behind the NOTIFY.
  assert.equal(world.doors.remember.open, 1)
  await say({ type: 'notify_stream', identifier: Buffer.from('s'), part: 1, head: undefined, body: Buffer.from('b'), ...bare })
  world.doors.remember.answer(1, true)
  await world.clock.settle()
  assert.deepEqual([world.ended, wire.closes.length], [['the authorization of notify_stream is unauthorized'], 1])
})
