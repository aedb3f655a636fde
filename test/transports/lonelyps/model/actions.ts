import type { Chance } from '../../../simulation/chance.ts'
import type { Model } from './model.ts'
import { GLOBS, LOCKED, PRESET, TOPICS, type Plan } from './plan.ts'
import type { Frame, Peer, Quality } from './peer.ts'
import type { Kind, Packed } from './said.ts'
import type { World } from './world.ts'

const NONE = Buffer.alloc(0)
const COMMON = Buffer.from('{"temperature": 20.1, "humidity": 44, "where": "the garden"} '.repeat(60))

/** What the far end of a socket says next, mostly what it may. Nothing where there is nothing to say. */
export function frames(peer: Peer, plan: Plan, chance: Chance): Frame[] {
  const bad = chance.odds(plan.illegal)
  const { model, reader } = peer
  // Whoever signs what it counts has to know the connection first.
  const mayCount = reader.nonce !== '' || (plan.toBroadcasters.type !== 'hmac' && plan.toSubscribers.type !== 'hmac')
  if (peer.sent.length === 0 && !bad) return [configure(peer, plan, chance, 'right')]
  if (bad) return illegal(peer, plan, chance, mayCount)
  const draw = chance.next()
  if (!mayCount || draw < 0.22) return [notify(peer, plan, chance)]
  if (draw < 0.48) return want(peer, chance)
  if (draw < 0.7 && !peer.spoiled) return stream(peer, plan, chance)
  if (model.phase === 'open') return acknowledge(peer, chance)
  return []
}

function configure(peer: Peer, plan: Plan, chance: Chance, quality: Quality): Frame {
  const zstd = plan.compression === 'no' ? chance.odds(0.2) : chance.odds(0.9)
  return peer.configure(quality, zstd, chance.odds(0.8), chance.odds(plan.illegal / 2) ? 7 : chance.pick([0, 1, PRESET.id, PRESET.id]))
}

function body(plan: Plan, chance: Chance): Buffer {
  const size = chance.odds(0.1) ? 0 : chance.odds(0.5) ? chance.int(1, 60) : chance.int(1, plan.body)
  const text = Buffer.from(COMMON.subarray(0, size))
  for (let i = 0; i < Math.min(size, 8); i++) text[i] = chance.below(256)
  return text
}

function pack(peer: Peer, plan: Plan, chance: Chance, lie: 'none' | 'size' | 'bytes'): { packed: Packed; body: Buffer } {
  const known = [...peer.reader.dictionaries.keys()].filter((id) => id <= PRESET.id)
  const compressor = known.length > 0 && chance.odds(0.5) ? chance.pick(known) : 0
  return peer.pack(chance.pick(TOPICS), body(plan, chance), compressor, lie)
}

function notify(peer: Peer, plan: Plan, chance: Chance): Frame {
  const { packed, body } = pack(peer, plan, chance, 'none')
  return peer.notify(packed, body, 'right')
}

function stream(peer: Peer, plan: Plan, chance: Chance): Frame[] {
  if (peer.stream === undefined) {
    const { packed, body } = pack(peer, plan, chance, 'none')
    peer.stream = { identifier: plan.bytes(4), packed, parts: cut(body, chance), next: 0 }
  }
  const out: Frame[] = []
  for (let count = chance.int(1, 4); count > 0 && peer.stream !== undefined; count--) {
    const { identifier, packed, parts, next } = peer.stream
    out.push(peer.part(identifier, next, packed, parts.shift() as Buffer, 'right'))
    peer.stream.next++
    if (parts.length === 0) peer.stream = undefined
  }
  return out
}

/** The last part has at least a byte, unless it is the only one. */
function cut(body: Buffer, chance: Chance): Buffer[] {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const size = chance.odds(0.1) ? 0 : chance.int(1, Math.max(1, body.length))
    parts.push(body.subarray(at, at + size))
    at += size
  }
  return parts.length === 0 ? [NONE] : parts
}

