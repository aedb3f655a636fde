import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { WaystationError } from '../core/errors.ts'
import { KEY_BYTES } from '../protocol/erps/messages.ts'
import type { SigningKey } from '../services/ports.ts'
import type { SigningOptions } from '../services/signing.ts'

/** Keys that both ends have. What is sent is signed with the first; what comes may be signed with any. */
export interface SigningKeys {
  readonly keys: readonly { readonly id: string; readonly secret: string | Uint8Array }[]
}

const SHORTEST_SECRET = 16
const FAULTS = {
  id: `must have 1 to ${KEY_BYTES} bytes of well-formed Unicode, and no zero`,
  secret: `must be a text or bytes, ${SHORTEST_SECRET} bytes at least`,
  twice: 'has an id twice',
} as const

function isId(text: string): boolean {
  return text !== '' && Buffer.byteLength(text) <= KEY_BYTES && !text.includes('\0') && text.isWellFormed()
}

function isSecret(stated: unknown): stated is string | Uint8Array {
  return (typeof stated === 'string' || stated instanceof Uint8Array) && Buffer.from(stated as string).length >= SHORTEST_SECRET
}

function hasTwice(ids: readonly string[]): boolean {
  return new Set(ids).size < ids.length
}

const id = v.pipe(v.string(), v.check(isId, FAULTS.id))
// Anything else than a check would say in its problem what was stated.
const secret = v.pipe(v.unknown(), v.check(isSecret, FAULTS.secret))

/** The part of a schema for them. What it finds wrong has no secret in it. */
export const signing = v.optional(v.strictObject({
  keys: v.pipe(v.array(v.strictObject({ id, secret })), v.check((list) => list.length > 0, 'is empty'), v.check((list) => !hasTwice(list.map((key) => key.id)), FAULTS.twice)),
}))

/** @param stated checked already */
export function keysOf(stated: SigningKeys | undefined): SigningOptions | undefined {
  const [first, ...others] = (stated?.keys ?? []).map((key): SigningKey => ({ id: key.id, secret: Buffer.from(key.secret as string) }))
  return first === undefined ? undefined : { keys: [first, ...others] }
}

const FORM = 'must be JSON: { "id": "secret" }'
/** A name with its value, both as they stand in JSON. */
const PAIR = /("(?:[^"\\]|\\.)*")\s*:\s*("(?:[^"\\]|\\.)*")/g

/**
 * Keys that packets are signed with: a JSON object of ids and secrets, the first of which signs.
 * @throws {WaystationError} `config_invalid`, without a secret in it
 */
export function readSigningKeys(file: string): SigningOptions['keys'] {
  const failed = (why: string): never => {
    throw new WaystationError('config_invalid', `${file} ${why}`)
  }
  const text = textOf(file, failed)
  const read = parsed(text)
  if (typeof read !== 'object' || read === null || Array.isArray(read)) return failed(FORM)
  const other = Object.entries(read).find(([, stated]) => typeof stated !== 'string')
  if (other !== undefined) return failed(`has no text as the secret of ${JSON.stringify(other[0])}`)
  // In the order in which they stand: an object has ids that are whole numbers before all others, the smallest first.
  const keys = [...text.matchAll(PAIR)].map(([, name, value]) => ({ id: JSON.parse(name as string) as string, secret: JSON.parse(value as string) as string }))
  for (const key of keys) {
    if (!isId(key.id)) failed(`has the id ${JSON.stringify(key.id)}, which ${FAULTS.id}`)
    if (!isSecret(key.secret)) failed(`has no secret of at least ${SHORTEST_SECRET} bytes under ${JSON.stringify(key.id)}`)
  }
  if (hasTwice(keys.map((key) => key.id))) failed(FAULTS.twice)
  return keysOf({ keys })?.keys ?? failed('has no key')
}

function textOf(file: string, failed: (why: string) => never): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    return failed(`cannot be read: ${(error as Error).message}`)
  }
}

/** Not the reason why it is no JSON: that quotes what stands there. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
