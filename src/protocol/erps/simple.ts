import type { DecodeOptions } from '../etf/envelope.ts'
import {
  ATOM, BINARY, FLOAT, INTEGER, LATIN1_ATOM, LIST, MAP, NIL, SMALL_ATOM, SMALL_INTEGER, SMALL_LATIN1_ATOM, SMALL_TUPLE, STRING, VERSION,
} from '../etf/tags.ts'
import { COMMON_ATOMS } from '../etf/term.ts'
import { peek16, peek32, peek8 } from './peek.ts'

/** Containers in a term that is read this way: so many can never be too deep. */
const MOST_CONTAINERS = 64
const LONGEST_ATOM = 255

/**
 * The short way to what `scan` says, for a term of the kinds that nearly every payload is made of: in a fifth of the time, or less.
 * What it takes, `scan` takes, up to the same place; a test holds one against the other.
 * @param bytes a term with its 131
 * @returns the place behind the term; `undefined` where only `scan` can tell, for whatever reason
 */
export function simpleEnd(bytes: Buffer, { atoms = 'any', maxDepth = MOST_CONTAINERS }: DecodeOptions): number | undefined {
  if (bytes[0] !== VERSION) return undefined
  let containers = Math.min(maxDepth, MOST_CONTAINERS)
  let at = 1
  for (let missing = 1; missing > 0; missing--) {
    const tag = bytes[at++]
    switch (tag) {
      case NIL: break
      case SMALL_INTEGER: at += 1; break
      case INTEGER: at += 4; break
      case BINARY: at += 4 + peek32(bytes, at); break
      case STRING: at += 2 + peek16(bytes, at); break
      case FLOAT:
        if ((peek16(bytes, at) & 0x7ff0) === 0x7ff0) return undefined
        at += 8
        break
      case SMALL_ATOM: case SMALL_LATIN1_ATOM: case ATOM: case LATIN1_ATOM: {
        const isSmall = tag === SMALL_ATOM || tag === SMALL_LATIN1_ATOM
        const size = isSmall ? peek8(bytes, at) : peek16(bytes, at)
        at += isSmall ? 1 : 2
        if (size > LONGEST_ATOM || !isKnown(bytes, at, at + size, atoms)) return undefined
        at += size
        break
      }
      case SMALL_TUPLE:
        if (--containers < 0) return undefined
        missing += peek8(bytes, at)
        at += 1
        break
      case LIST: case MAP: {
        const count = peek32(bytes, at)
        // Two keys have to be compared.
        if (--containers < 0 || (tag === MAP && count > 1)) return undefined
        missing += tag === LIST ? count + 1 : 2 * count
        at += 4
        break
      }
      default: return undefined
    }
    if (at > bytes.length) return undefined
  }
  return at
}

/** Whether an atom is in ASCII, and one that is taken. */
function isKnown(bytes: Buffer, from: number, to: number, atoms: 'any' | ReadonlySet<string>): boolean {
  if (to > bytes.length) return false
  for (let at = from; at < to; at++) if ((bytes[at] as number) >= 0x80) return false
  if (atoms === 'any') return true
  const name = bytes.toString('latin1', from, to)
  return atoms.has(name) || COMMON_ATOMS.has(name)
}
