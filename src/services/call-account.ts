import type { Limits } from '../core/limits.ts'

/** All calls of a hub that are not answered yet, those that wait for a worker included: how many, and their requests' bytes. */
export interface CallAccount {
  readonly calls: number
  readonly bytes: number
  /** Books one more. Gives which limit that would pass; nothing is booked then. */
  take(bytes: number): 'maxCalls' | 'maxCallBytes' | undefined
  give(bytes: number): void
}

export function createCallAccount(limits: Pick<Limits, 'maxCalls' | 'maxCallBytes'>): CallAccount {
  let calls = 0
  let booked = 0
  return {
    get calls() { return calls },
    get bytes() { return booked },
    take(bytes) {
      if (calls >= limits.maxCalls) return 'maxCalls'
      if (booked + bytes > limits.maxCallBytes) return 'maxCallBytes'
      calls++
      booked += bytes
      return undefined
    },
    give(bytes) {
      calls--
      booked -= bytes
    },
  }
}
