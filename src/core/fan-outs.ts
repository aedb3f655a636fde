import { createFanOut, type Encoder, type FanOut, type FanOutParts, type Member } from './fan-out.ts'
import { interestKey, type Interest } from './interest.ts'
import type { HubPort } from './ports.ts'
import type { Topic } from './topic.ts'
import type { TransportKit } from './transport-kit.ts'

/** The fan-outs of one transport: one for each interest and encoding that has members, made and let go as they come. */
export interface FanOuts {
  /** Interests that somebody is here for. */
  readonly size: number
  has(interest: Interest): boolean
  /** From the next message on. Gives what ends it. */
  join(hub: HubPort, interest: Interest, encoder: Encoder, member: Member): () => void
}

/** All fan-outs of one encoding. */
interface Group {
  readonly parts: FanOutParts<Place>
  /** Those of one topic, by its name: nearly all there are, and a name is there already. */
  readonly named: Map<Topic, Place>
  readonly others: Map<string, Place>
}

/** Where one fan-out stands. */
interface Place {
  readonly group: Group
  readonly interest: Interest
  fanOut: FanOut | undefined
  leave: (() => void) | undefined
}

/** @param onDelivered told of every write to all: messages times members */
export function createFanOuts(kit: TransportKit, transport: string, onDelivered: (deliveries: number) => void = () => {}): FanOuts {
  const groups = new Map<Encoder, Group>()
  const events = {
    delivered(deliveries: number, seconds: number | undefined) {
      onDelivered(deliveries)
      kit.meter.delivered(transport, deliveries, seconds)
    },
    slow: ({ interest }: Place) => kit.meter.slow(transport, interest.topics[0] ?? interest.patterns[0]?.source ?? ''),
    lost: (receivers: number) => kit.meter.gap(transport, receivers),
    empty(place: Place) {
      const { group, leave } = place
      leave?.()
      forget(place)
      if (group.named.size + group.others.size === 0) groups.delete(group.parts.encoder)
    },
  }

  function groupOf(encoder: Encoder): Group {
    const known = groups.get(encoder)
    if (known !== undefined) return known
    const parts = { encoder, turn: kit.turn, clock: kit.clock, maxPendingBytes: kit.limits.maxPendingBytes, events }
    const group: Group = { parts, named: new Map(), others: new Map() }
    groups.set(encoder, group)
    return group
  }

  function forget({ group, interest }: Place): void {
    const name = nameOf(interest)
    if (name !== undefined) group.named.delete(name)
    else group.others.delete(interestKey(interest))
  }

  function open(hub: HubPort, group: Group, interest: Interest): FanOut {
    const place: Place = { group, interest, fanOut: undefined, leave: undefined }
    const fanOut = createFanOut(group.parts, place)
    place.fanOut = fanOut
    place.leave = hub.join(interest, fanOut)
    const name = nameOf(interest)
    if (name !== undefined) group.named.set(name, place)
    else group.others.set(interestKey(interest), place)
    return fanOut
  }

  return {
    get size() {
      const [first, ...others] = groups.values()
      if (first === undefined) return 0
      if (others.length === 0) return first.named.size + first.others.size
      const all = [first, ...others]
      return new Set(all.flatMap(({ named }) => [...named.keys()])).size + new Set(all.flatMap((group) => [...group.others.keys()])).size
    },
    has: (interest) => groups.values().some((group) => find(group, interest) !== undefined),
    join(hub, interest, encoder, member) {
      const group = groupOf(encoder)
      const fanOut = find(group, interest)?.fanOut ?? open(hub, group, interest)
      fanOut.add(member)
      return () => fanOut.remove(member)
    },
  }
}

function find({ named, others }: Group, interest: Interest): Place | undefined {
  const name = nameOf(interest)
  return name !== undefined ? named.get(name) : others.get(interestKey(interest))
}

/** The topic, where the interest is one topic and nothing else. */
function nameOf({ topics, patterns }: Interest): Topic | undefined {
  return topics.length === 1 && patterns.length === 0 ? topics[0] : undefined
}
