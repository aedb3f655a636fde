import { plain } from '../etf/plain.ts'
import { COMMON_ATOMS, EtfError } from '../etf/term.ts'
import { HEADER_BYTES, writeHeader } from './frame.ts'
import { LONGEST_NAME, type FromTaker, type Place, type Wish } from './messages.ts'
import { isCompressed, TermReader } from './read-term.ts'
import { atom, binarySize, countSize, listSize, tupleHead, writeBinary, writeCount, writeList } from './write-term.ts'

/*
 * What a taker says, both ways: written by the client, read by the daemon (`pony-express.md`, section 3, and
 * `docs/protocols/pony-express.md`, "Between two Waystations").
 */

const SUBSCRIBE = tupleHead(2, 'subscribe')
const WAYSTATION = tupleHead(6, 'waystation')
const VERSION = 1
const NIL = atom('nil')

/** The whole frame `:keepalive`. */
export const keepaliveFrame: Buffer = framed(Buffer.concat([Buffer.from([131]), atom('keepalive')]))

function framed(payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafeSlow(HEADER_BYTES + payload.length)
  frame.set(payload, writeHeader(frame, 0, payload.length))
  return frame
}

/**
 * The frame `{:subscribe, topic}`, with a wish behind the term where there is one. PonyExpress reads the term only, and
 * gives what is published to `topic`.
 */
export function subscribeFrame(topic: Buffer, wish?: Wish): Buffer {
  const payloadBytes = SUBSCRIBE.length + binarySize(topic) + (wish === undefined ? 0 : wishSize(wish))
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payloadBytes)
  let at = writeHeader(frame, 0, payloadBytes)
  at += SUBSCRIBE.copy(frame, at)
  at = writeBinary(topic, frame, at)
  if (wish !== undefined) writeWish(wish, frame, at)
  return frame
}

function wishSize({ hub, topics, patterns, after }: Wish): number {
  const place = after === undefined ? NIL.length : 2 + binarySize(after.epoch) + countSize(after.offset)
  return WAYSTATION.length + countSize(VERSION) + binarySize(hub) + listSize(topics) + listSize(patterns) + place
}

function writeWish({ hub, topics, patterns, after }: Wish, into: Buffer, from: number): void {
  let at = from + WAYSTATION.copy(into, from)
  at = writeCount(VERSION, into, at)
  at = writeBinary(hub, into, at)
  at = writeList(topics, into, at)
  at = writeList(patterns, into, at)
  if (after === undefined) {
    NIL.copy(into, at)
    return
  }
  at += PAIR.copy(into, at)
  at = writeBinary(after.epoch, into, at)
  writeCount(after.offset, into, at)
}

const PAIR = Buffer.from([104, 2])

/** What is read of a taker, at most. */
export interface TakerBounds {
  /** Bytes of a compressed payload, inflated. */
  readonly maxBytes: number
  /** Topics and patterns of one wish. */
  readonly maxTopics: number
}

/**
 * Reads a payload from a taker. Atoms are strict (`pony-express.md`, section 11); bytes behind the term are ignored,
 * unless they are a wish of the version that is known here.
 * @throws {EtfError} for whatever is neither of the two terms, and for a wish that is broken
 */
export function readFromTaker(payload: Buffer, bounds: TakerBounds): FromTaker {
  if (isCompressed(payload)) return read(inflated(payload, bounds), bounds)
  return read(payload, bounds)
}

function inflated(payload: Buffer, { maxBytes }: TakerBounds): Buffer {
  // Nothing of these can be deep: a tuple of two, and a binary.
  return plain(payload, { atoms: COMMON_ATOMS, maxBytes, maxDepth: 4 })
}

function read(bytes: Buffer, { maxTopics }: TakerBounds): FromTaker {
  const term = new TermReader(bytes)
  if (term.isAtom()) {
    if (term.atom() !== 'keepalive') throw new EtfError('badarg', 'an atom that no taker sends')
    return { kind: 'keepalive' }
  }
  if (term.tuple() !== 2 || term.atom() !== 'subscribe') throw new EtfError('badarg', 'a term that no taker sends')
  const topic = term.binary()
  const wish = hasWish(bytes, term.at) ? readWish(new TermReader(bytes, term.at), maxTopics) : undefined
  return wish === 'too_many' ? { kind: 'too_many_topics' } : { kind: 'subscribe', topic, wish }
}

/** Whether what stands there is a wish of this version. Of a later one nothing is known, so it is left alone. */
function hasWish(bytes: Buffer, at: number): boolean {
  const head = bytes.subarray(at, at + WAYSTATION.length + 2)
  return head.length === WAYSTATION.length + 2 && head.subarray(0, WAYSTATION.length).equals(WAYSTATION) && head.readUInt16BE(WAYSTATION.length) === 97 * 256 + VERSION
}

function readWish(term: TermReader, maxTopics: number): Wish | 'too_many' {
  term.tuple()
  term.atom()
  term.count()
  const hub = term.text(LONGEST_NAME)
  const topics = term.list(maxTopics, () => term.binary())
  if (topics === undefined) return 'too_many'
  const patterns = term.list(maxTopics - topics.length, () => term.text(Infinity))
  if (patterns === undefined) return 'too_many'
  return { hub, topics, patterns, after: readAfter(term) }
}

function readAfter(term: TermReader): Place | undefined {
  if (term.isAtom()) {
    if (term.atom() !== 'nil') throw new EtfError('badarg', 'a place that is neither a pair nor nil')
    return undefined
  }
  if (term.tuple() !== 2) throw new EtfError('badarg', 'a place is a pair')
  return { epoch: term.text(LONGEST_NAME), offset: term.count() }
}
