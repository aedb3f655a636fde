import { decode, type DecodeOptions } from '../protocol/etf/decode.ts'
import { encode } from '../protocol/etf/encode.ts'
import { jsonToTerm, termToJson } from '../protocol/etf/json.ts'
import { scan } from '../protocol/etf/scan.ts'
import { EtfError, type Term } from '../protocol/etf/term.ts'
import type { Bare } from './ports.ts'

/** What a term is to a program as JSON (`docs/protocols/erlang-terms.md`). */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [name: string]: JsonValue }

/** Whether a program sees Erlang terms as they are, or as plain JSON values. */
export type Shown = 'terms' | 'json'
export type ValueOf<As extends Shown> = As extends 'json' ? JsonValue : Term

/** What stands between the terms of a connection and the values of a program. */
export interface Values<V> {
  /** @throws {EtfError} for a term that is not taken, or is no JSON: a function, say */
  read(bare: Bare): V
  /** @throws {EtfError} for what is no term, is too large or deep, or holds an atom that was not declared */
  write(value: V): Bare
}

export interface ValuesOptions<As extends Shown> {
  readonly as: As
  /** The vocabulary of the program, beside `COMMON_ATOMS`. */
  readonly atoms: ReadonlySet<string>
  /**
   * `strict`: no other atoms, neither way, for an original that does not know one closes its connection or drops the packet;
   * no functions and ports (`erps.md`, A.6). `any`: everything, functions and ports as values that can never be called.
   */
  readonly safety: 'strict' | 'any'
  /** Containers within one another. */
  readonly maxDepth: number
  /** Bytes of one term, and of the JSON that it is. */
  readonly maxBytes: number
}

const MARK = Buffer.of(131)

/** How a payload is read whose values are to be taken by `createValues` with the same options. */
export function decodeOptionsOf({ atoms, safety, maxDepth, maxBytes }: Omit<ValuesOptions<Shown>, 'as'>): DecodeOptions {
  return { atoms: safety === 'any' ? 'any' : atoms, opaque: safety === 'any' ? 'kept' : 'refused', maxDepth, maxBytes }
}

/** As terms, binaries are bytes both ways, and a string is written as a binary. As JSON, integers beyond ±(2^53-1) lose digits, as `JSON.parse` does. */
export function createValues<As extends Shown>(options: ValuesOptions<As>): Values<ValueOf<As>> {
  const values = options.as === 'json' ? jsonValues(options) : termValues(options)
  return values as Values<unknown> as Values<ValueOf<As>>
}

function termValues(options: ValuesOptions<Shown>): Values<Term> {
  const reading = decodeOptionsOf(options)
  const { maxDepth, maxBytes } = options
  return {
    // A copy: what a program keeps of a term must not keep all that came with it.
    read: (bare) => decode(marked(bare), reading).term,
    write(value) {
      const bytes = encode(value, { maxDepth })
      if (bytes.length > maxBytes) throw new EtfError('too_large', `a term of ${bytes.length} bytes`)
      if (options.safety === 'strict') scanOwn(bytes, reading)
      return bytes.subarray(MARK.length)
    },
  }
}

function scanOwn(bytes: Buffer, reading: DecodeOptions): void {
  try {
    scan(bytes, reading)
  } catch (error) {
    const { code, message } = error as EtfError
    throw new EtfError(code, `a value with ${message}: atoms go out that everyone knows and those that are stated as the vocabulary, functions and ports only where everything does`)
  }
}

function jsonValues(options: ValuesOptions<Shown>): Values<JsonValue> {
  const { atoms, maxDepth, maxBytes } = options
  const reading = { ...decodeOptionsOf(options), maxBytes }
  return {
    read(bare) {
      const text = termToJson(marked(bare), reading)
      if (text === undefined) throw new EtfError('badarg', 'a term that is no JSON, or too much of it')
      return JSON.parse(text) as JsonValue
    },
    write(value) {
      const text = textOf(value)
      const bytes = text === undefined ? undefined : jsonToTerm(text, { atoms, maxDepth })
      if (bytes === undefined) throw new EtfError('badarg', 'a value that is no JSON, or no term')
      if (bytes.length > maxBytes) throw new EtfError('too_large', `a term of ${bytes.length} bytes`)
      return bytes.subarray(MARK.length)
    },
  }
}

function textOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value) as string | undefined
  } catch (error) {
    throw new EtfError('badarg', (error as Error).message)
  }
}

function marked(bare: Bare): Buffer {
  const bytes = Buffer.allocUnsafe(MARK.length + bare.length)
  bytes.set(MARK)
  bytes.set(bare, MARK.length)
  return bytes
}
