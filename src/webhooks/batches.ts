import type { Message } from '../core/message.ts'

/** All deliveries of one message: what they came to, and what they keep in memory. */
export interface Batch {
  readonly message: Message
  /** One delivery more. */
  begin(): void
  /** What one delivery came to, once, as soon as that is told to whoever waits: 0 when it was in vain. */
  count(receivers: number): void
  /** One delivery needs the message no more. Once for each `begin`, after its `count`. */
  end(): void
}

export interface Batches {
  /** Bytes of the messages that are on their way, each counted once, and `DELIVERY_BYTES` for each delivery. */
  readonly bytes: number
  /** The batch of a message, or undefined when so much is on its way that no delivery of it must begin. */
  of(message: Message): Batch | undefined
  /** How many receivers took the message, once that is known of all its deliveries. */
  confirmed(message: Message): number | Promise<number>
}

/** What a delivery that waits costs beside its message. Without it, many registrations that hang would fill the memory with tiny messages. */
export const DELIVERY_BYTES = 512

/** @param maxBytes of messages in memory, and of their deliveries, that are on their way */
export function createBatches(maxBytes: number): Batches {
  const batches = new WeakMap<Message, OneBatch>()
  const total = { bytes: 0 }
  return {
    get bytes() { return total.bytes },
    of(message) {
      let batch = batches.get(message)
      const more = DELIVERY_BYTES + (batch?.isOpen === true ? 0 : message.body.length)
      if (total.bytes + more > maxBytes) return undefined
      if (batch === undefined) batches.set(message, (batch = new OneBatch(message, total)))
      return batch
    },
    confirmed: (message) => batches.get(message)?.result() ?? 0,
  }
}

class OneBatch implements Batch {
  readonly message: Message
  readonly #total: { bytes: number }
  /** Deliveries that have not been counted yet, and those that still need the message. */
  #uncounted = 0
  #open = 0
  #receivers = 0
  #tell: ((receivers: number) => void) | undefined
  #told: Promise<number> | undefined

  constructor(message: Message, total: { bytes: number }) {
    this.message = message
    this.#total = total
  }

  get isOpen(): boolean {
    return this.#open > 0
  }

  begin(): void {
    this.#uncounted++
    this.#total.bytes += DELIVERY_BYTES
    if (this.#open++ > 0) return
    this.#total.bytes += this.message.body.length
    this.message.large?.hold()
  }

  count(receivers: number): void {
    this.#receivers += receivers
    if (--this.#uncounted === 0) this.#tell?.(this.#receivers)
  }

  end(): void {
    this.#total.bytes -= DELIVERY_BYTES
    if (--this.#open > 0) return
    this.#total.bytes -= this.message.body.length
    this.message.large?.letGo()
  }

  result(): number | Promise<number> {
    if (this.#uncounted === 0) return this.#receivers
    return (this.#told ??= new Promise((resolve) => (this.#tell = resolve)))
  }
}
