import { isUtf8 } from 'node:buffer'
import { jsonToTerm, termToJson } from '../protocol/etf/json.ts'
import { EtfError } from '../protocol/etf/term.ts'
import { encodedOnce, type Draft, type Message } from './message.ts'
import type { Topic } from './topic.ts'

/** The media type of a term in external term format, with the 131 before it. */
export const ERLANG_TERM = 'application/x-erlang-term'

/** Bytes that JSON may take, by those of its term. */
const [JSON_FACTOR, JSON_EXTRA] = [4, 1_024]
/** Bytes of memory that reading a term for it may take. Maps of texts take seven times theirs, small atoms twenty. */
const [MEMORY_FACTOR, MEMORY_EXTRA] = [12, 16_777_216]
/** The same however large the term is: what takes more holds everybody up for seconds while it is shown. */
const MOST_MEMORY = 67_108_864

const [VERSION, BINARY, BINARY_HEAD] = [131, 109, 6]

/**
 * What an Erlang term is to everyone: a binary is its bytes, any other its JSON (`docs/protocols/erlang-terms.md`). Where
 * it has no JSON, or too much, everyone gets the term as it is.
 * @param term in external term format with its 131, not compressed, with nothing behind it; `scan` has taken it
 */
export function draftOfTerm(topic: Topic, term: Buffer): Draft {
  if (term[1] === BINARY) {
    const body = term.subarray(BINARY_HEAD)
    const text = isUtf8(body)
    return { topic, body, contentType: text ? 'text/plain; charset=utf-8' : 'application/octet-stream', text }
  }
  const json = jsonOf(term)
  if (json === undefined) return { topic, body: term, contentType: ERLANG_TERM, text: false, term }
  return { topic, body: Buffer.from(json), contentType: 'application/json', text: true, term }
}

/**
 * The JSON of a term, within bounds that its size sets; nothing where there is none, or too much.
 * @param term in external term format with its 131, not compressed
 */
export function jsonOf(term: Buffer): string | undefined {
  try {
    const { length } = term
    return termToJson(term, { maxBytes: JSON_FACTOR * length + JSON_EXTRA, maxMemory: Math.min(MEMORY_FACTOR * length + MEMORY_EXTRA, MOST_MEMORY), maxDepth: Infinity })
  } catch (error) {
    if (error instanceof EtfError) return undefined
    throw error
  }
}

const JSON_TYPE = /^application\/(?:[^\s;]+\+)?json\s*(?:;|$)/i
const LOWER_CASE = 0x20

/** Whether a content type says that the body is JSON: `application/json`, or a type that is built on it. */
export function isJson(contentType: string): boolean {
  if (contentType === 'application/json') return true
  // Most are text, and need no more than this.
  if ((contentType.charCodeAt(0) | LOWER_CASE) !== 0x61) return false
  if (contentType !== asked.type) asked = { type: contentType, isJson: JSON_TYPE.test(contentType) }
  return asked.isJson
}

/** The type that was asked for last: mostly the next message has the same. */
let asked = { type: '', isJson: false }

const keys = new WeakMap<ReadonlySet<string>, string>()
let sets = 0

/**
 * What a message is as an Erlang term, in external term format with its 131: the term that it came as, what its JSON
 * shows, or else a binary. Made at most once for a message and a set of atoms. Not for large bodies.
 * @param atoms those that the receivers know beside `COMMON_ATOMS`; the set must not change
 */
export function termOf(message: Message, atoms: ReadonlySet<string>): Buffer {
  if (message.term !== undefined) return message.term
  let key = keys.get(atoms)
  if (key === undefined) keys.set(atoms, (key = `term ${++sets}`))
  return encodedOnce(message, key, ({ body, contentType, text }) => {
    const term = text && isJson(contentType) ? jsonToTerm(body.toString('utf8'), { atoms }) : undefined
    return term ?? binary(body)
  })
}

function binary(body: Buffer): Buffer {
  const term = Buffer.allocUnsafe(BINARY_HEAD + body.length)
  term[0] = VERSION
  term[1] = BINARY
  term.writeUInt32BE(body.length, 2)
  term.set(body, BINARY_HEAD)
  return term
}
