import { isAscii, isUtf8 } from 'node:buffer'
import { atomName, findAtom, type AtomPlace } from './atoms.ts'
import { Atom, BitString, COMMON_ATOMS, ExternalFunction, Float, LocalFunction, Pid, Port, Reference, type Term } from './term.ts'
import {
  ATOM, BINARY, BIT_BINARY, EXTERNAL_FUNCTION, FLOAT, INTEGER, LARGE_BIG, LATIN1_ATOM, LOCAL_FUNCTION, MOST_REFERENCE_WORDS, NEW_REFERENCE, OLD_FLOAT,
  OLD_PID, OLD_PORT, OLD_REFERENCE, PID, PORT, PORT_V4, REFERENCE, SMALL_ATOM, SMALL_BIG, SMALL_INTEGER, SMALL_LATIN1_ATOM,
} from './tags.ts'
import { ARRAY, BIGINT, HEAP_NUMBER, OBJECT, SLOT, STRING_HEAD, VIEW, badarg, charge, take, take16, take32, take8, type Reading } from './reading.ts'

/** Bytes of the largest integer, as V8 has it. */
const LARGEST_BIG = 134_217_728
const OLD_FLOAT_SIZE = 31
const OLD_FLOAT_TEXT = /^[+-]?\d+[.,]\d+(?:[eE][+-]?\d+)?$/
/** The node of what is local to a node without a name. */
const NO_NODE = 'nonode@nohost'
const EMPTY = new Uint8Array(0)

/** Reads a term that holds no other one, behind its tag (`erps.md`, A.1 and A.2). Gives `null` where nothing is built. */
export function readScalar(reading: Reading, tag: number): Term {
  switch (tag) {
    case SMALL_INTEGER: return integer(reading, take8(reading))
    case INTEGER: return integer(reading, take32(reading) | 0)
    case SMALL_BIG: return big(reading, take8(reading))
    case LARGE_BIG: return big(reading, take32(reading))
    case FLOAT: return float(reading, reading.bytes.readDoubleBE(take(reading, 8)))
    case OLD_FLOAT: return oldFloat(reading)
    case SMALL_ATOM: case ATOM: case LATIN1_ATOM: case SMALL_LATIN1_ATOM: return atom(reading, tag)
    case BINARY: return binary(reading)
    case BIT_BINARY: return bitBinary(reading)
    case PID: case OLD_PID: return pid(reading, tag)
    case REFERENCE: case NEW_REFERENCE: case OLD_REFERENCE: return reference(reading, tag)
    case PORT: case PORT_V4: case OLD_PORT: return port(reading, tag)
    case EXTERNAL_FUNCTION: return externalFunction(reading)
    case LOCAL_FUNCTION: return localFunction(reading)
    default: throw badarg(`tag ${tag}`)
  }
}

function integer(reading: Reading, value: number): number {
  if (reading.keyed) {
    reading.keys.byte(INTEGER)
    reading.keys.u32(value >>> 0)
  }
  return value
}

function big(reading: Reading, announced: number): Term {
  const negative = take8(reading) !== 0
  const from = take(reading, announced)
  const { bytes } = reading
  let to = from + announced
  while (to > from && bytes[to - 1] === 0) to--
  const size = to - from
  if (size > LARGEST_BIG) throw badarg('an integer of more than 128 MiB')
  // Six bytes are exact in a number, and most integers.
  const small = size <= 6 ? magnitudeOf(bytes, from, to) * (negative ? -1 : 1) : undefined
  if (small !== undefined && small === (small | 0)) return integer(reading, small | 0)
  if (reading.keyed) {
    reading.keys.byte(LARGE_BIG)
    reading.keys.u32(size)
    reading.keys.byte(negative ? 1 : 0)
    reading.keys.copy(bytes, from, to)
  }
  if (reading.purpose === 'check') return null
  if (small !== undefined) {
    charge(reading, HEAP_NUMBER)
    return small
  }
  // On the way there are a copy and a text of it.
  charge(reading, BIGINT + 4 * size)
  reading.memory -= 3 * size
  const magnitude = BigInt(`0x${Buffer.from(bytes.subarray(from, to)).reverse().toString('hex')}`)
  if (magnitude > BigInt(Number.MAX_SAFE_INTEGER)) return negative ? -magnitude : magnitude
  return negative ? -Number(magnitude) : Number(magnitude)
}