function want(peer: Peer, chance: Chance): Frame[] {
  const kind = chance.pick<Kind>(['exact', 'glob'])
  // What it has by the time that everything it has sent is done.
  const has = new Set(peer.model.own)
  for (const said of [...peer.model.queue.map((one) => one.said), ...peer.tcp.map((frame) => frame.said)]) {
    if (said.is !== 'subscribe' && said.is !== 'unsubscribe') continue
    const key = `${said.kind} ${said.target.toString('hex')}`
    if (said.is === 'subscribe') has.add(key)
    else has.delete(key)
  }
  const target = chance.pick(kind === 'exact' ? TOPICS : GLOBS)
  const is = has.has(`${kind} ${target.toString('hex')}`) ? 'unsubscribe' : 'subscribe'
  return is === 'unsubscribe' && chance.odds(0.6) ? [] : [peer.want(is, kind, target, 'right')]
}

function acknowledge(peer: Peer, chance: Chance): Frame[] {
  const out: Frame[] = []
  for (let count = chance.int(1, 4); count > 0; count--) {
    const next = nextToAcknowledge(peer)
    if (next === undefined) break
    out.push(next)
  }
  return out
}

/** For the first part that came and was not acknowledged. */
export function nextToAcknowledge(peer: Peer): Frame | undefined {
  const first = peer.reader.parts[peer.acknowledged]
  if (first === undefined) return undefined
  peer.acknowledged++
  return peer.ack(first, 'right')
}

function illegal(peer: Peer, plan: Plan, chance: Chance, mayCount: boolean): Frame[] {
  const bound: (() => Frame | undefined)[] = [
    () => peer.want('subscribe', 'exact', chance.pick(TOPICS), 'right'),
    () => peer.want(chance.pick(['subscribe', 'unsubscribe']), 'glob', chance.pick(GLOBS), 'right'),
    () => peer.want('unsubscribe', 'exact', chance.pick(TOPICS), 'right'),
    () => peer.want('subscribe', 'exact', LOCKED, 'right'),
    () => peer.want('subscribe', 'glob', Buffer.from('a?long*glob'), 'right'),
    () => peer.want('subscribe', 'exact', chance.pick(TOPICS), 'wrong'),
    () => {
      const [first] = peer.model.awaited
      return first === undefined ? undefined : peer.ack(first, 'wrong')
    },
    () => {
      const [first] = peer.model.awaited
      return first === undefined ? undefined : peer.ack({ ...first, isLast: !first.isLast }, 'right')
    },
    () => {
      const [first] = peer.model.awaited
      return first === undefined ? undefined : peer.ack({ ...first, part: first.part + 1, isLast: false }, 'right')
    },
    () => peer.ack(peer.model.awaited[1] ?? { identifier: plan.bytes(8), part: 0, isLast: true }, 'right'),
    () => peer.ack({ identifier: plan.bytes(8), part: chance.below(3), isLast: chance.odds(0.5) }, 'right'),
  ]
  const free: (() => Frame | undefined)[] = [
    () => configure(peer, plan, chance, 'right'),
    () => configure(peer, plan, chance, 'wrong'),
    () => peer.wrong(Buffer.from('some text'), false),
    () => peer.wrong(NONE, true),
    () => peer.wrong(Buffer.concat([Buffer.of(0, chance.below(2), 0, 200 + chance.below(50)), plan.bytes(chance.int(1, 32))]), true),
    () => {
      const { packed, body } = pack(peer, plan, chance, 'none')
      return peer.notify(packed, body, 'wrong')
    },
    () => {
      const { packed, body } = pack(peer, plan, chance, chance.pick(['size', 'bytes']))
      return peer.notify(packed, body, 'right')
    },
    () => {
      const { packed, body } = peer.pack(LOCKED, COMMON.subarray(0, 9), 0, 'none')
      return peer.notify(packed, body, 'right')
    },
    () => {
      const { packed, body } = peer.pack(chance.pick(TOPICS), COMMON.subarray(0, 99), chance.pick([1, PRESET.id]), 'none')
      return peer.notify(packed, body, 'right')
    },
    () => longIdentifier(peer, plan, chance),
    () => chance.pick([undefined, ...peer.sent.filter(({ said }) => said.is === 'notify')]),
    () => {
      if (peer.spoiled) return undefined
      const { packed, body } = pack(peer, plan, chance, chance.pick(['none', 'size', 'bytes']))
      return peer.part(plan.bytes(4), 0, packed, body, chance.pick(['right', 'right', 'wrong']))
    },
    () => {
      const stream = peer.stream
      if (stream === undefined || peer.spoiled) return undefined
      const [identifier, quality] = chance.odds(0.5) ? [stream.identifier, 'right' as const] : [plan.bytes(4), 'wrong' as const]
      const extra = chance.odds(0.5) ? NONE : Buffer.of(1)
      return peer.part(identifier, stream.next + chance.below(2), stream.packed, Buffer.concat([...stream.parts, extra]), quality)
    },
  ]
  const frame = chance.pick(mayCount && chance.odds(0.5) ? bound : free)()
  if (frame?.said.is === 'part') peer.spoiled = true
  return frame === undefined ? [] : [frame]
}

