import type { Clock } from '../core/ports.ts'

/** One connection that was let go, or `count` of one topic that have no line of their own. */
export interface SlowLine {
  readonly transport: string
  readonly topic: string
  readonly count?: number
  /** Connections on further topics that were let go in the same turn, and have no line at all. */
  readonly leftOutElsewhere?: number
}

/** Says who was too slow and was let go. */
export interface SlowLog {
  slow(transport: string, topic: string): void
}

interface Counted {
  readonly transport: string
  readonly topic: string
  count: number
}

/** Lines of one turn of the loop for one connection each: with ten thousand everybody would wait for a seventh of a second. */
const MOST = 250
/** Lines of one turn with a count. */
const MOST_COUNTED = 100

/** @param write gets the lines, those with a count at the end of the turn */
export function createSlowLog(clock: Clock, write: (line: SlowLine) => void): SlowLog {
  let inTurn = 0
  let elsewhere = 0
  const counted = new Map<string, Counted>()
  let latest: Counted | undefined

  function endOfTurn(): void {
    const [lines, leftOutElsewhere] = [[...counted.values()], elsewhere]
    counted.clear()
    latest = undefined
    inTurn = elsewhere = 0
    lines.forEach((line, i) => write(i === lines.length - 1 && leftOutElsewhere > 0 ? { ...line, leftOutElsewhere } : line))
  }

  function countedOf(transport: string, topic: string): Counted | undefined {
    // Those who are let go together are mostly of one topic.
    if (latest?.topic === topic && latest.transport === transport) return latest
    const key = `${transport} ${topic}`
    latest = counted.get(key)
    if (latest !== undefined || counted.size >= MOST_COUNTED) return latest
    counted.set(key, (latest = { transport, topic, count: 0 }))
    return latest
  }

  return {
    slow(transport, topic) {
      if (inTurn === 0) clock.endOfTurn(endOfTurn)
      if (++inTurn <= MOST) return write({ transport, topic })
      const line = countedOf(transport, topic)
      if (line === undefined) elsewhere++
      else line.count++
    },
  }
}
