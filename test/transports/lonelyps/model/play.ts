import { createChance, type Chance } from '../../../simulation/chance.ts'
import { answerOne, elsewhere, frames, lastWords, nextToAcknowledge } from './actions.ts'
import { check, checkTime, type Watched } from './check.ts'
import { createModel, type Model } from './model.ts'
import { createPeer, type Frame, type Peer } from './peer.ts'
import { drawPlan, TOPICS, type Plan } from './plan.ts'
import { createWorld, type World } from './world.ts'

/** One sequence, as far as it went. */
export interface Played {
  readonly seed: number
  /** What the hub did that the model did not, if it did. */
  readonly divergence: string | undefined
  /** What was done, a line for each step. */
  readonly trace: readonly string[]
  readonly frames: number
  readonly messages: number
  readonly closed: number
}

interface Stage extends Watched {
  readonly plan: Plan
  readonly world: World
  readonly model: Model
  readonly peers: Peer[]
  readonly chance: Chance
  readonly trace: string[]
}

/** Plays the sequence of one seed. The same seed gives the same one. */
export async function play(seed: number): Promise<Played> {
  const plan = drawPlan(seed)
  const world = createWorld(plan, seed)
  const model = createModel(plan, world.moods, world.fates, world.clock.monotonic)
  const stage: Stage = { plan, world, model, peers: [], chance: createChance(seed, 'play'), trace: [] }
  let divergence: string | undefined
  const onRejection = (error: unknown): void => {
    divergence ??= `a rejection is left alone: ${String(error)}`
  }
  process.on('unhandledRejection', onRejection)
  try {
    await steps(stage)
    await drain(stage)
    await leave(stage)
  } catch (error) {
    divergence ??= String(error)
  } finally {
    process.off('unhandledRejection', onRejection)
  }
  const { peers, trace } = stage
  const sum = (of: (peer: Peer) => number): number => peers.reduce((all, peer) => all + of(peer), 0)
  return { seed, divergence, trace, frames: sum(({ sent }) => sent.length), messages: sum(({ reader }) => reader.parts.length), closed: sum(({ wire }) => wire.closes.length) }
}

export function report({ seed, divergence, trace }: Played): string {
  return `${trace.join('\n')}\nseed ${seed} diverges: ${divergence}\nrepeat it: SESSION_MODEL_FROM=${seed} SESSION_MODEL_SEEDS=1`
}

async function steps(stage: Stage): Promise<void> {
  const { plan, chance } = stage
  for (let socket = 0; socket < plan.sockets; socket++) await connect(stage)
  for (let step = 0; step < plan.steps; step++) await happen(stage, chance.next())
}

async function connect(stage: Stage): Promise<void> {
  const { plan, world, model, peers, chance, trace } = stage
  const name = `socket ${peers.length}`
  trace.push(`${name} connects`)
  const peer = createPeer(plan, world, model.connect(name), chance)
  peers.push(peer)
  // Most say at once who they are.
  if (chance.odds(0.85)) await say(stage, peer, frames(peer, plan, chance))
}

async function happen(stage: Stage, draw: number): Promise<void> {
  const { plan, world, model, peers, chance, trace } = stage
  const peer = chance.pick(peers)
  if (draw < 0.68) return say(stage, peer, Array.from({ length: chance.pick([1, 1, 3]) }, () => frames(peer, plan, chance)).flat())
  if (draw < 0.78) publish(stage)
  else if (draw < 0.86) trace.push(elsewhere(world, model, chance, plan.illegal === 0))
  else if (draw < 0.89) stall(stage, peer)
  else if (draw < 0.91) missed(stage)
  else if (draw < 0.94) return pass(stage, chance.pick([100, 500, 900, 1_500, 3_500]))
  // More happens where somebody goes in the middle of something.
  else if (draw < 0.985) go(stage, peers.find(({ model: { phase, blocked } }) => phase === 'open' && blocked) ?? peer)
  else if (draw < 0.99) end(stage, peer)
  else if (peers.length < 5) return connect(stage)
  await rest(stage)
}

/** Frames go in together, or each in a turn of its own. */
async function say(stage: Stage, peer: Peer, out: readonly Frame[]): Promise<void> {
  if (peer.model.phase === 'leaving' || peer.model.phase === 'over') return
  for (const frame of out) send(stage, peer, frame)
  if (stage.chance.odds(0.3)) for (let count = stage.chance.int(1, 3); count > 0 && !peer.wire.paused; count--) deliver(peer, stage.model)
  await rest(stage)
}

function send({ trace }: Stage, peer: Peer, frame: Frame): void {
  trace.push(`${peer.model.name}: ${describe(frame)}`)
  peer.sent.push(frame)
  peer.tcp.push(frame)
}

function describe({ said, bytes }: Frame): string {
  const proof = 'proof' in said && !said.proof.right ? ', wrongly proved' : ''
  switch (said.is) {
    case 'wrong': return `a wrong frame of ${bytes.length} bytes`
    case 'configure': return `configure, zstd ${said.zstd}, dictionary ${said.initial}${proof}`
    case 'subscribe':
    case 'unsubscribe': return `${said.is} ${said.kind} ${said.target.toString()}${proof}`
    case 'notify': return `notify ${said.packed.topic.toString()} ${said.packed.plain.length} bytes, compressor ${said.packed.compressor}${said.packed.good ? '' : ', a lie'}${proof}`
    case 'part': return `part ${said.part} of ${said.identifier.toString('hex')} ${said.packed?.topic.toString() ?? ''} ${said.size} of ${said.packed?.length ?? '?'} bytes${proof}`
    case 'ack': return `acknowledges ${said.identifier.toString('hex')} ${said.part ?? 'whole'}${proof}`
    default: return said satisfies never
  }
}

