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
  const groups = new Map<string, Map<Encoder, FanOut>>()

  function open(hub: HubPort, key: string, group: Map<Encoder, FanOut>, interest: Interest, encoder: Encoder): FanOut {
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
        empty() {
          leave()
          group.delete(encoder)
          if (group.size === 0) groups.delete(key)
        },
      },
    })
    const leave = hub.join(interest, fanOut)
    group.set(encoder, fanOut)
    return fanOut
  }

  return {
    get size() { return groups.size },
    has: (interest) => groups.has(interestKey(interest)),
    join(hub, interest, encoder, member) {
      const key = interestKey(interest)
      let group = groups.get(key)
      if (group === undefined) groups.set(key, (group = new Map()))
      const fanOut = group.get(encoder) ?? open(hub, key, group, interest, encoder)
      fanOut.add(member)
      return () => fanOut.remove(member)
    },
  }
}
