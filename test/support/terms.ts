import { Atom, BitString, Float, ImproperList, Pid, Reference, TermMap, Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import type { Chance } from '../simulation/chance.ts'

export const NODE = 'a@b'
/** The atoms of drawn terms. */
export const ATOMS: ReadonlySet<string> = new Set(['ok', 'name', '', '$tuple', '__proto__', '1', 'héé', '日本', 'Elixir.A', 'node', NODE])
const TEXTS = ['', 'a', 'name', '$', '$tuple', '$keys', '__proto__', 'constructor', '0', '10', '2', 'true', 'null', 'grüße', '日本', '\u0000\u001f"\\/\u2028', '\ufeffx', '😀', 'x'.repeat(300)]
const FLOATS = [0, -0, 1, -1, 0.1, 1e22, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 123456789.125, 2 ** 53]
const INTEGERS = [0, -1, 255, 256, 2 ** 31, -(2 ** 31), 2 ** 53 - 1, -(2 ** 53 - 1), 2n ** 53n, -(2n ** 53n), 2n ** 64n, 10n ** 700n, -(10n ** 30n)]

/** A term that is safe, with everything in it that there is; the same for the same chance. */
export function drawTerm(chance: Chance, depth: number): Term {
  const kind = chance.int(0, depth > 0 ? 15 : 8)
  switch (kind) {
    case 0: return of(chance, [true, false, null])
    case 1: return chance.odds(0.5) ? of(chance, INTEGERS) : chance.int(-1_000_000, 1_000_000)
    case 2: return new Float(chance.odds(0.5) ? of(chance, FLOATS) : (chance.next() - 0.5) * 10 ** chance.int(-300, 300))
    case 3: case 4: return Buffer.from(of(chance, TEXTS))
    case 5: return drawBytes(chance, chance.int(0, 12))
    case 6: return drawAtom(chance)
    case 7: {
      const lastBits = chance.int(1, 7)
      const bytes = drawBytes(chance, chance.int(1, 4))
      bytes[bytes.length - 1] = (bytes.at(-1) as number) & (0xff00 >> lastBits)
      return new BitString(bytes, lastBits)
    }
    case 8: return chance.odds(0.5) ? new Pid(NODE, chance.int(0, 2 ** 32 - 1), 2, 3) : new Reference(NODE, chance.int(0, 9), Array.from({ length: chance.int(0, 5) }, () => chance.int(0, 2 ** 32 - 1)))
    case 9: return new Tuple(...many(chance, () => drawTerm(chance, depth - 1)))
    case 10: return many(chance, () => new Tuple(drawAtom(chance), drawTerm(chance, depth - 1)))
    case 11: return many(chance, () => chance.int(0, 255))
    case 12: return new ImproperList([drawTerm(chance, depth - 1), ...many(chance, () => drawTerm(chance, depth - 1))], new Atom('ok'))
    case 13: return drawMap(chance, () => drawAtom(chance), depth)
    case 14: return chance.odds(0.7) ? drawMap(chance, () => Buffer.from(of(chance, TEXTS)), depth) : drawMap(chance, () => drawTerm(chance, depth - 1), depth)
    default: return many(chance, () => drawTerm(chance, depth - 1))
  }
}

function drawMap(chance: Chance, key: () => Term, depth: number): TermMap {
  const entries = many(chance, () => [key(), drawTerm(chance, depth - 1)] as const)
  // Some keys are drawn twice. Maps within keys are rare, and then in one order.
  return new TermMap([...new Map(entries.map((entry) => [encode(entry[0]).toString('latin1'), entry])).values()])
}

function drawAtom(chance: Chance): Term {
  return chance.odds(0.2) ? of(chance, [true, false, null]) : new Atom(of(chance, [...ATOMS]))
}

function drawBytes(chance: Chance, size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, () => chance.int(0, 255)))
}

function many<T>(chance: Chance, draw: () => T): T[] {
  return Array.from({ length: chance.int(0, 4) }, draw)
}

function of<T>(chance: Chance, values: readonly T[]): T {
  return values[chance.int(0, values.length - 1)] as T
}