function deliver(peer: Peer, model: Model): void {
  const frame = peer.tcp.shift()
  if (frame === undefined || peer.wire.closes.length > 0) return
  model.receive(peer.model, frame.said)
  peer.session.receive(frame.bytes, frame.binary)
  peer.session.arrived({ number: peer.sent.length, bytes: 0, announced: 0, kept: 0 })
}

/** Until nothing moves any more: what the hub reads is read, and held against the model. */
async function rest(stage: Stage): Promise<void> {
  for (let moved = true; moved; ) {
    await stage.world.clock.settle()
    check(stage)
    moved = false
    for (const peer of stage.peers) {
      if (peer.tcp.length === 0 || peer.wire.paused || peer.model.phase === 'over' || peer.model.phase === 'leaving') continue
      deliver(peer, stage.model)
      moved = true
    }
  }
}

function publish({ world, model, chance, trace, plan }: Stage): void {
  for (let count = chance.pick([1, 1, 2, 5]); count > 0; count--) {
    const topic = chance.pick(TOPICS)
    const body = plan.bytes(chance.int(0, 32))
    const long = chance.odds(0.3) ? Buffer.concat(Array.from({ length: chance.int(1, plan.body / 32) }, () => body)) : body
    // What lies on disk is another way in.
    const said = long.subarray(0, Math.min(plan.limits.spoolAbove, plan.body))
    trace.push(`published to ${topic.toString()}: ${said.length} bytes`)
    const [is, should] = [world.publish(topic, said), model.publish(topic, said)]
    if (is !== should) throw new Error(`the hub counts ${is} receivers, not ${should}`)
  }
}

function stall({ model, trace }: Stage, peer: Peer): void {
  const { wire } = peer
  trace.push(`${peer.model.name} ${peer.model.stalled ? 'takes again' : 'takes nothing'}`)
  if (peer.model.stalled) {
    model.unstall(peer.model)
    return wire.unstall()
  }
  wire.stall()
  peer.model.stalled = true
}

function missed({ world, model, chance, trace }: Stage): void {
  const topic = chance.pick(TOPICS)
  trace.push(`missed on ${topic.toString()}`)
  world.missed(topic)
  model.missed(topic)
}

async function pass(stage: Stage, ms: number): Promise<void> {
  const { world, trace } = stage
  trace.push(`${ms} ms pass`)
  world.clock.advance(ms)
  await world.clock.settle()
  checkTime(stage)
  await rest(stage)
}

function go(stage: Stage, peer: Peer): void {
  const { model, trace, chance, plan } = stage
  if (peer.model.phase === 'over' || peer.model.phase === 'leaving') return
  // Whether what came behind an unfinished handshake is still looked at is a matter of time.
  if (!peer.model.confirmed && peer.model.queue.length > 0) return
  if (chance.odds(0.5)) {
    for (const frame of lastWords(peer, plan, chance)) {
      send(stage, peer, frame)
      deliver(peer, model)
    }
  }
  if (peer.model.closed !== undefined) return
  trace.push(`${peer.model.name} goes`)
  peer.wire.cut()
  model.gone(peer.model)
  if (chance.odds(0.3)) {
    model.broken++
    peer.session.broken('a long frame')
  }
  peer.session.gone()
}

function end({ model, trace }: Stage, peer: Peer): void {
  trace.push(`${peer.model.name} is ended`)
  model.end(peer.model, 'told to')
  peer.session.close(1001, 'told to')
}

/** Everyone takes and acknowledges, and everything is answered: then nothing may be left unsaid. */
async function drain(stage: Stage): Promise<void> {
  const { model, peers, world, chance, trace } = stage
  trace.push('everything is answered and acknowledged')
  Object.assign(world.moods, { webhooks: 0, disk: 'quick', registry: 'quick' })
  for (let moved = true; moved; ) {
    moved = false
    for (const peer of peers) {
      if (peer.model.stalled) {
        stall(stage, peer)
        await rest(stage)
        moved = true
      }
      const { phase } = peer.model
      const next = phase === 'open' && peer.tcp.length === 0 ? nextToAcknowledge(peer) : undefined
      if (next === undefined) continue
      await say(stage, peer, [next])
      moved = true
    }
    if (model.doors.length === 0) continue
    trace.push(answerOne(world, model, chance, true))
    await rest(stage)
    moved = true
  }
  for (const { model: socket, reader } of peers) {
    if (socket.phase === 'open' && reader.unasked < socket.unasked.length) throw new Error(`${socket.name} has got ${reader.unasked} of ${socket.unasked.length}, ${socket.awaited.length} parts are not acknowledged`)
  }
}

/** When the last has gone nothing is left of anyone. */
async function leave(stage: Stage): Promise<void> {
  const { world, model, peers, chance } = stage
  for (const peer of peers) {
    if (chance.odds(0.5)) go(stage, peer)
    else end(stage, peer)
    // As the network tells of it after a close.
    peer.session.gone()
  }
  await rest(stage)
  while (model.doors.length > 0) {
    stage.trace.push(answerOne(world, model, chance, true))
    await rest(stage)
  }
  world.clock.advance(1_000)
  await world.clock.settle()
  for (const [what, much] of Object.entries(world.held())) if (much !== 0) throw new Error(`when everyone has left, ${what} is ${much}`)
  if (world.clock.timers > 0) throw new Error(`when everyone has left, ${world.clock.timers} timers are there`)
}
