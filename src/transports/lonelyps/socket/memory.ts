import { memoryOf, type Message } from '../../../core/message.ts'

/** What messages that wait for sockets keep in memory, all together. One that waits for several is counted for each. */
export interface SocketMemory {
  /** False when this socket has too much: it is to be closed. */
  take(own: number, more: number): boolean
  give(bytes: number): void
}

/** What waiting costs beside the body. */
const ENTRY_BYTES = 256
/** One socket may have so many-th a part. */
const SHARES = 8
/** Who has less stays, whatever the others have. */
const LITTLE = 65_536

/** A message that waits: it is there once, and perhaps once more as it went to others. */
export function sizeOf(message: Message): number {
  return memoryOf(message) + message.body.length + ENTRY_BYTES
}

/** Something else that waits and has so many bytes. */
export function sizeOfWords(bytes: number): number {
  return bytes + ENTRY_BYTES
}

export function createSocketMemory(most: number): SocketMemory {
  let taken = 0
  return {
    take(own, more) {
      const [mine, all] = [own + more, taken + more]
      // The first always fits: else a large message would close the socket of whoever has nothing else to do.
      if (own > 0 && (mine > most / SHARES || (all > most && mine > LITTLE))) return false
      taken = all
      return true
    },
    give(bytes) {
      taken -= bytes
    },
  }
}
