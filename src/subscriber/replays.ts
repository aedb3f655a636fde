/** Bytes of a MAC that are kept: as hard to meet by chance as the whole, in a quarter of the memory. */
const KEPT = 16

/** Signatures that were accepted, in memory (lonelyps, section 3.3). */
export interface Replays {
  readonly size: number
  /** False when it is known. @throws {Error} when there is no room: it cannot be said then */
  remember(mac: Buffer, expiresAt: number): boolean
}

/** @param most that are remembered at once */
export function createReplays(now: () => number, most: number): Replays {
  // Insertion order is nearly that of expiry, so looking at the front is enough to keep it small.
  const known = new Map<string, number>()

  function forgetOld(): void {
    const time = now()
    for (const [key, expiresAt] of known) {
      if (expiresAt >= time) return
      known.delete(key)
    }
  }

  return {
    get size() { return known.size },
    remember(mac, expiresAt) {
      forgetOld()
      const key = mac.toString('latin1', 0, KEPT)
      if (known.has(key)) return false
      if (known.size >= most) throw new Error(`${most} signatures are remembered already`)
      known.set(key, expiresAt)
      return true
    },
  }
}
