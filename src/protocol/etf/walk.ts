import { EtfError, ImproperList, TermMap, Tuple, type Term } from './term.ts'
import { readScalar } from './scalars.ts'
import { INTEGER, LARGE_TUPLE, LIST, MAP, NIL, SMALL_TUPLE, STRING } from './tags.ts'
import { ARRAY, KEYED_MAP, OBJECT, SLOT, announce, badarg, charge, take, take16, take32, take8, type Reading } from './reading.ts'

/** How a list ends where it stands in a key. Neither is a tag. */
const PROPER_END = 1
const IMPROPER_END = 0
/** Bytes before the pairs of a map in a key. */
const MAP_HEAD = 5

const NOTHING: readonly Term[] = Object.freeze([])
const EMPTY_TUPLE = new Tuple()
const EMPTY_MAP = new TermMap([])
const PAIR = ARRAY + 3 * SLOT
/** An array that is made longer than this at once is made as a table, which takes more. */
const LONGEST_ARRAY = 33_554_432

type Pair = readonly [Term, Term]

/** A container that is being read. There is one for each level, used again and again: checking makes nothing else. */
interface Frame {
  tag: typeof LIST | typeof LARGE_TUPLE | typeof MAP
  /** Terms that are still to come. */
  left: number
  /** Whether the whole container stands in a key. */
  keyed: boolean
  /** Whether the keys of a map are looked at: one alone is always different. */
  compared: boolean
  /** Where it begins in the keys, and in their marks. */
  start: number
  marks: number
  items: Term[]
  pairs: Pair[]
  filled: number
  /** The last key of a map, or what a list ends with. */
  last: Term
  /** Whether a list ends with what is no list. */
  improper: boolean
  /** Whether a list became longer than it said, so that its array has room to grow. */
  grown: boolean
}

/**
 * Reads one term, without 131 before it, and the checks of `erps.md`, A.2. Building and checking are one and the same way,
 * so they cannot differ in what they take.
 * @throws EtfError
 */
export function walk(reading: Reading, maxDepth: number): Term {
  const { keys } = reading
  const frames: Frame[] = []
  let depth = 0
  let top: Frame | undefined

  function open(tag: Frame['tag'], count: number, children: number): void {
    if (depth === maxDepth) throw new EtfError('too_deep', `deeper than ${maxDepth} levels`)
    announce(reading, children)
    const frame = (frames[depth++] ??= newFrame())
    frame.tag = tag
    frame.left = children
    frame.keyed = reading.keyed
    frame.compared = tag === MAP && count > 1
    frame.start = keys.length
    frame.marks = keys.marks
    frame.filled = 0
    frame.improper = false
    frame.grown = false
    if (reading.keyed) {
      keys.byte(tag)
      if (tag !== LIST) keys.u32(count)
    }
    if (reading.purpose === 'build') reserve(reading, frame, count)
    top = frame
  }

  for (;;) {
    if (top !== undefined) {
      top.left--
      reading.awaited--
    }
    reading.keyed = top !== undefined && (top.keyed || (top.compared && isKey(top)))
    const ending: Frame | undefined = top !== undefined && top.tag === LIST && top.left === 0 ? top : undefined
    skipEmptyLists(reading)
    const tag = take8(reading)
    if (ending !== undefined && ending.keyed && tag !== LIST && tag !== STRING && tag !== NIL) keys.byte(IMPROPER_END)
    let start = keys.length
    let value: Term = null
    let given = true
    if (tag === LIST) {
      const count = take32(reading)
      if (ending === undefined) open(LIST, count, count + 1)
      else lengthen(reading, ending, count)
      continue
    } else if (tag === SMALL_TUPLE || tag === LARGE_TUPLE || tag === MAP) {
      const count = tag === SMALL_TUPLE ? take8(reading) : take32(reading)
      const kind = tag === MAP ? MAP : LARGE_TUPLE
      if (count > 0) {
        open(kind, count, tag === MAP ? 2 * count : count)
        continue
      }
      if (reading.keyed) {
        keys.byte(kind)
        keys.u32(0)
      }
      value = tag === MAP ? EMPTY_MAP : EMPTY_TUPLE
    } else if (tag === STRING || tag === NIL) {
      given = ending === undefined
      const count = tag === NIL ? 0 : take16(reading)
      value = readString(reading, count, ending)
    } else {
      value = readScalar(reading, tag)
    }
    // One term is whole, and with it what it was the last of.
    for (;;) {
      if (given) {
        if (reading.keyed) keys.whole(start)
        if (top === undefined) return value
        put(reading, top, value)
      }
      const done: Frame = top as Frame
      if (done.left > 0) break
      value = close(reading, done)
      start = done.start
      reading.keyed = done.keyed
      given = true
      depth--
      top = depth === 0 ? undefined : frames[depth - 1]
    }
  }
}

