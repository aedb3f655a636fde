import { isUtf8 } from 'node:buffer'
import type { Stored } from '../core/registry.ts'
import { topicFromBytes, topicFromText, topicIsText, topicToBytes, type Topic } from '../core/topic.ts'

/** The first line of what a registry was written to: JSON lines, with whose they are and in which form. */
export const HEADER = { waystation: 'registry', version: 1 } as const
/** No line is longer: the longest topic and urls, each byte of them escaped. */
export const MOST_LINE_BYTES = 4 << 20

const LEAST_SECRET = 16

/** What one line says. A cut file lacks the end. */
export type Line = { readonly thing: Stored } | { readonly end: number }

/** One thing as a line, without the newline. Bytes are Base64; a topic that is no text is `{"base64": …}`. */
export function lineOf(thing: Stored): string {
  switch (thing.type) {
    case 'registration': return JSON.stringify({ type: thing.type, url: thing.url, kind: thing.kind, target: written(thing.target), recovery: thing.recovery })
    case 'notice': return JSON.stringify({ type: thing.type, url: thing.url, kind: thing.kind, target: written(thing.target), topic: written(thing.topic), attempts: thing.attempts, dueAt: thing.dueAt })
    case 'key': return JSON.stringify({ type: thing.type, domain: thing.domain, username: thing.username, apikey: thing.apikey, sha256: thing.sha256?.toString('base64'), insertedAt: thing.insertedAt, active: thing.active })
    case 'hubSecret': return JSON.stringify({ type: thing.type, secret: Buffer.from(thing.secret).toString('base64') })
    case 'signature': return JSON.stringify({ type: thing.type, code: Buffer.from(thing.code).toString('base64'), expiresAt: thing.expiresAt })
    default: throw new Error(`no line for ${JSON.stringify(thing satisfies never)}`)
  }
}

export function endLine(count: number): string {
  return JSON.stringify({ end: true, count })
}

/** Reads one line that is not the first. @throws {RangeError} that says what is wrong with it, and holds nothing of it */
export function readLine(bytes: Uint8Array): Line {
  const fields = fieldsOf(bytes)
  if (fields.get('end') === true) return { end: fields.count('count') }
  switch (fields.get('type')) {
    case 'registration': return { thing: { type: 'registration', url: fields.text('url'), ...targetOf(fields), recovery: fields.optional('recovery', fields.text) } }
    case 'notice': return { thing: { type: 'notice', url: fields.text('url'), ...targetOf(fields), topic: topicOf(fields, 'topic'), attempts: fields.count('attempts'), dueAt: fields.count('dueAt') } }
    case 'key': return { thing: {
      type: 'key', domain: fields.plain('domain'), username: fields.plain('username'), apikey: fields.optional('apikey', fields.plain), sha256: fields.optional('sha256', (name) => fields.bytes(name, 32)),
      insertedAt: fields.count('insertedAt'), active: fields.flag('active'),
    } }
    case 'hubSecret': return { thing: { type: 'hubSecret', secret: secretOf(fields) } }
    case 'signature': return { thing: { type: 'signature', code: fields.bytes('code'), expiresAt: fields.count('expiresAt') } }
    default: throw new RangeError('its type is none that this version knows')
  }
}

/** Whether the first line is that of a registry. @throws {RangeError} that says what else it is */
export function readHeader(bytes: Uint8Array): void {
  const refused = new RangeError('it does not begin as a file of "waystation registry export" does')
  let fields
  try {
    fields = fieldsOf(bytes)
  } catch {
    throw refused
  }
  if (fields.get('waystation') !== HEADER.waystation) throw refused
  if (fields.get('version') !== HEADER.version) throw new RangeError(`it is of another version than ${HEADER.version}, which is all that this program reads`)
}

interface Fields {
  get(name: string): unknown
  text(name: string): string
  /** A text that every database takes. */
  plain(name: string): string
  bytes(name: string, length?: number): Buffer
  /** A whole number. */
  count(name: string): number
  flag(name: string): boolean
  optional<T>(name: string, read: (name: string) => T): T | undefined
}

function fieldsOf(bytes: Uint8Array): Fields {
  if (!isUtf8(bytes)) throw new RangeError('it is no UTF-8')
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString())
  } catch {
    throw new RangeError('it is no JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new RangeError('it is no JSON object')
  const fields = new Map(Object.entries(value))
  const wrong = (name: string, what: string): RangeError => new RangeError(`${name} must be ${what}`)

  function text(name: string): string {
    const field = fields.get(name)
    if (typeof field !== 'string' || !field.isWellFormed()) throw wrong(name, 'a text')
    return field
  }

  return {
    get: (name) => fields.get(name),
    text,
    plain(name) {
      const field = text(name)
      if (field.includes('\0')) throw wrong(name, 'a text without NUL')
      return field
    },
    bytes(name, length) {
      const field = Buffer.from(text(name), 'base64')
      // Base64 in any but its one form was not written here.
      if (field.toString('base64') !== fields.get(name) || (length !== undefined && field.length !== length)) throw wrong(name, `${length === undefined ? '' : `${length} `}bytes in Base64`)
      return field
    },
    count(name) {
      const field = fields.get(name)
      if (typeof field !== 'number' || !Number.isSafeInteger(field)) throw wrong(name, 'a whole number')
      return field
    },
    flag(name) {
      const field = fields.get(name)
      if (typeof field !== 'boolean') throw wrong(name, 'true or false')
      return field
    },
    optional: (name, read) => (fields.get(name) === undefined || fields.get(name) === null ? undefined : read(name)),
  }
}

/** With less, anybody could find out how hubs know each other. */
function secretOf(fields: Fields): Buffer {
  const secret = fields.bytes('secret')
  if (secret.length < LEAST_SECRET) throw new RangeError(`secret must be ${LEAST_SECRET} bytes or more`)
  return secret
}

function targetOf(fields: Fields): { kind: 'exact' | 'glob'; target: Topic } {
  const kind = fields.get('kind')
  if (kind !== 'exact' && kind !== 'glob') throw new RangeError('kind must be exact or glob')
  return { kind, target: topicOf(fields, 'target') }
}

function written(topic: Topic): string | { readonly base64: string } {
  return topicIsText(topic) ? topic : { base64: topicToBytes(topic).toString('base64') }
}

function topicOf(fields: Fields, name: string): Topic {
  const field = fields.get(name)
  if (typeof field === 'string' && field.isWellFormed()) return topicFromText(field)
  const base64 = typeof field === 'object' && field !== null ? (field as { base64?: unknown }).base64 : undefined
  const bytes = typeof base64 === 'string' ? Buffer.from(base64, 'base64') : undefined
  if (bytes === undefined || bytes.toString('base64') !== base64) throw new RangeError(`${name} must be a text or bytes in Base64`)
  return topicFromBytes(bytes)
}
