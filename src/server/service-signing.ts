import * as v from 'valibot'
import { KEY_BYTES } from '../protocol/erps/messages.ts'
import type { SigningKey } from '../services/ports.ts'
import type { SigningOptions } from '../services/signing.ts'

/** Keys that both ends have. What is sent is signed with the first; what comes may be signed with any. */
export interface SigningKeys {
  readonly keys: readonly { readonly id: string; readonly secret: string | Uint8Array }[]
}

const SHORTEST_SECRET = 16

const id = v.pipe(v.string(), v.check((text) => text !== '' && Buffer.byteLength(text) <= KEY_BYTES && !text.includes('\0'), `must have 1 to ${KEY_BYTES} bytes, and no zero`))
const secret = v.pipe(v.union([v.string(), v.instance(Uint8Array)]), v.check((stated) => Buffer.from(stated as string).length >= SHORTEST_SECRET, `must have at least ${SHORTEST_SECRET} bytes`))

/** The part of a schema for them. What it finds wrong has no secret in it. */
export const signing = v.optional(v.strictObject({ keys: v.pipe(v.array(v.strictObject({ id, secret })), v.check((list) => list.length > 0, 'is empty')) }))

/** @param stated checked already */
export function keysOf(stated: SigningKeys | undefined): SigningOptions | undefined {
  const [first, ...others] = (stated?.keys ?? []).map((key): SigningKey => ({ id: key.id, secret: Buffer.from(key.secret as string) }))
  return first === undefined ? undefined : { keys: [first, ...others] }
}
