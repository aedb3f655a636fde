import {
  ATOM, BINARY, BIT_BINARY, EXTERNAL_FUNCTION, FLOAT, INTEGER, LARGE_BIG, LARGE_TUPLE, LATIN1_ATOM, LIST, LOCAL_FUNCTION, MAP, NEW_REFERENCE, NIL, OLD_FLOAT,
  OLD_PID, OLD_PORT, OLD_REFERENCE, PID, PORT, PORT_V4, REFERENCE, SMALL_ATOM, SMALL_BIG, SMALL_INTEGER, SMALL_LATIN1_ATOM, SMALL_TUPLE, STRING,
} from '../etf/tags.ts'
import { peek16, peek32, peek8 } from './peek.ts'

/**
 * The place behind a term without its 131 that has been checked (`scan`): looks at tags and lengths only. Of bytes that are
 * no term it gives any place, and ends.
 * @returns `undefined` where the bytes end before the term does, or a tag is unknown
 */
export function skip(bytes: Buffer, from: number): number | undefined {
  let at = from
  for (let missing = 1; missing > 0; missing--) {
    const tag = bytes[at++]
    switch (tag) {
      case NIL: break
      case SMALL_INTEGER: at += 1; break
      case INTEGER: at += 4; break
      case FLOAT: at += 8; break
      case OLD_FLOAT: at += 31; break
      case SMALL_BIG: at += 2 + peek8(bytes, at); break
      case LARGE_BIG: at += 5 + peek32(bytes, at); break
      case SMALL_ATOM: case SMALL_LATIN1_ATOM: at += 1 + peek8(bytes, at); break
      case ATOM: case LATIN1_ATOM: case STRING: at += 2 + peek16(bytes, at); break
      case BINARY: at += 4 + peek32(bytes, at); break
      case BIT_BINARY: at += 5 + peek32(bytes, at); break
      case SMALL_TUPLE: missing += peek8(bytes, at); at += 1; break
      case LARGE_TUPLE: missing += peek32(bytes, at); at += 4; break
      case LIST: missing += peek32(bytes, at) + 1; at += 4; break
      case MAP: missing += 2 * peek32(bytes, at); at += 4; break
      case PID: at = behindAtom(bytes, at) + 12; break
      case OLD_PID: at = behindAtom(bytes, at) + 9; break
      case REFERENCE: at = behindAtom(bytes, at + 2) + 4 + 4 * peek16(bytes, at); break
      case NEW_REFERENCE: at = behindAtom(bytes, at + 2) + 1 + 4 * peek16(bytes, at); break
      case OLD_REFERENCE: at = behindAtom(bytes, at) + 5; break
      case PORT: at = behindAtom(bytes, at) + 8; break
      case PORT_V4: at = behindAtom(bytes, at) + 12; break
      case OLD_PORT: at = behindAtom(bytes, at) + 5; break
      case EXTERNAL_FUNCTION: at = behindAtom(bytes, behindAtom(bytes, at)) + 2; break
      case LOCAL_FUNCTION: at += peek32(bytes, at); break
      default: return undefined
    }
    if (at > bytes.length) return undefined
  }
  return at
}

function behindAtom(bytes: Buffer, at: number): number {
  const tag = bytes[at]
  const isLong = tag === ATOM || tag === LATIN1_ATOM
  return isLong ? at + 3 + peek16(bytes, at + 1) : at + 2 + peek8(bytes, at + 1)
}
