import type { Connection } from './connections.ts'
import { oneByOne, type Operation } from './lane.ts'
import { firstOfEach } from './registrations.ts'

interface Remembering {
  readonly signature: Uint8Array
  readonly expiresAt: number
  readonly now: number
}

/** Bytes of a signature that are kept: as hard to meet by chance as the whole. */
const KEPT = 16
/** Expired signatures are kept a little longer, for a hub whose clock is behind. */
const GRACE_MS = 600_000

/** True for each that is new. In the order of the bytes, so that two hubs never wait for each other. */
export const remember: Operation<Remembering, boolean> = async (connection, inputs) => {
  const first = new Map<string, Remembering>()
  for (const one of inputs) {
    const code = codeOf(one.signature)
    if (!first.has(code)) first.set(code, one)
  }
  const codes = [...first.keys()].sort()
  const { rows } = await connection.query<{ code: Buffer }>(`INSERT INTO waystation.signatures AS s (code, expires_at) SELECT * FROM unnest($1::bytea[], $2::bigint[])
    ON CONFLICT (code) DO UPDATE SET expires_at = excluded.expires_at WHERE s.expires_at < $3 RETURNING code`,
  [codes.map((code) => Buffer.from(code, 'hex')), codes.map((code) => first.get(code)?.expiresAt), inputs[0]?.now])
  return firstOfEach(rows.map(({ code }) => code.toString('hex')), inputs.map(({ signature }) => codeOf(signature)))
}

export const forget: Operation<Uint8Array, undefined> = async (connection, inputs) => {
  await connection.query('DELETE FROM waystation.signatures WHERE code = ANY($1::bytea[])', [inputs.map((one) => Buffer.from(codeOf(one), 'hex'))])
  return inputs.map(() => undefined)
}

/** Takes away some of those that ran out long ago. */
export const sweep = oneByOne(async (connection: Connection, { now, most }: { readonly now: number; readonly most: number }): Promise<undefined> => {
  await connection.query(`DELETE FROM waystation.signatures WHERE code IN
    (SELECT code FROM waystation.signatures WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, [now - GRACE_MS, most])
})

function codeOf(signature: Uint8Array): string {
  return Buffer.from(signature.buffer, signature.byteOffset, Math.min(signature.byteLength, KEPT)).toString('hex')
}