function newFrame(): Frame {
  return { tag: LIST, left: 0, keyed: false, compared: false, start: 0, marks: 0, items: [], pairs: [], filled: 0, last: null, improper: false, grown: false }
}

/** Makes what a container is filled into. */
function reserve(reading: Reading, frame: Frame, count: number): void {
  if (frame.tag === MAP) {
    charge(reading, OBJECT + SLOT + ARRAY + count * PAIR)
    frame.pairs = Array<Pair>(Math.min(count, LONGEST_ARRAY))
  } else {
    charge(reading, (frame.tag === LIST ? 0 : OBJECT + SLOT) + ARRAY + count * SLOT)
    frame.items = Array<Term>(Math.min(count, LONGEST_ARRAY))
  }
}

/** Whether what a map is about to be given, or was given last, is a key. */
function isKey(frame: Frame): boolean {
  return frame.left % 2 === 1
}

/** A list of no items is its tail, whatever that is. */
function skipEmptyLists(reading: Reading): void {
  const { bytes } = reading
  while (bytes[reading.at] === LIST && reading.at + 5 < bytes.length && bytes.readUInt32BE(reading.at + 1) === 0) reading.at += 5
}

/** A tail that is a list makes one longer list. */
function lengthen(reading: Reading, frame: Frame, count: number): void {
  announce(reading, count + 1)
  frame.left = count + 1
  if (reading.purpose === 'build') chargeGrowth(reading, frame, count)
}

/** An array that grows keeps half as much free, and 16 slots. */
function chargeGrowth(reading: Reading, frame: Frame, count: number): void {
  charge(reading, (frame.grown ? 2 * count : 2 * count + 16) * SLOT)
  frame.grown = true
}

/** A list of bytes, or the rest of one. */
function readString(reading: Reading, count: number, ending: Frame | undefined): Term {
  const { bytes, keys } = reading
  const from = take(reading, count)
  if (reading.keyed) {
    if (ending === undefined) keys.byte(count === 0 ? NIL : LIST)
    for (let index = from; index < from + count; index++) {
      keys.byte(INTEGER)
      keys.u32(bytes[index] as number)
    }
    if (ending === undefined && count > 0) keys.byte(PROPER_END)
  }
  if (reading.purpose === 'check') return null
  if (ending !== undefined) {
    chargeGrowth(reading, ending, count)
    for (let index = from; index < from + count; index++) ending.items[ending.filled++] = bytes[index] as number
    return null
  }
  if (count === 0) return NOTHING
  charge(reading, ARRAY + count * SLOT)
  const items = Array<Term>(count)
  for (let index = 0; index < count; index++) items[index] = bytes[from + index] as number
  return items
}

/** Puts a term where it belongs in its container. */
function put(reading: Reading, frame: Frame, value: Term): void {
  if (frame.compared && (frame.keyed || isKey(frame))) reading.keys.mark()
  if (frame.tag === LIST && frame.left === 0) {
    frame.last = value
    frame.improper = true
  } else if (reading.purpose === 'check') {
    return
  } else if (frame.tag !== MAP) {
    frame.items[frame.filled++] = value
  } else if (isKey(frame)) {
    frame.last = value
  } else {
    frame.pairs[frame.filled++] = [frame.last, value]
  }
}

/** What a container that is whole is. */
function close(reading: Reading, frame: Frame): Term {
  const { keys } = reading
  if (frame.tag === LIST && frame.keyed && !frame.improper) keys.byte(PROPER_END)
  if (frame.compared) {
    if (frame.keyed) charge(reading, KEYED_MAP)
    const different = frame.keyed ? keys.close(frame.start + MAP_HEAD, frame.marks, 'pairs') : keys.close(frame.start, frame.marks, 'keys')
    if (!different) throw badarg('a key twice')
  }
  if (reading.purpose === 'check') return null
  if (frame.tag === MAP) return new TermMap(frame.pairs)
  if (frame.tag === LIST) {
    if (!frame.improper) return frame.items
    charge(reading, OBJECT + 2 * SLOT)
    return new ImproperList(frame.items, frame.last)
  }
  const tuple = new Tuple()
  // Given to the constructor, many elements would be more than fit on the stack.
  ;(tuple as { elements: readonly Term[] }).elements = frame.items
  return tuple
}