function magnitudeOf(bytes: Buffer, from: number, to: number): number {
  let magnitude = 0
  for (let index = to - 1; index >= from; index--) magnitude = magnitude * 256 + (bytes[index] as number)
  return magnitude
}

function float(reading: Reading, value: number): Term {
  if (!Number.isFinite(value)) throw badarg('a float that is no number')
  if (reading.keyed) {
    reading.keys.byte(FLOAT)
    // Up to OTP 26 there is one zero, and a map with both would be refused.
    reading.keys.double(value === 0 ? 0 : value)
  }
  if (reading.purpose === 'check') return null
  charge(reading, OBJECT + SLOT + HEAP_NUMBER)
  return new Float(value)
}

function oldFloat(reading: Reading): Term {
  const from = take(reading, OLD_FLOAT_SIZE)
  // As in C, the text ends at its first zero, and what is behind it is not looked at.
  const text = reading.bytes.toString('latin1', from, from + OLD_FLOAT_SIZE).split('\0', 1)[0] as string
  if (!OLD_FLOAT_TEXT.test(text)) throw badarg('a float in text')
  return float(reading, Number(text.replace(',', '.')))
}

/** Where the name of the last atom stands. Reading is not interrupted, so one is enough. */
const place: AtomPlace = { from: 0, to: 0, encoding: 'ascii' }

/** Gives the name, or an empty text where nothing needs it. */
function nameOf(reading: Reading, tag: number, role: 'atom' | 'node'): string {
  const { bytes, atoms, keys } = reading
  if (!findAtom(bytes, tag, reading.at, place)) throw badarg('an atom')
  const { from, to, encoding } = place
  reading.at = to
  if (reading.keyed) {
    keys.byte(ATOM)
    if (encoding === 'latin1') keys.latin1(bytes, from, to)
    else keys.copy(bytes, from, to)
    // No name holds this byte.
    keys.byte(0xff)
  }
  if (atoms === undefined && reading.purpose === 'check') return ''
  const name = atomName(bytes, place)
  if (atoms !== undefined && !atoms.has(name) && !COMMON_ATOMS.has(name) && !(role === 'node' && name === NO_NODE)) throw badarg('an atom that is not known')
  return name
}

function atom(reading: Reading, tag: number): Term {
  const name = nameOf(reading, tag, 'atom')
  if (reading.purpose === 'check' || name === 'nil') return null
  if (name === 'true') return true
  if (name === 'false') return false
  charge(reading, OBJECT + SLOT + textSize(name))
  return new Atom(name)
}

/** Bytes of the heap that a short text takes, at most. */
function textSize(text: string): number {
  return STRING_HEAD + 2 * text.length
}

function binary(reading: Reading): Term {
  const size = take32(reading)
  return bytesTerm(reading, take(reading, size), size)
}

function bytesTerm(reading: Reading, from: number, size: number): Term {
  const { bytes, keys } = reading
  if (reading.keyed) {
    keys.byte(BINARY)
    keys.u32(size)
    keys.copy(bytes, from, from + size)
  }
  if (reading.purpose === 'check') return null
  const text = reading.binaries === 'text'
  if (size === 0) return text ? '' : EMPTY
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset + from, size)
  if (text && isUtf8(view)) {
    charge(reading, STRING_HEAD + (isAscii(view) ? size : 2 * size))
    return bytes.toString('utf8', from, from + size)
  }
  charge(reading, VIEW)
  return view
}

function bitBinary(reading: Reading): Term {
  const { keys } = reading
  const size = take32(reading)
  const bits = take8(reading)
  const from = take(reading, size)
  if (size === 0 ? bits !== 0 : bits < 1 || bits > 8) throw badarg('bits')
  if (bits === 8 || size === 0) return bytesTerm(reading, from, size)
  const mask = 0xff00 >> bits & 0xff
  if (reading.keyed) {
    keys.byte(BIT_BINARY)
    keys.u32(size)
    keys.byte(bits)
    keys.copy(reading.bytes, from, from + size)
    keys.mask(mask)
  }
  if (reading.purpose === 'check') return null
  charge(reading, OBJECT + 2 * SLOT + VIEW)
  let view = new Uint8Array(reading.bytes.buffer, reading.bytes.byteOffset + from, size)
  const last = view[size - 1] as number
  if ((last & mask) !== last) {
    charge(reading, VIEW + size)
    view = view.slice()
    view[size - 1] = last & mask
  }
  return new BitString(view, bits)
}

