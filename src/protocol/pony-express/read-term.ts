import { isUtf8 } from 'node:buffer'
import { EtfError } from '../etf/term.ts'

const [VERSION, COMPRESSED] = [131, 80]
const [SMALL_INTEGER, INTEGER, SMALL_BIG] = [97, 98, 110]
const [SMALL_TUPLE, LARGE_TUPLE, NIL, LIST, BINARY] = [104, 105, 106, 108, 109]
const [LATIN1_ATOM, SMALL_LATIN1_ATOM, ATOM, SMALL_ATOM] = [100, 115, 118, 119]

export function isCompressed(payload: Buffer): boolean {
  return payload[0] === VERSION && payload[1] === COMPRESSED
}

/**
 * Reads terms of which the shape is known, without building anything (`erps.md`, A.1 and A.2). Every method reads one
 * thing and goes on behind it, or throws. Bytes are slices of what is read.
 * @throws {EtfError} `badarg` for anything else than what is asked for, and where bytes are missing
 */
export class TermReader {
  readonly #bytes: Buffer
  #at: number

  /** @param at where the 131 of the term is */
  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes
    this.#at = at
    if (this.#byte() !== VERSION) throw new EtfError('badarg', 'a term begins with 131')
  }

  /** The place behind what was read. */
  get at(): number {
    return this.#at
  }

  /** The beginning of a tuple: how many elements follow. */
  tuple(): number {
    const tag = this.#byte()
    if (tag === SMALL_TUPLE) return this.#byte()
    if (tag === LARGE_TUPLE) return this.#long()
    throw unexpected('a tuple', tag)
  }

  /** Whether an atom is next. */
  isAtom(): boolean {
    const tag = this.#bytes[this.#at]
    return tag === SMALL_ATOM || tag === ATOM || tag === LATIN1_ATOM || tag === SMALL_LATIN1_ATOM
  }

  /** The name of an atom. All that are asked for are ASCII, the same in either of the two sets of signs. */
  atom(): string {
    const tag = this.#byte()
    switch (tag) {
      case SMALL_ATOM:
      case SMALL_LATIN1_ATOM: return this.#take(this.#byte()).toString('latin1')
      case ATOM:
      case LATIN1_ATOM: return this.#take(this.#byte() * 256 + this.#byte()).toString('latin1')
      default: throw unexpected('an atom', tag)
    }
  }

  binary(): Buffer {
    const tag = this.#byte()
    if (tag !== BINARY) throw unexpected('a binary', tag)
    return this.#take(this.#long())
  }

  /**
   * A binary that is valid UTF-8, of at most so many bytes.
   * @throws {EtfError} `too_large` as well
   */
  text(most: number): string {
    const bytes = this.binary()
    if (bytes.length > most) throw new EtfError('too_large', `a text of ${bytes.length} bytes, ${most} at most`)
    if (!isUtf8(bytes)) throw new EtfError('badarg', 'a text that is no UTF-8')
    return bytes.toString('utf8')
  }

  /** A proper list, its elements read by `element`; `undefined` when there are more than `most`. */
  list<T>(most: number, element: (term: this) => T): T[] | undefined {
    const length = this.#listHead()
    if (length > most) return undefined
    const items: T[] = []
    while (items.length < length) items.push(element(this))
    if (length > 0) this.#listEnd()
    return items
  }

  /** A whole number from 0 to 2^53-1. */
  count(): number {
    const tag = this.#byte()
    switch (tag) {
      case SMALL_INTEGER: return this.#byte()
      case INTEGER: return this.#within(this.#long() | 0)
      case SMALL_BIG: return this.#big()
      default: throw unexpected('a whole number', tag)
    }
  }

  #listHead(): number {
    const tag = this.#byte()
    if (tag === NIL) return 0
    if (tag !== LIST) throw unexpected('a list', tag)
    const length = this.#long()
    if (length === 0) throw new EtfError('badarg', 'a list without elements')
    return length
  }

  #listEnd(): void {
    const tag = this.#byte()
    if (tag !== NIL) throw unexpected('the end of a list', tag)
  }

  #big(): number {
    const length = this.#byte()
    if (this.#byte() !== 0) throw new EtfError('badarg', 'a number below 0')
    let value = 0
    let unit = 1
    for (const byte of this.#take(length)) {
      value += byte * unit
      unit *= 256
    }
    return this.#within(value)
  }

  #within(value: number): number {
    if (value >= 0 && Number.isSafeInteger(value)) return value
    throw new EtfError('badarg', 'a number that is below 0 or above 2^53-1')
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw cut()
    return byte
  }

  #long(): number {
    const from = this.#at
    this.#at += 4
    if (this.#at > this.#bytes.length) throw cut()
    return this.#bytes.readUInt32BE(from)
  }

  #take(length: number): Buffer {
    const from = this.#at
    this.#at += length
    if (this.#at > this.#bytes.length) throw cut()
    return this.#bytes.subarray(from, this.#at)
  }
}

function cut(): EtfError {
  return new EtfError('badarg', 'the term is cut off')
}

function unexpected(what: string, tag: number): EtfError {
  return new EtfError('badarg', `${what} was expected, tag ${tag} came`)
}
