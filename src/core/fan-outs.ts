import { createFanOut, type Encoder, type FanOut, type Member } from './fan-out.ts'
import { interestKey, type Interest } from './interest.ts'
import type { HubPort } from './ports.ts'
import type { TransportKit } from './transport-kit.ts'

/** The fan-outs of one transport: one for each interest and encoding that has members, made and let go as they come. */
export interface FanOuts {
  /** Interests that somebody is here for. */
  readonly size: number
  has(interest: Interest): boolean
  /** From the next message on. Gives what ends it. */
  join(hub: HubPort, interest: Interest, encoder: Encoder, member: Member): () => void
}

/** @param onDelivered told of every write to all: messages times members */
export function createFanOuts(kit: TransportKit, transport: string, onDelivered: (deliveries: number) => void = () => {}): FanOuts {
  // By encoder first: there are few of them, and a map of its own for each interest would weigh half a kilobyte.
  const byEncoder = new Map<Encoder, Map<string, FanOut>>()

  function open(hub: HubPort, key: string, group: Map<string, FanOut>, interest: Interest, encoder: Encoder): FanOut {
    const fanOut = createFanOut({
      encoder,
      turn: kit.turn,
      clock: kit.clock,
      maxPendingBytes: kit.limits.maxPendingBytes,
      events: {
        delivered(deliveries, seconds) {
          onDelivered(deliveries)
          kit.meter.delivered(transport, deliveries, seconds)
        },
        slow: () => kit.meter.slow(transport, interest.topics[0] ?? interest.patterns[0]?.source ?? ''),
        lost: (receivers) => kit.meter.gap(transport, receivers),
        empty() {
          leave()
          group.delete(key)
          if (group.size === 0) byEncoder.delete(encoder)
        },
      },
    })
    const leave = hub.join(interest, fanOut)
    group.set(key, fanOut)
    return fanOut
  }

  return {
    get size() {
      const groups = [...byEncoder.values()]
      if (groups.length <= 1) return groups[0]?.size ?? 0
      return new Set(groups.flatMap((group) => [...group.keys()])).size
    },
    has(interest) {
      const key = interestKey(interest)
      return byEncoder.values().some((group) => group.has(key))
    },
    join(hub, interest, encoder, member) {
      const key = interestKey(interest)
      let group = byEncoder.get(encoder)
      if (group === undefined) byEncoder.set(encoder, (group = new Map()))
      const fanOut = group.get(key) ?? open(hub, key, group, interest, encoder)
      fanOut.add(member)
      return () => fanOut.remove(member)
    },
  }
}
