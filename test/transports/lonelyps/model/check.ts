import { topicFromBytes } from '../../../../src/core/topic.ts'
import type { Model } from './model.ts'
import { bytesOf } from './model-socket.ts'
import type { Peer } from './peer.ts'
import { TOPICS, WHOLE, type Plan } from './plan.ts'
import type { World } from './world.ts'

export interface Watched {
  readonly plan: Plan
  readonly world: World
  readonly model: Model
  readonly peers: readonly Peer[]
}

/** Looks are at most so late, and the time of the wheel is at most so old. */
const LATE = 1_000
const EARLY = 250

/**
 * Holds everything that can be seen from outside against the model, when nothing moves any more.
 * @throws {Error} where they differ
 */
export function check(watched: Watched): void {
  const { plan, world, model, peers } = watched
  for (const peer of peers) {
    try {
      checkSocket(peer, watched)
    } catch (error) {
      throw new Error(`${peer.model.name}: ${(error as Error).message}`, { cause: error })
    }
  }
  const closed = peers.filter(({ model: { closed } }) => closed !== undefined).length
  if (world.ended.length !== closed + model.broken) throw new Error(`${world.ended.length} reasons were logged, not ${closed + model.broken}`)
  if (world.errors.length !== model.refusals) throw new Error(`${world.errors.length} errors inside: ${String(world.errors.at(-1))}`)
  for (const topic of TOPICS) {
    const [is, should] = [world.hub.audience(topicFromBytes(topic)), model.audience(topic)]
    if (is !== should) throw new Error(`${is} are there for ${topic.toString()}, not ${should}`)
  }
  // Where messages go in parts it is not foretold when one no longer waits.
  if (plan.limits.maxPartBytes < WHOLE) return
  const { memory } = world.held()
  const waiting = model.sockets.filter(({ phase }) => phase === 'open').reduce((sum, one) => sum + bytesOf(one), 0)
  if (memory !== waiting) throw new Error(`${memory} bytes wait, not ${waiting}`)
}

function checkSocket({ wire, model: socket, reader }: Peer, { plan }: Watched): void {
  for (const frame of wire.taken()) reader.read(frame)
  if (wire.wrong.length > 0) throw new Error(wire.wrong[0])
  const closes = socket.closed === undefined ? '' : '1000 ""'
  if (wire.closes.join() !== closes) throw new Error(`it was closed with ${wire.closes.join() || 'nothing'} where the model says ${socket.closed ?? 'it stays'}`)
  if (socket.phase === 'leaving' || (socket.phase === 'over' && socket.closed === undefined)) return
  if (socket.confirmed && reader.nonce === '' && !wire.inMessage) throw new Error('CONFIGURE is not answered')
  // While a part is on its way everything else waits for it, and is lost when the socket is closed in that moment.
  const lost = wire.inMessage || (socket.phase === 'over' && plan.limits.maxPartBytes < WHOLE)
  if (reader.answers < socket.released && !lost) throw new Error(`${socket.released} were to be answered, ${reader.answers} are`)
  if (socket.phase === 'over') return
  if (wire.paused !== socket.paused) throw new Error(wire.paused ? 'it is not read from' : 'it is read from, with too much to do')
  if (socket.stalled) return
  if (wire.inMessage) throw new Error('a part has not ended')
  const { maxUnacknowledged } = plan.limits
  const most = maxUnacknowledged === 0 ? Infinity : maxUnacknowledged
  const next = socket.unasked[reader.unasked]
  if (next === undefined) return
  if (socket.awaited.length < most || (next.kind !== 'message' && !reader.inMessage)) throw new Error(`${next.kind} is not sent, with ${socket.awaited.length} parts not acknowledged`)
}

/** What time alone has ended, and what it must have. @throws {Error} where it is too early or too late */
export function checkTime({ plan, world, model, peers }: Watched): void {
  const now = world.clock.monotonic()
  const { configureTimeout, acknowledgeTimeout } = plan.limits
  for (const { wire, model: socket } of peers) {
    if (socket.phase !== 'open' && socket.phase !== 'greeting') continue
    const [silent, timeout] = socket.phase === 'greeting' ? [now - socket.since, configureTimeout] : [socket.awaited.length > 0 ? now - socket.progressAt : 0, acknowledgeTimeout]
    const busy = socket.phase === 'open' && (socket.blocked || socket.queue.length > 0 || socket.paused)
    if (busy) socket.busyAt = now
    if (wire.closes.length > 0) {
      if (silent < timeout - EARLY || busy) throw new Error(`${socket.name}: it was closed after ${silent} ms`)
      model.end(socket, 'silent')
    } else if (!busy && Math.min(silent, now - socket.busyAt) > timeout + LATE) throw new Error(`${socket.name}: it is open after ${silent} ms`)
  }
}
