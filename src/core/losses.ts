import type { Interest } from './interest.ts'
import type { Lost } from './message.ts'
import { overlapOf } from './overlap.ts'

/** What was lost on its way to this hub, kept for those who resume across it. */
export interface Losses {
  /** The highest offset of a loss that is kept no longer; 0 when none ever went. */
  readonly floor: number
  /** In the order of offsets. */
  add(lost: Lost): void
  /** Those behind the offset that may touch the interest, in the order of offsets. */
  since(interest: Interest, offset: number): Lost[]
}

/** A link that flaps makes one every few seconds. */
export const MOST_LOSSES = 1_000
/** Names and patterns of all losses that are kept. An interest that is lost again counts once, if it is the same object. */
export const MOST_LOST_NAMES = 20_000

/** The newest losses, within the two bounds; one is kept however much it names. */
export function createLosses(): Losses {
  const kept: Lost[] = []
  /** How often each interest stands in `kept`. */
  const counts = new Map<Interest, number>()
  let names = 0
  let floor = 0

  function drop(): void {
    const { offset, lost } = kept.shift() as Lost
    floor = offset
    const left = (counts.get(lost) as number) - 1
    if (left > 0) return void counts.set(lost, left)
    counts.delete(lost)
    names -= namesIn(lost)
  }

  return {
    get floor() { return floor },
    add(lost) {
      kept.push(lost)
      const before = counts.get(lost.lost) ?? 0
      if (before === 0) names += namesIn(lost.lost)
      counts.set(lost.lost, before + 1)
      while (kept.length > MOST_LOSSES || (names > MOST_LOST_NAMES && kept.length > 1)) drop()
    },
    since(interest, offset) {
      // One answer for each interest, however often it was lost.
      const known = new Map<Interest, boolean>()
      const found: Lost[] = []
      for (let i = kept.length - 1; i >= 0; i--) {
        const one = kept[i] as Lost
        if (one.offset <= offset) break
        let touches = known.get(one.lost)
        if (touches === undefined) known.set(one.lost, (touches = overlapOf(one.lost).touches(interest)))
        if (touches) found.push(one)
      }
      return found.reverse()
    },
  }
}

function namesIn({ topics, patterns }: Interest): number {
  return topics.length + patterns.length
}
