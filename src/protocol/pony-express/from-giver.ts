import { plain } from '../etf/plain.ts'
import { scan } from '../etf/scan.ts'
import { EtfError } from '../etf/term.ts'
import { LONGEST_NAME, type FromGiver, type Place } from './messages.ts'
import { isCompressed, TermReader } from './read-term.ts'

/** What says that a body is a term. It is checked as a broadcast is. */
const ERLANG_TERM = 'application/x-erlang-term'

/** What is read of a giver, at most. */
export interface GiverBounds {
  /** Bytes of a compressed payload, inflated. */
  readonly maxBytes: number
  /** Terms within one another in a broadcast. */
  readonly maxDepth: number
  /** Topics and patterns of one gap: what was asked for. */
  readonly maxTopics: number
}

/** Hubs that one message may be said to have come through; those who take it bound it lower. */
const MAX_VIA = 256
/** Bytes of a content type, and of the reason of a refusal. */
const LONGEST_TEXT = 16_384
/** Bytes of work on the keys of maps in a term, by those of the largest payload: beyond it reading takes seconds. */
const KEYS_FACTOR = 8

/**
 * Reads a payload from a giver (`pony-express.md`, section 7). Of a broadcast the whole term is checked: any atom, no
 * function, no port. `undefined` is for what is ignored: `:keepalive`, and the atom `nil`, which the reference cannot tell
 * from nothing. The term of a broadcast and the body of a message may be kept: they hold on to no payload that is much
 * larger. The topic of a message is a slice of the payload.
 * @throws {EtfError} for anything else
 */
export function readFromGiver(payload: Buffer, bounds: GiverBounds): FromGiver | undefined {
  if (!isCompressed(payload)) return read(payload, bounds)
  return read(plain(payload, { maxBytes: bounds.maxBytes, maxDepth: bounds.maxDepth }), bounds)
}

function read(payload: Buffer, bounds: GiverBounds): FromGiver | undefined {
  const term = new TermReader(payload)
  if (term.isAtom()) return readIgnored(term)
  const elements = term.tuple()
  const name = term.atom()
  switch (`${name}/${elements}`) {
    case 'pubsub/2': return { kind: 'pubsub', term: broadcast(payload, term.at, bounds) }
    case 'message/7': return readMessage(term, payload, bounds)
    case 'ready/4': return { kind: 'ready', at: readPlace(term), hub: term.text(LONGEST_NAME) }
    case 'gap/6': return readGap(term, bounds)
    case 'alive/3': return { kind: 'alive', at: readPlace(term) }
    case 'refused/2': return { kind: 'refused', why: term.text(LONGEST_TEXT) }
    default: throw new EtfError('badarg', 'a term that no giver sends')
  }
}

function readIgnored(term: TermReader): undefined {
  const name = term.atom()
  if (name !== 'keepalive' && name !== 'nil') throw new EtfError('badarg', 'an atom that no giver sends')
  return undefined
}

/** The broadcast with a 131 of its own, and without what may stand behind it. */
function broadcast(payload: Buffer, from: number, { maxBytes, maxDepth }: GiverBounds): Buffer {
  // The tuple around it is one level more.
  const end = scan(payload, { maxDepth: maxDepth + 1, maxMemory: KEYS_FACTOR * maxBytes })
  const term = Buffer.allocUnsafe(1 + end - from)
  term[0] = 131
  payload.copy(term, 1, from, end)
  return term
}

function readMessage(term: TermReader, payload: Buffer, { maxBytes, maxDepth }: GiverBounds): FromGiver {
  const offset = term.count()
  const topic = term.binary()
  const contentType = term.text(LONGEST_TEXT)
  const time = term.count()
  const via = term.list(MAX_VIA, () => term.text(LONGEST_NAME))
  if (via === undefined) throw new EtfError('too_large', 'a message that came through too many hubs')
  const body = term.binary()
  if (contentType === ERLANG_TERM && (isCompressed(body) || scan(body, { maxDepth, maxMemory: KEYS_FACTOR * maxBytes }) !== body.length)) throw new EtfError('badarg', 'a term with something behind it, or compressed')
  return { kind: 'message', offset, topic, contentType, time, via, body: owned(body, payload) }
}

function readGap(term: TermReader, { maxTopics }: GiverBounds): FromGiver {
  const to = readPlace(term)
  const topics = term.list(maxTopics, () => term.binary())
  const patterns = term.list(maxTopics, () => term.text(Infinity))
  const via = term.list(MAX_VIA, () => term.text(LONGEST_NAME))
  if (via === undefined) throw new EtfError('too_large', 'a gap that came through too many hubs')
  if (topics === undefined || patterns === undefined) throw new EtfError('too_large', 'a gap in more topics than were asked for')
  return { kind: 'gap', to, topics, patterns, via }
}

function readPlace(term: TermReader): Place {
  return { epoch: term.text(LONGEST_NAME), offset: term.count() }
}

/** The bytes, copied where they would keep much more than themselves from being freed: a body may be kept for hours. */
function owned(bytes: Buffer, payload: Buffer): Buffer {
  return 2 * bytes.length >= payload.buffer.byteLength ? bytes : Buffer.from(bytes)
}
