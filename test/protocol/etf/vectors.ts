import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  Atom, BitString, EtfError, ExternalFunction, Float, ImproperList, Pid, Port, Reference, TermMap, Tuple, type Term,
} from '../../../src/protocol/etf/term.ts'

/** A term as the vectors write it: one of these names and its value. */
export interface Notation {
  readonly int?: string
  readonly float?: string
  readonly bits?: string | number
  readonly atom?: string
  readonly binary?: string
  readonly binary_repeat?: { byte: number; count: number }
  readonly bitstring?: string
  readonly list?: readonly Notation[]
  readonly bytelist?: string
  readonly bytelist_repeat?: { byte: number; count: number }
  readonly list_repeat?: { item: Notation; count: number }
  readonly tuple_repeat?: { item: Notation; count: number }
  readonly improper?: readonly Notation[]
  readonly tail?: Notation
  readonly tuple?: readonly Notation[]
  readonly map?: readonly (readonly [Notation, Notation])[]
  readonly pid?: { node: string; id: number; serial: number; creation: number }
  readonly reference?: { node: string; creation: number; words: number[] }
  readonly port?: { node: string; id: string; creation: number }
  readonly export?: { module: string; function: string; arity: number }
}

export interface Encoded {
  readonly name: string
  readonly term: Notation
  readonly hex?: string
  readonly hex_len?: number
  readonly hex_sha256?: string
  readonly hex_latin1_atoms?: string
  readonly hex_latin1_atoms_len?: number
  readonly hex_latin1_atoms_sha256?: string
  readonly map_order_free?: boolean
}

export interface Judged {
  readonly name: string
  readonly hex: string
  readonly result: 'ok' | 'badarg'
  readonly term?: Notation
}

export interface Vectors {
  readonly encode: readonly Encoded[]
  readonly identifiers: readonly { name: string; hex: string; term: Notation; reencoded_hex: string }[]
  readonly decode_only: readonly { name: string; hex: string; term?: Notation; error?: 'badarg' }[]
  readonly invalid: readonly Judged[]
  readonly safe: { readonly cases: readonly { name: string; hex: string; guarded: string; safe_only: string; unguarded: string; kind: string }[] }
  readonly compressed: {
    readonly cases: readonly { name: string; term: Notation; default: string; level1: string; level6: string; level9: string; uncompressed_len_with_version: number }[]
    readonly edges: readonly Judged[]
  }
}

export const vectors = JSON.parse(readFileSync(new URL('../../vectors/etf.json', import.meta.url), 'utf8')) as Vectors

/** The value that a notation means. */
export function termFrom(notation: Notation): Term {
  if (notation.int !== undefined) return integer(BigInt(notation.int))
  if (notation.float !== undefined) return new Float(Buffer.from(notation.bits as string, 'hex').readDoubleBE())
  if (notation.atom !== undefined) return atom(notation.atom)
  if (notation.binary !== undefined) return Buffer.from(notation.binary, 'hex')
  if (notation.binary_repeat !== undefined) return Buffer.alloc(notation.binary_repeat.count, notation.binary_repeat.byte)
  if (notation.bitstring !== undefined) return new BitString(Buffer.from(notation.bitstring, 'hex'), (notation.bits as number) % 8)
  if (notation.list !== undefined) return notation.list.map(termFrom)
  if (notation.bytelist !== undefined) return [...Buffer.from(notation.bytelist, 'hex')]
  if (notation.bytelist_repeat !== undefined) return [...Buffer.alloc(notation.bytelist_repeat.count, notation.bytelist_repeat.byte)]
  if (notation.list_repeat !== undefined) return repeated(notation.list_repeat)
  if (notation.tuple_repeat !== undefined) return new Tuple(...repeated(notation.tuple_repeat))
  if (notation.improper !== undefined) return new ImproperList(notation.improper.map(termFrom), termFrom(notation.tail as Notation))
  if (notation.tuple !== undefined) return new Tuple(...notation.tuple.map(termFrom))
  if (notation.map !== undefined) return new TermMap(notation.map.map(([key, value]) => [termFrom(key), termFrom(value)] as const))
  if (notation.pid !== undefined) return new Pid(notation.pid.node, notation.pid.id, notation.pid.serial, notation.pid.creation)
  if (notation.reference !== undefined) return new Reference(notation.reference.node, notation.reference.creation, notation.reference.words)
  if (notation.port !== undefined) return new Port(notation.port.node, Number(notation.port.id), notation.port.creation)
  if (notation.export !== undefined) return new ExternalFunction(notation.export.module, notation.export.function, notation.export.arity)
  throw new Error(`a notation that the tests do not know: ${JSON.stringify(notation)}`)
}

function repeated({ item, count }: { item: Notation; count: number }): Term[] {
  return Array.from({ length: count }, () => termFrom(item))
}

function integer(value: bigint): Term {
  return value >= -BigInt(Number.MAX_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}

function atom(name: string): Term {
  return name === 'nil' ? null : name === 'true' ? true : name === 'false' ? false : new Atom(name)
}

/** A term so that two of them are deeply equal exactly when they are the same in Erlang: bytes of one kind, maps in one order. */
export function comparable(term: Term): unknown {
  if (typeof term === 'string') return { bytes: Buffer.from(term).toString('hex') }
  if (term instanceof Uint8Array) return { bytes: Buffer.from(term).toString('hex') }
  if (term instanceof Float) return { float: Object.is(term.value, -0) ? '-0' : term.value }
  if (term instanceof BitString) return { bits: Buffer.from(term.bytes).toString('hex'), last: term.lastBits }
  if (term instanceof Tuple) return { tuple: term.elements.map(comparable) }
  if (term instanceof ImproperList) return { items: term.items.map(comparable), tail: comparable(term.tail) }
  if (term instanceof TermMap) {
    const pairs = term.entries.map(([key, value]) => [comparable(key), comparable(value)] as const)
    return { map: pairs.map((pair) => [text(pair[0]), pair] as const).sort(([one], [other]) => (one < other ? -1 : 1)) }
  }
  if (Array.isArray(term)) return term.map(comparable)
  return term
}

function text(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? `${each}n` : each))
}

/** `ok`, or the code of the EtfError. Any other error is thrown on. */
export function outcome(run: () => unknown): string {
  try {
    run()
    return 'ok'
  } catch (error) {
    if (error instanceof EtfError) return error.code
    throw error
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
