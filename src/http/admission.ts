import type { Socket } from 'node:net'
import { countedAddress, isLoopback } from './address.ts'

export type Refusal = 'too_many_connections' | 'too_many_from_address'

/** Counts connections, in all and per client address, and lets in what is within the bounds. */
export interface Admission {
  readonly count: number
  /**
   * Asks for one connection.
   * @returns what gives the place back (once, further calls do nothing), or why there is none
   */
  admit(address: string): (() => void) | Refusal
  /** Told of each connection that was let in, where somebody wants to know. */
  seen?(socket: Socket): void
}

/** Addresses on this machine and UNIX sockets count towards the whole, but have no bound of their own. */
export function createAdmission(bounds: { total: number; perAddress: number }): Admission {
  const byAddress = new Map<string, number>()
  let count = 0

  function release(key: string | undefined): () => void {
    let held = true
    return () => {
      if (!held) return
      held = false
      count--
      if (key === undefined) return
      const left = (byAddress.get(key) ?? 1) - 1
      if (left === 0) byAddress.delete(key)
      else byAddress.set(key, left)
    }
  }

  return {
    get count() { return count },
    admit(address) {
      if (count >= bounds.total) return 'too_many_connections'
      const exempt = address === 'unix' || isLoopback(address)
      const key = exempt ? undefined : countedAddress(address)
      if (key !== undefined) {
        const here = byAddress.get(key) ?? 0
        if (here >= bounds.perAddress) return 'too_many_from_address'
        byAddress.set(key, here + 1)
      }
      count++
      return release(key)
    },
  }
}
