import { Atom, BitString, Float, ImproperList, Pid, Reference, TermMap, Tuple, type Term } from '../../../src/protocol/etf/term.ts'
import { encode } from '../../../src/protocol/etf/encode.ts'
import type { Chance } from '../../simulation/chance.ts'

const ALPHABETS = ['abcxyz_@.', 'abc éßÿ', 'aΩя日本', 'a😀𝕏', ' \u0000\u007f\u0080ÿĀ']
const NODES = ['nonode@nohost', 'a@b.c', 'hub@example.org', 'é@日本']
const EDGES = [0, 1, 127, 128, 255, 256, -1, -128, 65_535, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1, 2 ** 32, 2 ** 48, 2 ** 53 - 1, -(2 ** 53 - 1)]
const FLOATS = [0, -0, 1, -1, 0.1, 5e-324, -5e-324, 2.225e-308, 1.7976931348623157e308, 2 ** 53, 1e21, Math.PI]
/** Of pids and references that a node makes. */
const MOST_ID = 2 ** 15 - 1
const MOST_WORD = 2 ** 18 - 1

/** A term of any kind but functions and ports; the same for the same chance. */
export function drawTerm(chance: Chance, depth: number): Term {
  if (depth === 0 || chance.odds(0.3)) return drawLeaf(chance)
  switch (chance.int(0, 6)) {
    case 0: return new Tuple(...many(chance, depth))
    case 1: return many(chance, depth)
    case 2: return new ImproperList([drawTerm(chance, depth - 1), ...many(chance, depth)], drawEnd(chance))
    case 3: return drawMap(chance, depth, drawSize(chance))
    case 4: return many(chance, depth).map((value) => new Tuple(drawAtom(chance), value))
    case 5: return Array.from({ length: drawSize(chance) }, () => chance.int(0, chance.odds(0.1) ? 256 : 255))
    default: return drawLeaf(chance)
  }
}

/** Keys may be maps themselves, but then those hold one pair at most, so that equal ones are written equal. */
function drawMap(chance: Chance, depth: number, size: number): TermMap {
  const entries = new Map<string, readonly [Term, Term]>()
  for (let index = 0; index < size; index++) {
    const key = chance.odds(0.2) ? drawKey(chance, depth - 1) : drawLeaf(chance)
    entries.set(encode(key instanceof Float && key.value === 0 ? new Float(0) : key).toString('latin1'), [key, drawTerm(chance, depth - 1)])
  }
  return new TermMap([...entries.values()])
}

function drawKey(chance: Chance, depth: number): Term {
  if (depth === 0) return chance.int(-300, 300)
  const inner = drawKey(chance, depth - 1)
  return [[inner, 1], new Tuple(inner, 'x'), new TermMap([[inner, 2]]), new ImproperList([inner], 3)][chance.int(0, 3)] as Term
}

function drawEnd(chance: Chance): Term {
  const end = drawLeaf(chance)
  return Array.isArray(end) ? null : end
}

function drawLeaf(chance: Chance): Term {
  switch (chance.int(0, 9)) {
    case 0: return chance.int(-300, 300)
    case 1: return of(chance, EDGES)
    case 2: return drawBig(chance)
    case 3: return chance.odds(0.3) ? new Float(of(chance, FLOATS)) : drawFloat(chance)
    case 4: case 5: return drawAtom(chance)
    case 6: return drawBytes(chance, drawSize(chance))
    case 7: return drawBits(chance)
    case 8: return drawIdentifier(chance)
    default: return of(chance, [true, false, null, []])
  }
}

function drawBig(chance: Chance): Term {
  const digits = chance.odds(0.02) ? chance.int(500, 600) : chance.int(2, 40)
  let hex = '0x1'
  for (let digit = 0; digit < digits; digit++) hex += chance.int(0, 15).toString(16)
  const magnitude = BigInt(hex)
  const value = chance.odds(0.5) ? magnitude : -magnitude
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

function drawFloat(chance: Chance): Float {
  const bytes = drawBytes(chance, 8)
  // Every tenth is smaller than any normal one.
  if (chance.odds(0.1)) bytes.fill(0, 0, 2)
  const value = Buffer.from(bytes).readDoubleBE()
  return new Float(Number.isFinite(value) ? value : 1.5)
}

function drawAtom(chance: Chance): Term {
  const alphabet = [...of(chance, ALPHABETS)]
  const size = chance.odds(0.01) ? chance.int(250, 255) : chance.int(0, 8)
  let name = ''
  for (let index = 0; index < size; index++) name += of(chance, alphabet)
  return new Atom(name)
}

function drawBits(chance: Chance): BitString {
  const lastBits = chance.int(1, 7)
  const bytes = drawBytes(chance, chance.int(1, 5))
  bytes[bytes.length - 1] = (bytes.at(-1) as number) & (0xff00 >> lastBits)
  return new BitString(bytes, lastBits)
}

function drawIdentifier(chance: Chance): Term {
  const node = of(chance, NODES)
  const word = (): number => chance.int(0, 2 ** 32 - 1)
  // Of its own identifiers, a node without a name takes only such as it could have made.
  const own = node === 'nonode@nohost'
  const creation = own ? 0 : word()
  if (chance.odds(0.5)) return new Pid(node, own ? chance.int(0, MOST_ID) : word(), own ? 0 : word(), creation)
  return new Reference(node, creation, own ? [chance.int(0, MOST_WORD), word(), word()] : Array.from({ length: chance.int(1, 5) }, word))
}

function drawSize(chance: Chance): number {
  return chance.odds(0.01) ? chance.int(40, 300) : chance.int(0, 4)
}

function drawBytes(chance: Chance, size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  for (let index = 0; index < size; index++) bytes[index] = chance.int(0, 255)
  return bytes
}

function many(chance: Chance, depth: number): Term[] {
  return Array.from({ length: chance.int(0, 4) }, () => drawTerm(chance, depth - 1))
}

function of<T>(chance: Chance, values: readonly T[]): T {
  return values[chance.int(0, values.length - 1)] as T
}
