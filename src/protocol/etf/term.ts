/**
 * Erlang terms as values (`erps.md`, annex A). Whole numbers are `number` within ±(2^53-1) and `bigint` beyond; `true`,
 * `false` and `nil` are `true`, `false` and `null`; proper lists are arrays; binaries are bytes. What has no counterpart
 * here has a class of its own. Nothing is kept in a table: an atom is a value like any other.
 */
export type Term =
  | number
  | bigint
  | boolean
  | null
  /** Encodes as a binary in UTF-8. Decoding gives bytes, unless text was asked for. */
  | string
  | Uint8Array
  | readonly Term[]
  | Float
  | Atom
  | Tuple
  | TermMap
  | ImproperList
  | BitString
  | Pid
  | Reference
  | Port
  | ExternalFunction
  | LocalFunction

/** A float: 1.0 is another term than 1, and goes back as it came. Never NaN, never infinite. */
export class Float {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
}

/** Any atom but `true`, `false` and `nil`. */
export class Atom {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

export class Tuple {
  readonly elements: readonly Term[]
  constructor(...elements: readonly Term[]) {
    this.elements = elements
  }
}

/** A map. Pairs keep the order in which they came; no key stands twice. */
export class TermMap {
  readonly entries: readonly (readonly [Term, Term])[]
  constructor(entries: readonly (readonly [Term, Term])[]) {
    this.entries = entries
  }
}

/** A list whose tail is no list; `items` is not empty. */
export class ImproperList {
  readonly items: readonly Term[]
  readonly tail: Term
  constructor(items: readonly Term[], tail: Term) {
    this.items = items
    this.tail = tail
  }
}

/** Bits that are no whole number of bytes: `lastBits` (1 to 7) of the last byte count, from its top; the rest are 0. */
export class BitString {
  readonly bytes: Uint8Array
  readonly lastBits: number
  constructor(bytes: Uint8Array, lastBits: number) {
    this.bytes = bytes
    this.lastBits = lastBits
  }
}

export class Pid {
  readonly node: string
  readonly id: number
  readonly serial: number
  readonly creation: number
  constructor(node: string, id: number, serial: number, creation: number) {
    this.node = node
    this.id = id
    this.serial = serial
    this.creation = creation
  }
}

/** `words` stand in the order of the wire. */
export class Reference {
  readonly node: string
  readonly creation: number
  readonly words: readonly number[]
  constructor(node: string, creation: number, words: readonly number[]) {
    this.node = node
    this.creation = creation
    this.words = words
  }
}

/** Only where unsafe terms were asked for. */
export class Port {
  readonly node: string
  readonly id: number | bigint
  readonly creation: number
  constructor(node: string, id: number | bigint, creation: number) {
    this.node = node
    this.id = id
    this.creation = creation
  }
}

/** Only where unsafe terms were asked for. It can never be called. */
export class ExternalFunction {
  readonly module: string
  readonly name: string
  readonly arity: number
  constructor(module: string, name: string, arity: number) {
    this.module = module
    this.name = name
    this.arity = arity
  }
}

/** Only where unsafe terms were asked for: what stood behind the tag and the size. It can never be called. */
export class LocalFunction {
  readonly content: Uint8Array
  constructor(content: Uint8Array) {
    this.content = content
  }
}

/** Atoms that every peer knows (`erps.md`, A.6). */
export const COMMON_ATOMS: ReadonlySet<string> = new Set([
  'ok', 'error', 'true', 'false', 'nil', 'undefined', 'subscribe', 'pubsub', 'keepalive', 'disconnected', 'timeout', 'normal', 'shutdown',
])

/** Why bytes are no term that is taken, or a value is none that can be written. `badarg` is the reference's own word. */
export class EtfError extends Error {
  override readonly name = 'EtfError'
  readonly code: 'badarg' | 'too_deep' | 'too_large'
  constructor(code: EtfError['code'], detail: string) {
    super(detail)
    this.code = code
  }
}
