import { own } from './own-bytes.ts'
import type { Sink } from './ports.ts'

const NOTHING = Buffer.alloc(0)

/** A write this short is put together with what is owed next: alone it would weigh a hundred times its bytes. */
const SHORT = 1_024
/** Bytes that are put together. */
const MOST_TOGETHER = 16_384

/** A place between two writes to all, and the later one, once it has come. A write that nobody is behind any more nobody holds. */
class Place {
  /** Bytes up to here, counted from the first that was ever owed. */
  end: number
  buffer: Buffer = NOTHING
  /** Messages in it. */
  messages = 0
  next: Place | undefined = undefined
  /** What `buffer` is the beginning of, once short writes are put together in it. */
  #room: Buffer = NOTHING

  constructor(end: number) {
    this.end = end
  }

  /** Puts one more behind the write. False where they are better apart. */
  append(buffer: Buffer, messages: number): boolean {
    const before = this.buffer.length
    const length = before + buffer.length
    if (buffer.length > SHORT || before === 0 || length > MOST_TOGETHER) return false
    if (this.#room.length < length) {
      this.#room = Buffer.allocUnsafeSlow(Math.min(MOST_TOGETHER, 2 * length))
      this.#room.set(this.buffer)
    }
    this.#room.set(buffer, before)
    this.buffer = this.#room.subarray(0, length)
    this.messages += messages
    return true
  }
}

/** A connection that says when it has enough. `arrears` belongs to whoever writes to it. */
export interface Debtor extends Sink {
  arrears?: Arrears | undefined
  /** The same as several writes. */
  writeAll?(chunks: readonly Buffer[]): boolean
}

export interface Creditor<D extends Debtor> {
  /** It has been written all that was owed, and takes more: it is as good as any other again. */
  level(debtor: D): void
  /** So many messages were written late. */
  paid(messages: number): void
}

/** What one connection has still to be written. It says so itself when it takes more. */
export interface Arrears {
  /** Bytes that wait here for it, beside those that it has taken over. */
  readonly bytes: number
  /** It takes more: writes until it has enough again, or everything. */
  drained(): void
  /** Writes everything, whether it has enough or not, since nothing but a goodbye comes behind it; nothing waits for it from then on. */
  settle(): void
}

/** Bytes of one call of the system, about: many small portions go out together. */
const TOGETHER = 65_536

/**
 * Those of a fan-out who are behind. What they have not got stands in one chain for all of them, and each knows how far
 * it is: so one that does not read costs nothing for each message, neither time nor memory, and the memory of a
 * write is there once, until the last has had it.
 */
export class Ledger<D extends Debtor> {
  readonly #creditor: Creditor<D>
  readonly #behind = new Map<D, Account<D>>()
  #tail = new Place(0)
  /** The place before the tail, as long as nobody has come to the tail. */
  #last: Place | undefined = undefined
  /** Nobody can be over the bound before so many bytes were owed. */
  #look = 0

  constructor(creditor: Creditor<D>) {
    this.#creditor = creditor
  }

  get size(): number {
    return this.#behind.size
  }

  /** Is owed to everyone who is behind. */
  owe(buffer: Buffer, messages: number): void {
    if (this.#behind.size === 0) return
    const tail = this.#tail
    if (this.#last?.append(buffer, messages) === true) {
      tail.end += buffer.length
      return
    }
    tail.buffer = own(buffer)
    tail.messages = messages
    this.#tail = tail.next = new Place(tail.end + buffer.length)
    this.#last = tail
  }

  /** It has got everything up to now, and has enough. */
  add(debtor: D): void {
    // Where the bytes begin that it has not taken.
    const origin = this.#tail.end - debtor.pendingBytes
    if (this.#behind.size === 0 || origin < this.#look) this.#look = origin
    const account = new Account(this, debtor, this.#tail)
    this.reached(this.#tail)
    this.#behind.set(debtor, account)
    debtor.arrears = account
  }

  /** False where it was not behind. */
  remove(debtor: D): boolean {
    if (!this.#behind.delete(debtor)) return false
    debtor.arrears = undefined
    if (this.#behind.size === 0) this.#last = undefined
    return true
  }

  /** Those who have more than this waiting: to be let go, they are not looked at again. */
  over(maxPendingBytes: number): D[] {
    if (this.#behind.size === 0 || this.#tail.end - this.#look <= maxPendingBytes) return []
    const found: D[] = []
    this.#look = Infinity
    for (const debtor of this.#behind.keys()) {
      const pending = debtor.pendingBytes
      if (pending > maxPendingBytes) found.push(debtor)
      else this.#look = Math.min(this.#look, this.#tail.end - pending)
    }
    return found
  }

  debtors(): D[] {
    return [...this.#behind.keys()]
  }

  /** @internal */
  bytesSince(place: Place): number {
    return this.#tail.end - place.end
  }

  /** @internal somebody stands here */
  reached(place: Place): void {
    if (place === this.#tail) this.#last = undefined
  }

  /** @internal */
  paid(debtor: D, messages: number, now: 'level' | 'behind'): void {
    if (messages > 0) this.#creditor.paid(messages)
    if (now === 'level' && this.remove(debtor)) this.#creditor.level(debtor)
  }
}

class Account<D extends Debtor> implements Arrears {
  readonly #ledger: Ledger<D>
  readonly #debtor: D
  /** Behind the last that it was written. */
  #at: Place

  constructor(ledger: Ledger<D>, debtor: D, at: Place) {
    this.#ledger = ledger
    this.#debtor = debtor
    this.#at = at
  }

  get bytes(): number {
    return this.#ledger.bytesSince(this.#at)
  }

  drained(): void {
    let messages = 0
    let takes = true
    while (takes && this.#at.next !== undefined) {
      const chunks: Buffer[] = []
      messages += this.#advance(chunks, this.#at.end + TOGETHER)
      takes = writeAll(this.#debtor, chunks)
    }
    this.#ledger.paid(this.#debtor, messages, takes ? 'level' : 'behind')
  }

  settle(): void {
    const chunks: Buffer[] = []
    const messages = this.#advance(chunks, Infinity)
    writeAll(this.#debtor, chunks)
    this.#ledger.paid(this.#debtor, messages, 'level')
  }

  /** Gathers what is owed, one write at least, and no more than ends here. Gives how many messages those are. */
  #advance(into: Buffer[], end: number): number {
    let messages = 0
    let at = this.#at
    for (let next = at.next; next !== undefined && (into.length === 0 || next.end <= end); next = at.next) {
      into.push(at.buffer)
      messages += at.messages
      at = next
    }
    this.#at = at
    this.#ledger.reached(at)
    return messages
  }
}

function writeAll(debtor: Debtor, chunks: readonly Buffer[]): boolean {
  const [first] = chunks
  if (first === undefined) return true
  if (chunks.length > 1 && debtor.writeAll !== undefined) return debtor.writeAll(chunks)
  let takes = true
  for (const chunk of chunks) takes = debtor.write(chunk) !== false
  return takes
}
