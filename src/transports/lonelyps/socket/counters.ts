import { pseudoUrl } from '../../../protocol/lonelyps/stateful/connection.ts'

/** The urls that messages of one connection are signed with, in the order of the messages (lonelyps, section 4.7). */
export interface Counters {
  /** For the next message from the subscriber that takes one. */
  subscriber(): string
  /** For the next message to it that takes one. */
  broadcaster(): string
}

/** @param nonce of the connection */
export function createCounters(nonce: string): Counters {
  let [subscriber, broadcaster] = [-1, 1]
  return {
    subscriber: () => pseudoUrl(nonce, subscriber--),
    broadcaster: () => pseudoUrl(nonce, broadcaster++),
  }
}
