import type { Random } from '../../../core/ports.ts'
import type { TrainingBudget } from './training-budget.ts'

/** Messages kept out of all that were seen, each with the same chance, in memory that is bounded and accounted for. */
export interface Reservoir {
  /** Bytes of the messages that were seen since the last `clear`. */
  readonly seen: number
  /** A message was seen: perhaps copied, perhaps not. Nothing is seen while there is no room at all. */
  offer(bytes: Buffer): void
  /** How much may be kept from now on; no less than before. */
  grow(capacity: number): void
  /** Views, valid until the next `offer` or `clear`. */
  samples(): Buffer[]
  /** Forgets everything and gives the memory back. */
  clear(): void
}

const FIRST_ROOM = 16_384

/**
 * All samples lie in one buffer: a copy of its own for each of thousands of small ones would take several times their
 * bytes. A message has a number by chance and is kept when that is below the threshold; where the room is full the
 * threshold is halved.
 * @param capacity bytes, at most
 */
export function createReservoir(capacity: number, random: Random, budget: TrainingBudget): Reservoir {
  let most = capacity
  let room = Buffer.alloc(0)
  let used = 0
  let ends: number[] = []
  let chances: number[] = []
  let threshold = 1
  let seen = 0

  /** Room for so many bytes, if the capacity and the budget allow. */
  function enlarge(wanted: number): boolean {
    let size = Math.max(FIRST_ROOM, room.length)
    while (size < wanted) size *= 2
    size = Math.min(size, most)
    if (size < wanted || !budget.take(size - room.length)) return false
    const larger = Buffer.allocUnsafeSlow(size)
    room.copy(larger, 0, 0, used)
    room = larger
    return true
  }

  /** Keeps the samples that are told to stay, in their order. */
  function keep(stays: (index: number) => boolean): void {
    const [oldEnds, oldChances] = [ends, chances]
    ends = []
    chances = []
    used = 0
    for (let i = 0, from = 0; i < oldEnds.length; i++) {
      const to = oldEnds[i] as number
      if (stays(i)) {
        room.copyWithin(used, from, to)
        used += to - from
        ends.push(used)
        chances.push(oldChances[i] as number)
      }
      from = to
    }
  }

  function makeRoom(size: number): void {
    threshold /= 2
    const before = chances
    keep((i) => (before[i] as number) < threshold)
    // Chance need not take half of the bytes away. The oldest go then.
    const excess = used + size - room.length
    if (excess > 0) {
      const marks = ends
      keep((i) => (i === 0 ? 0 : (marks[i - 1] as number)) >= excess)
    }
  }

  return {
    get seen() {
      return seen
    },
    offer(bytes) {
      if (room.length === 0 && !enlarge(bytes.length)) return
      seen += bytes.length
      const chance = random.next()
      if (chance >= threshold) return
      if (bytes.length > room.length - used && !enlarge(used + bytes.length)) {
        if (bytes.length > room.length) return
        makeRoom(bytes.length)
        if (chance >= threshold) return
      }
      bytes.copy(room, used)
      used += bytes.length
      ends.push(used)
      chances.push(chance)
    },
    grow(capacity) {
      most = Math.max(most, capacity)
    },
    samples: () => ends.map((end, i) => room.subarray(i === 0 ? 0 : ends[i - 1], end)),
    clear() {
      budget.giveBack(room.length)
      room = Buffer.alloc(0)
      used = 0
      ends = []
      chances = []
      threshold = 1
      seen = 0
    },
  }
}
