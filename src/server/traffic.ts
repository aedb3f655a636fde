import type { Clock, HubPort } from '../core/ports.ts'
import type { Topic } from '../core/topic.ts'

/** Which topics are busy, counted only while somebody looks. */
export interface Traffic {
  /** Counts from now on. */
  start(): void
  /** Counts no more, and forgets. */
  stop(): void
  /** Ends one span of counting and begins another: the busiest topics with their messages a second, the busiest first. */
  take(most: number): { topic: Topic; rate: number }[]
}

/** Different topics that are counted in one span; so many messages of others are needed to push one out. */
const MOST_COUNTED = 1_000
/** Characters of all those topics: a topic may be 64 KiB long. */
const MOST_CHARACTERS = 1_048_576
/** Topics whose rates are known over several spans. */
const MOST_KNOWN = 100
/** How much of a rate is of the last span; the rest is of those before, so that a topic with a message now and then stays in sight. */
const SHARE = 0.3
/** Messages a second below which a topic is quiet. */
const QUIET = 0.05

export function createTraffic(hub: Pick<HubPort, 'joinAll'>, clock: Clock): Traffic {
  const counts = new Map<Topic, number>()
  const rates = new Map<Topic, number>()
  let characters = 0
  let since = 0
  let leave: (() => void) | undefined

  /** When all places are taken everyone pays one (Misra and Gries): what is truly busy keeps a place, however many there are. */
  function count(topic: Topic): void {
    const known = counts.get(topic)
    if (known !== undefined) counts.set(topic, known + 1)
    else if (counts.size < MOST_COUNTED && characters + topic.length <= MOST_CHARACTERS) {
      counts.set(topic, 1)
      characters += topic.length
    } else for (const [other, times] of counts) {
      if (times > 1) counts.set(other, times - 1)
      else {
        counts.delete(other)
        characters -= other.length
      }
    }
  }

  return {
    start() {
      since = clock.monotonic()
      leave ??= hub.joinAll({ count: 0, takesLarge: true, deliver: ({ topic }) => count(topic), gap() {} })
    },
    stop() {
      leave?.()
      leave = undefined
      counts.clear()
      rates.clear()
      characters = 0
    },
    take(most) {
      const now = clock.monotonic()
      const seconds = Math.max(now - since, 1) / 1_000
      since = now
      for (const [topic, rate] of rates) rates.set(topic, rate + SHARE * ((counts.get(topic) ?? 0) / seconds - rate))
      for (const [topic, times] of counts) if (!rates.has(topic)) rates.set(topic, times / seconds)
      counts.clear()
      characters = 0
      const busiest = [...rates].filter(([, rate]) => rate >= QUIET).sort(([, a], [, b]) => b - a).slice(0, MOST_KNOWN)
      rates.clear()
      for (const [topic, rate] of busiest) rates.set(topic, rate)
      return busiest.slice(0, most).map(([topic, rate]) => ({ topic, rate }))
    },
  }
}
