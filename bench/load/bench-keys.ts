import { hash } from 'node:crypto'
import type { Stored } from '../../src/core/registry.ts'

/* API keys that the bench and its load both know, by number: then they need not tell one another. */

/** As the table of the original has them, or as those are stored that Waystation makes. */
export type Storage = 'plain' | 'hashed'

export function domainOf(index: number): string {
  return `bench-${index}`
}

/** As long as one of the original: 36 characters. */
export function keyOf(index: number): string {
  return `ws_${hash('sha256', `bench key ${index}`, 'base64url').slice(0, 33)}`
}

export function publisherPath(index: number): string {
  return `/ws/pub/${keyOf(index)}/${domainOf(index)}/prices`
}

export function subscriberPath(index: number): string {
  return `/ws/sub/${domainOf(index)}/prices`
}

/** The rows of the first `count` keys. */
export function rowsOf(count: number, storage: Storage): Stored[] {
  return Array.from({ length: count }, (_, index) => ({
    type: 'key',
    domain: domainOf(index),
    username: 'bench',
    apikey: storage === 'plain' ? keyOf(index) : undefined,
    sha256: storage === 'hashed' ? hash('sha256', keyOf(index), 'buffer') : undefined,
    insertedAt: 0,
    active: true,
  }))
}
