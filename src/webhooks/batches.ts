import { memoryOf, type Message } from '../core/message.ts'

/** All deliveries of one message: what they came to, and what they keep in memory. */
export interface Batch {
  readonly message: Message
  /** One delivery more to a host. */
  begin(host: string): void
  /** What one delivery came to, once, as soon as that is told to whoever waits: 0 when it was in vain. */
  count(receivers: number): void
  /** One delivery to a host needs the message no more. Once for each `begin`, after its `count`. */
  end(host: string): void
}

export interface Batches {
  /** Bytes of the messages that are on their way, each counted once, and `DELIVERY_BYTES` for each delivery. */
  readonly bytes: number
  /** The batch of a message, or a sentence that says why no delivery of it to this host must begin. */
  of(message: Message, host: string): Batch | string
  /** How many receivers took the message, once that is known of all its deliveries. */
  confirmed(message: Message): number | Promise<number>
}

/** What a delivery that waits costs beside its message. Without it, many registrations that hang would fill the memory with tiny messages. */
export const DELIVERY_BYTES = 512
/** The last so many-th part of the memory takes no first message that is more than a host's due. */
const RESERVE = 8
/** A host keeps little up to so many-th a part of the memory. */
const LITTLE = 256
/** Hosts that keep little may go past the bound by so many-th a part of it. */
const OVERSHOOT = 4

interface Sums {
  bytes: number
  /** The same for each host: a message counts once for each that it goes to. */
  readonly hosts: Map<string, number>
}

/**
 * Bounds what is on its way. A host may keep half as much as is left free, so alone a third of all. Whoever keeps much is
 * refused long before the memory is full, and one who keeps nothing finds room: for a first message that is larger too, or
 * none could be larger than a third. Many hosts together can still fill it; one that keeps little gets in even then.
 * @param maxBytes of messages in memory, and of their deliveries, that are on their way
 */
export function createBatches(maxBytes: number): Batches {
  const batches = new WeakMap<Message, OneBatch>()
  const sums: Sums = { bytes: 0, hosts: new Map() }
  return {
    get bytes() { return sums.bytes },
    of(message, host) {
      let batch = batches.get(message)
      const size = memoryOf(message)
      const free = maxBytes - sums.bytes - DELIVERY_BYTES - (batch?.isOpen === true ? 0 : size)
      const before = sums.hosts.get(host) ?? 0
      // A message that goes there already is not held against its own further deliveries.
      const after = before + DELIVERY_BYTES + (batch?.goesTo(host) === true ? -size : size)
      const ok = after <= free / 2
        || (before === 0 && free >= maxBytes / RESERVE)
        || (after <= maxBytes / LITTLE && free >= -maxBytes / OVERSHOOT)
      if (!ok) return free >= 0 && before > 0 ? 'too much waits for this host' : 'too much is on its way'
      if (batch === undefined) batches.set(message, (batch = new OneBatch(message, sums)))
      return batch
    },
    confirmed: (message) => batches.get(message)?.result() ?? 0,
  }
}

class OneBatch implements Batch {
  readonly message: Message
  readonly #size: number
  readonly #sums: Sums
  /** Deliveries that have not been counted yet, and those that still need the message, of each host too. */
  #uncounted = 0
  #open = 0
  readonly #openTo = new Map<string, number>()
  #receivers = 0
  #tell: ((receivers: number) => void) | undefined
  #told: Promise<number> | undefined

  constructor(message: Message, sums: Sums) {
    this.message = message
    this.#size = memoryOf(message)
    this.#sums = sums
  }

  get isOpen(): boolean {
    return this.#open > 0
  }

  goesTo(host: string): boolean {
    return this.#openTo.has(host)
  }

  begin(host: string): void {
    this.#uncounted++
    const there = this.#openTo.get(host) ?? 0
    this.#openTo.set(host, there + 1)
    this.#add(host, DELIVERY_BYTES + (there === 0 ? this.#size : 0))
    this.#sums.bytes += DELIVERY_BYTES
    if (this.#open++ > 0) return
    this.#sums.bytes += this.#size
    this.message.large?.hold()
  }

  count(receivers: number): void {
    this.#receivers += receivers
    if (--this.#uncounted === 0) this.#tell?.(this.#receivers)
  }

  end(host: string): void {
    const left = (this.#openTo.get(host) as number) - 1
    if (left > 0) this.#openTo.set(host, left)
    else this.#openTo.delete(host)
    this.#add(host, -DELIVERY_BYTES - (left === 0 ? this.#size : 0))
    this.#sums.bytes -= DELIVERY_BYTES
    if (--this.#open > 0) return
    this.#sums.bytes -= this.#size
    this.message.large?.letGo()
  }

  result(): number | Promise<number> {
    if (this.#uncounted === 0) return this.#receivers
    return (this.#told ??= new Promise((resolve) => (this.#tell = resolve)))
  }

  #add(host: string, bytes: number): void {
    const { hosts } = this.#sums
    const sum = (hosts.get(host) ?? 0) + bytes
    if (sum > 0) hosts.set(host, sum)
    else hosts.delete(host)
  }
}