/** One more byte than an identifier may have. */
function longIdentifier(peer: Peer, plan: Plan, chance: Chance): Frame {
  const { packed, body } = pack(peer, plan, chance, 'none')
  const { bytes } = peer.notify(packed, body, 'right')
  // The first two headers of the short form, then an identifier of 65 bytes.
  return peer.wrong(Buffer.concat([Buffer.of(0, 1, 0, 6, 0, 0, 0, 0, 0, 65), Buffer.alloc(65), bytes.subarray(8)]), true)
}

/** Takes a subscription back and publishes, as whoever is about to go may. */
export function lastWords(peer: Peer, plan: Plan, chance: Chance): Frame[] {
  const { model, wire, tcp } = peer
  const says = [...model.queue, ...tcp].some(({ said }) => said.is === 'unsubscribe' || said.is === 'wrong')
  const [key] = model.own
  const one = key === undefined ? undefined : model.joined.get(key)
  if (one === undefined || says || wire.paused || tcp.length > 0 || peer.reader.nonce === '') return []
  return [peer.want('unsubscribe', one.kind, one.target, 'right'), notify(peer, plan, chance)]
}

/** What is outside of the hub changes its mind, or answers. Gives what was done, for the trace. */
export function elsewhere(world: World, model: Model, chance: Chance, legal: boolean): string {
  const { moods } = world
  if (model.doors.length > 0 && chance.odds(0.7)) return answerOne(world, model, chance, legal)
  switch (chance.below(3)) {
    case 0: return `webhooks: ${moods.webhooks = chance.odds(0.5) ? 'slow' : chance.below(3)}`
    case 1: return `disk: ${moods.disk = chance.pick(legal ? ['quick', 'slow'] : ['quick', 'slow', 'full'])}`
    default: return `registry: ${moods.registry = chance.pick(legal ? ['quick', 'slow'] : ['quick', 'slow', 'down'])}`
  }
}

/** One of those who are waited for answers, or says that it cannot. */
export function answerOne(world: World, model: Model, chance: Chance, legal: boolean): string {
  const { door, number } = chance.pick(model.doors)
  const refused = !legal && chance.odds(0.2)
  const outcome = refused ? 'refused' : door === 'webhooks' ? chance.below(4) : door === 'remember' ? legal || chance.odds(0.9) : true
  model.open(door, number, outcome)
  if (outcome === 'refused') world.doors[door].refuse(number)
  else if (door === 'webhooks') world.doors.webhooks.answer(number, Number(outcome))
  else if (door === 'remember') world.doors.remember.answer(number, outcome === true)
  else world.doors[door].answer(number)
  return `${door} ${number}: ${outcome}`
}
