import { createFanOut, type Encoder } from '../core/fan-out.ts'
import { exactly } from '../core/interest.ts'
import type { HubPort } from '../core/ports.ts'
import type { Topic } from '../core/topic.ts'
import type { TransportKit } from '../core/transport-kit.ts'
import { createRepeatingEncoder } from './encoders.ts'
import type { TakerConnection } from './taker-connection.ts'

/** How often a taker may ask for one topic: each time every message of it goes out once more. */
const MOST_TIMES = 8

/** What one taker of PonyExpress gets that has subscribed more than once. */
export interface SeveralTopics {
  /** From the next message on. False where it has too many. */
  add(topic: Topic): boolean
  leave(): void
}

/**
 * A connection that has several subscriptions has a fan-out of its own: all in one order, unlabelled, and what was asked
 * for twice comes twice (`pony-express.md`, section 4).
 * @param kit its `maxPendingBytes` is what may wait for one taker
 */
export function createSeveralTopics(parts: { hub: HubPort; kit: TransportKit; transport: string; encoder: Encoder; connection: TakerConnection }): SeveralTopics {
  const { hub, kit, transport, encoder, connection } = parts
  const times = new Map<Topic, number>()
  const leaves: (() => void)[] = []
  /** Signs of all topics. */
  let signs = 0
  const fanOut = createFanOut({
    encoder: createRepeatingEncoder(encoder, (topic) => times.get(topic) ?? 0),
    turn: kit.turn,
    clock: kit.clock,
    maxPendingBytes: kit.limits.maxPendingBytes,
    events: {
      delivered: (deliveries, seconds) => kit.meter.delivered(transport, deliveries, seconds),
      slow: () => kit.meter.slow(transport, times.keys().next().value ?? ''),
      lost: (receivers) => kit.meter.gap(transport, receivers),
      empty() {
        for (const leave of leaves.splice(0)) leave()
      },
    },
  })
  fanOut.add(connection)

  return {
    add(topic) {
      const before = times.get(topic) ?? 0
      const { maxLinkTopics, maxLinkRequestBytes } = kit.limits
      // No more than could be asked for in one frame.
      const isTooMuch = before === 0 ? times.size >= maxLinkTopics || signs + topic.length > maxLinkRequestBytes : before === MOST_TIMES
      if (isTooMuch) return false
      // What was published before goes out as often as was asked for then.
      kit.turn.flush()
      if (connection.isOver) return true
      times.set(topic, before + 1)
      if (before > 0) return true
      signs += topic.length
      leaves.push(hub.join(exactly(topic), fanOut))
      return true
    },
    leave: () => fanOut.remove(connection),
  }
}
