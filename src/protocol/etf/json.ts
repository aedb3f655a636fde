import { constants } from 'node:buffer'
import { decode, type DecodeOptions } from './decode.ts'
import { encode } from './encode.ts'
import { createMarks } from './json-marks.ts'
import { scalar, shapeOf, type Shape } from './json-shapes.ts'
import { readJson, UnusableJson } from './json-text.ts'
import { scan } from './scan.ts'
import { EtfError } from './term.ts'

export interface ToJsonOptions extends Omit<DecodeOptions, 'binaries'> {
  /** Bytes of the JSON in UTF-8, at most. A compressed term inflates to as many at most. */
  readonly maxBytes: number
}

export interface FromJsonOptions {
  /** Those that may be made beside `COMMON_ATOMS`, and the nodes that may be named beside `nonode@nohost`. */
  readonly atoms: ReadonlySet<string>
  /** Lists, tuples and maps within one another; 1,000 by default. */
  readonly maxDepth?: number
}

/** Control characters take six times themselves in JSON, and a string has an end. */
const LONGEST = Math.floor(constants.MAX_STRING_LENGTH / 6)

const PIECES_AT_ONCE = 4_096
const SHORT_PIECE = 16

const MAX_DEPTH = 1_000
/** Arrays and objects that show one list, tuple or map: `{"$map":[[key,value]]}`. */
const LEVELS_OF_MARK = 3

/**
 * What an Erlang term is as JSON (`docs/protocols/erlang-terms.md`). `jsonToTerm` makes an equal term of it, where it knows
 * the atoms.
 * @param bytes external term format, with the 131 before it
 * @returns nothing when the JSON would be larger than `maxBytes` or 85 MiB, or when there is none: for functions and ports,
 *   and for integers of more than 20,000 digits
 * @throws {EtfError} for bytes that `decode` does not take
 */
export function termToJson(bytes: Uint8Array, options: ToJsonOptions): string | undefined {
  let value = decode(bytes, { ...options, binaries: 'text' }).term
  const text = createText()
  let left = Math.min(options.maxBytes, LONGEST)
  const open: { readonly shape: Shape; next: number }[] = []

  function write(piece: string): void {
    left -= piece.length < SHORT_PIECE ? bytesOf(piece) : Buffer.byteLength(piece)
    text.add(piece)
  }

  for (;;) {
    const shape = shapeOf(value)
    if (shape === undefined) {
      const piece = scalar(value, left)
      if (piece === undefined) return undefined
      write(piece)
    } else {
      write(shape.open)
      open.push({ shape, next: 0 })
    }
    let top = open.at(-1)
    while (top !== undefined && top.next === top.shape.count) {
      write(top.shape.close)
      open.pop()
      top = open.at(-1)
    }
    if (left < 0) return undefined
    if (top === undefined) return text.whole()
    write(top.shape.before(top.next))
    value = top.shape.at(top.next++)
  }
}

/**
 * A text that is put together of millions of pieces. As one string, each piece would keep a node of 32 bytes until the end;
 * these are turned into bytes now and then.
 */
function createText(): { add(piece: string): void; whole(): string } {
  const parts: Buffer[] = []
  let part = ''
  let pieces = 0

  return {
    add(piece) {
      part += piece
      if (++pieces < PIECES_AT_ONCE) return
      parts.push(Buffer.from(part))
      part = ''
      pieces = 0
    },
    whole() {
      return parts.length === 0 ? part : Buffer.concat([...parts, Buffer.from(part)]).toString()
    },
  }
}

/** Bytes of a short text in UTF-8: for these a call into the runtime takes longer than to look. */
function bytesOf(piece: string): number {
  for (let i = 0; i < piece.length; i++) if (piece.charCodeAt(i) >= 0x80) return Buffer.byteLength(piece)
  return piece.length
}

/**
 * The Erlang term of a JSON text, encoded, with the 131 before it (`docs/protocols/erlang-terms.md`). An atom that is not
 * known becomes a binary.
 * @returns nothing for what is no JSON, and for what no term can be: lone surrogates, numbers beyond the range of floats,
 *   integers of more than 20,000 digits, one key twice in a `$map`, more than `maxDepth`
 */
export function jsonToTerm(text: string, options: FromJsonOptions): Buffer | undefined {
  const { atoms, maxDepth = MAX_DEPTH } = options
  const marks = createMarks(atoms)
  try {
    const value = readJson(text, LEVELS_OF_MARK * (maxDepth + 1), marks.object)
    const bytes = encode(value, { maxDepth })
    // Two keys that are written in two ways may be one.
    if (marks.hasFreeKeys) scan(bytes, { maxDepth })
    return bytes
  } catch (error) {
    if (error instanceof UnusableJson || error instanceof EtfError) return undefined
    throw error
  }
}