/** The number of a start of a node, which was one byte once. */
function creationOf(reading: Reading, size: 1 | 4): number {
  return size === 1 ? take8(reading) : take32(reading)
}

function note(reading: Reading, ...words: readonly number[]): void {
  if (reading.keyed) for (const word of words) reading.keys.u32(word)
}

function pid(reading: Reading, tag: number): Term {
  if (reading.keyed) reading.keys.byte(PID)
  const node = nameOf(reading, take8(reading), 'node')
  const id = take32(reading)
  const serial = take32(reading)
  const creation = creationOf(reading, tag === PID ? 4 : 1)
  note(reading, id, serial, creation)
  if (reading.purpose === 'check') return null
  charge(reading, OBJECT + 4 * SLOT + 3 * HEAP_NUMBER + textSize(node))
  return new Pid(node, id, serial, creation)
}

function reference(reading: Reading, tag: number): Term {
  const count = tag === OLD_REFERENCE ? 1 : take16(reading)
  if (count > MOST_REFERENCE_WORDS) throw badarg('the words of a reference')
  if (reading.keyed) reading.keys.byte(REFERENCE)
  const node = nameOf(reading, take8(reading), 'node')
  const words: number[] = []
  if (tag === OLD_REFERENCE) words.push(take32(reading))
  const creation = creationOf(reading, tag === REFERENCE ? 4 : 1)
  if (tag !== OLD_REFERENCE) for (let index = 0; index < count; index++) words.push(take32(reading))
  note(reading, count, creation, ...words)
  if (reading.purpose === 'check') return null
  // An array that was filled one by one has room for 17.
  charge(reading, OBJECT + 3 * SLOT + ARRAY + 17 * SLOT + count * HEAP_NUMBER + textSize(node))
  return new Reference(node, creation, words)
}

function port(reading: Reading, tag: number): Term {
  if (reading.opaque === 'refused') throw badarg('a port')
  if (reading.keyed) reading.keys.byte(PORT)
  const node = nameOf(reading, take8(reading), 'node')
  const high = tag === PORT_V4 ? take32(reading) : 0
  const low = take32(reading)
  const creation = creationOf(reading, tag === OLD_PORT ? 1 : 4)
  note(reading, high, low, creation)
  if (reading.purpose === 'check') return null
  charge(reading, OBJECT + 3 * SLOT + BIGINT + SLOT + HEAP_NUMBER + textSize(node))
  const id = (BigInt(high) << 32n) | BigInt(low)
  return new Port(node, id <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(id) : id, creation)
}

function externalFunction(reading: Reading): Term {
  if (reading.opaque === 'refused') throw badarg('a function')
  if (reading.keyed) reading.keys.byte(EXTERNAL_FUNCTION)
  const module = nameOf(reading, take8(reading), 'atom')
  const name = nameOf(reading, take8(reading), 'atom')
  if (take8(reading) !== SMALL_INTEGER) throw badarg('an arity')
  const arity = take8(reading)
  note(reading, arity)
  if (reading.purpose === 'check') return null
  charge(reading, OBJECT + 3 * SLOT + textSize(module) + textSize(name))
  return new ExternalFunction(module, name, arity)
}

function localFunction(reading: Reading): Term {
  if (reading.opaque === 'refused') throw badarg('a function')
  const size = take32(reading) - 4
  if (size < 0) throw badarg('a function smaller than its size')
  const from = take(reading, size)
  if (reading.keyed) {
    reading.keys.byte(LOCAL_FUNCTION)
    reading.keys.u32(size)
    reading.keys.copy(reading.bytes, from, from + size)
  }
  if (reading.purpose === 'check') return null
  charge(reading, OBJECT + SLOT + VIEW)
  return new LocalFunction(new Uint8Array(reading.bytes.buffer, reading.bytes.byteOffset + from, size))
}
