import { joined, type Encoder, type Member } from './fan-out.ts'
import type { Message } from './message.ts'
import type { Clock } from './ports.ts'
import { cameThrough } from './shares.ts'

const BATCH_BYTES = 65_536

/**
 * Writes history to one member, some messages at a time: the writing half of a latecomer. After each batch the event
 * loop gets its turn, so that a long replay does not keep everybody else waiting. What has come through the member is left
 * out, as in a fan-out.
 */
export function createReplay(parts: { member: Pick<Member, 'write' | 'room' | 'names'>; encoder: Encoder; clock: Clock }): {
  deliver(message: Message): void
  room(): Promise<void> | undefined
  flush(): void
} {
  const { member, encoder, clock } = parts
  let batch: Message[] = []
  let size = 0

  function flush(): void {
    if (batch.length === 0) return
    member.write(joined(encoder, batch))
    batch = []
    size = 0
  }

  return {
    deliver(message) {
      if (cameThrough(message.via, member.names)) return
      batch.push(message)
      size += encoder.size(message)
    },
    room() {
      if (size < BATCH_BYTES) return undefined
      flush()
      const turn = new Promise<void>((resolve) => clock.endOfTurn(resolve))
      // Both are waited for from now on: a member that ends before the turn does must not leave a rejection to nobody.
      return Promise.all([turn, member.room()]).then(() => {})
    },
    flush,
  }
}
