import { createFanOut, type FanOut, type Member } from '../core/fan-out.ts'
import { interestKey, type Interest } from '../core/interest.ts'
import type { HubPort, Subscriber } from '../core/ports.ts'
import type { TransportKit } from '../core/transport-kit.ts'
import { createWaystationEncoder } from './encoders.ts'
import { createWishBounds, type WishBounds } from './wish-bounds.ts'

/** The fan-outs of takers that are Waystations: one for each wish that somebody has. */
export interface WishGroups {
  /** What a wish is asked before it is granted. */
  readonly bounds: WishBounds
  /** From the next message on. Gives what ends it. */
  join(hub: HubPort, interest: Interest, member: Member): () => void
}

/** @param kit its `maxPendingBytes` is what may wait for one taker */
export function createWishGroups(kit: TransportKit, transport: string): WishGroups {
  const groups = new Map<string, FanOut>()

  function open(hub: HubPort, key: string, interest: Interest): FanOut {
    const fanOut = createFanOut({
      encoder: createWaystationEncoder(interest),
      turn: kit.turn,
      clock: kit.clock,
      maxPendingBytes: kit.limits.maxPendingBytes,
      events: {
        delivered: (deliveries, seconds) => kit.meter.delivered(transport, deliveries, seconds),
        slow: () => kit.meter.slow(transport, interest.topics[0] ?? interest.patterns[0]?.source ?? ''),
        lost: (receivers) => kit.meter.gap(transport, receivers),
        empty() {
          leave()
          groups.delete(key)
        },
      },
    })
    const leave = hub.join(interest, takingLarge(fanOut))
    groups.set(key, fanOut)
    return fanOut
  }

  return {
    bounds: createWishBounds(),
    join(hub, interest, member) {
      const key = interestKey(interest)
      const fanOut = groups.get(key) ?? open(hub, key, interest)
      fanOut.add(member)
      return () => fanOut.remove(member)
    },
  }
}

/** Messages that lie on disk are handed over as well: only so does the gap in their place say which topic it is of. */
function takingLarge(fanOut: FanOut): Subscriber {
  return {
    get count() { return fanOut.count },
    takesLarge: true,
    deliver: (message) => fanOut.deliver(message),
    gap: (from, to, lost) => fanOut.gap(from, to, lost),
  }
}
