import type { Clock } from '../../core/ports.ts'
import type { Topic } from '../../core/topic.ts'

/** What became of a topic. */
export type TopicNews = 'opened' | 'orphaned' | 'taken over' | 'ended'

/**
 * Which topics there are, and for how long (wspubsub, section 6): one is born with its first publisher, has at most one,
 * stays for the grace time without one, and then ends. Standing topics are there always.
 */
export interface Topics {
  /** Topics that have a publisher, or had one in the grace time, and standing ones with a subscriber. */
  readonly size: number
  /** Those that have a publisher. */
  readonly publishers: number
  /** Whether a subscriber may join. */
  has(topic: Topic): boolean
  hasPublisher(topic: Topic): boolean
  /** Makes the caller its publisher, unless it has one. Gives what ends that. */
  claim(topic: Topic): (() => void) | undefined
  /** Joins as a subscriber, where the topic is there; `ended` is called once if it ends. Gives what takes it back. */
  join(topic: Topic, ended: () => void): (() => void) | undefined
  /** From now on no topic ends. */
  stop(): void
}

export interface TopicsParts {
  readonly clock: Pick<Clock, 'after'>
  /** Milliseconds. */
  readonly graceTime: number
  readonly isStanding: (topic: Topic) => boolean
  /** Told before the subscribers of a topic that ends are. */
  readonly told: (topic: Topic, news: TopicNews) => void
}

interface Entry {
  readonly standing: boolean
  published: boolean
  readonly subscribers: Set<{ readonly ended: () => void }>
  stopGrace: () => void
}

const nothing = (): void => {}

export function createTopics({ clock, graceTime, isStanding, told }: TopicsParts): Topics {
  const entries = new Map<Topic, Entry>()
  let publishers = 0
  let stopped = false

  function open(topic: Topic, standing: boolean): Entry {
    const entry: Entry = { standing, published: false, subscribers: new Set(), stopGrace: nothing }
    entries.set(topic, entry)
    return entry
  }

  /** A standing topic that nobody uses need not be remembered. */
  function tidy(topic: Topic, entry: Entry): void {
    if (entry.standing && !entry.published && entry.subscribers.size === 0) entries.delete(topic)
  }

  function end(topic: Topic, entry: Entry): void {
    entries.delete(topic)
    told(topic, 'ended')
    for (const one of entry.subscribers) one.ended()
  }

  return {
    get size() { return entries.size },
    get publishers() { return publishers },
    has: (topic) => entries.has(topic) || isStanding(topic),
    hasPublisher: (topic) => entries.get(topic)?.published === true,
    claim(topic) {
      const before = entries.get(topic)
      if (before?.published === true) return undefined
      const entry = before ?? open(topic, isStanding(topic))
      entry.stopGrace()
      entry.published = true
      publishers++
      told(topic, before === undefined || before.standing ? 'opened' : 'taken over')
      let here = true
      return () => {
        if (!here) return
        here = false
        entry.published = false
        publishers--
        if (stopped) return
        told(topic, 'orphaned')
        if (entry.standing) tidy(topic, entry)
        else entry.stopGrace = clock.after(graceTime, () => end(topic, entry))
      }
    },
    join(topic, ended) {
      let entry = entries.get(topic)
      if (entry === undefined && isStanding(topic)) entry = open(topic, true)
      if (entry === undefined) return undefined
      const one = { ended }
      entry.subscribers.add(one)
      return () => {
        if (entry.subscribers.delete(one)) tidy(topic, entry)
      }
    },
    stop() {
      stopped = true
      for (const entry of entries.values()) entry.stopGrace()
    },
  }
}
