import type { Clock } from '../core/ports.ts'
import { NO_CLIENT } from '../http/body-account.ts'

/** One whose request has begun, and who has not proved who it is. */
export interface Newcomer {
  /** Its time is over, or it gave way: it has its answer. */
  readonly ended: boolean
  /** It is counted no more. May be called again. */
  proved(): void
}

/**
 * Requests of senders that may be anyone. Where there are too many the oldest gives way, not the newest: an honest sender
 * proves itself with its first bytes, so those that have been here longest are most likely not. Who refused the newest
 * would let a thousand idle sockets keep all others out.
 */
export interface Unproved {
  readonly count: number
  /** @param client see `clientOf`; clients on this machine have no bound of their own */
  begin(client: string, end: (why: 'late' | 'too_many') => void): Newcomer
}

interface Entry {
  readonly client: string
  readonly due: number
  readonly end: (why: 'late' | 'too_many') => void
}

/** @param bounds `total` and `perClient` requests, `time` in ms for each */
export function createUnproved(bounds: { total: number; perClient: number; time: number }, clock: Clock): Unproved {
  // All have the same time, so the order of their coming is the order in which it is over.
  const all = new Set<Entry>()
  const byClient = new Map<string, Set<Entry>>()
  let isLooking = false

  function remove(entry: Entry): boolean {
    if (!all.delete(entry)) return false
    const others = byClient.get(entry.client)
    others?.delete(entry)
    if (others?.size === 0) byClient.delete(entry.client)
    return true
  }

  function oldestEnds(some: Iterable<Entry>, why: 'late' | 'too_many'): void {
    for (const entry of some) {
      remove(entry)
      entry.end(why)
      return
    }
  }

  function look(): void {
    isLooking = false
    for (const entry of all) {
      if (entry.due > clock.monotonic()) break
      oldestEnds([entry], 'late')
    }
    lookLater()
  }

  function lookLater(): void {
    const [oldest] = all
    if (oldest === undefined || isLooking) return
    isLooking = true
    // Never twice in one millisecond: the clock and its timers round differently.
    clock.after(Math.max(1, oldest.due - clock.monotonic()), look)
  }

  return {
    get count() { return all.size },
    begin(client, end) {
      const others = byClient.get(client) ?? new Set()
      if (client !== NO_CLIENT && others.size >= bounds.perClient) oldestEnds(others, 'too_many')
      if (all.size >= bounds.total) oldestEnds(all, 'too_many')
      let ended = false
      const entry: Entry = {
        client,
        due: clock.monotonic() + bounds.time,
        end(why) {
          ended = true
          end(why)
        },
      }
      all.add(entry)
      // Asked again: who gave way may have been this client's last.
      byClient.set(client, (byClient.get(client) ?? others).add(entry))
      lookLater()
      return { get ended() { return ended }, proved: () => void remove(entry) }
    },
  }
}
