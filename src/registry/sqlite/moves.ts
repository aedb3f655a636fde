import { setImmediate as turn } from 'node:timers/promises'
import type { Registry, Stored } from '../../core/registry.ts'
import type { Answers, Call } from './calls.ts'

/** Things in one transaction. */
const PUT_AT_ONCE = 1_000

type Ask = <C extends Call>(call: C) => Promise<Answers[C['do']]>

/** What takes everything out of a registry, and puts it in, piece by piece. */
export function moves(ask: Ask, now: () => number): Pick<Registry, 'everything' | 'restore'> {
  let snapshots = 0

  return {
    async *everything() {
      const snapshot = ++snapshots
      try {
        for (let piece = 0, things: readonly Stored[]; (things = await ask({ do: 'everything', snapshot, piece, now: now() })).length > 0; piece++) {
          yield* things.map(withBuffer)
          await turn()
        }
      } finally {
        await ask({ do: 'enough', snapshot }).catch(() => undefined)
      }
    },
    async restore(things) {
      let count = 0
      let from = 0
      do {
        count += await ask({ do: 'restore', things: things.slice(from, (from += PUT_AT_ONCE)), now: now() })
      } while (from < things.length)
      return count
    },
  }
}

/** A buffer comes from another thread as bytes. */
function withBuffer(thing: Stored): Stored {
  return thing.type === 'key' ? { ...thing, sha256: bufferOf(thing.sha256) } : thing
}

/** The same memory, as a `Buffer`. */
export function bufferOf(bytes: Uint8Array | undefined): Buffer | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
