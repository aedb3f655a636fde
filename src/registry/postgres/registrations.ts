import type { Registration, Wanted } from '../../core/registry.ts'
import type { Connection } from './connections.ts'
import type { Operation } from './lane.ts'
import { columnsOf, identityOf, IDENTITY, REGISTRATION_COLUMNS, registrationOf, type RegistrationRow } from './rows.ts'
import { stored } from './text.ts'

/** Rows of one statement, and what is done without a look at what else there is to do. */
export const PIECE = 2_000

type Placed = Wanted & { readonly url: string }

const FROM_COLUMNS = 'unnest($1::text[], $2::bytea[], $3::text[], $4::text[])'

/** True for each that was not there. */
export const add: Operation<Placed & { readonly now: number }, boolean> = async (connection, inputs) => {
  const { rows } = await connection.query<{ identity: string }>(`INSERT INTO waystation.subscriptions AS s (kind, target, url, recovery, created_at)
    SELECT kind, target, url, recovery, $5 FROM ${FROM_COLUMNS} WITH ORDINALITY AS n (kind, target, url, recovery, place) ORDER BY place
    ON CONFLICT DO NOTHING RETURNING ${IDENTITY} AS identity`, [...columnsOf(inputs), inputs[0]?.now])
  return firstOfEach(rows.map(({ identity }) => identity), inputs.map(identityOf))
}

/** True for each that was there. */
export const remove: Operation<Placed, boolean> = async (connection, inputs) => {
  const { rows } = await connection.query<{ identity: string }>(`DELETE FROM waystation.subscriptions AS s USING ${FROM_COLUMNS} AS n (kind, target, url, recovery)
    WHERE waystation.digest(s.url) = waystation.digest(n.url) AND s.kind = n.kind AND sha256(s.target) = sha256(n.target)
    RETURNING ${IDENTITY} AS identity`, columnsOf(inputs))
  return firstOfEach(rows.map(({ identity }) => identity), inputs.map(identityOf))
}

/** True for each that was there. */
export const removeIds: Operation<number, boolean> = async (connection, ids) => {
  const { rows } = await connection.query<{ id: string }>('DELETE FROM waystation.subscriptions WHERE id = ANY($1::bigint[]) RETURNING id', [ids])
  return firstOfEach(rows.map(({ id }) => id), ids.map(String))
}

/** Up to `PIECE` of a url, past a number, in the order of numbers. */
export async function page(connection: Connection, url: string, after: number): Promise<Registration[]> {
  const { rows } = await connection.query<RegistrationRow>(`SELECT ${REGISTRATION_COLUMNS} FROM waystation.subscriptions AS s
    WHERE waystation.digest(s.url) = waystation.digest($1) AND s.id > $2 ORDER BY s.id LIMIT ${PIECE}`, [stored(url), after])
  return rows.map(registrationOf)
}

/** What makes a url equal to what is wanted; or some of it. */
export interface Difference {
  readonly url: string
  readonly now: number
  /** Not there, or with another recovery url. */
  readonly put: readonly Wanted[]
  readonly gone: readonly number[]
}

/** Additions come before removals: who is cut off in the middle has too much rather than too little. */
export async function apply(connection: Connection, { url, now, put, gone }: Difference): Promise<void> {
  if (put.length > 0) {
    await connection.query(`INSERT INTO waystation.subscriptions AS s (kind, target, url, recovery, created_at)
      SELECT kind, target, url, recovery, $5 FROM ${FROM_COLUMNS} AS n (kind, target, url, recovery)
      ON CONFLICT (waystation.digest(url), kind, sha256(target)) DO UPDATE SET recovery = excluded.recovery WHERE s.recovery IS DISTINCT FROM excluded.recovery`,
    [...columnsOf(put.map((one) => ({ ...one, url }))), now])
  }
  // Not what has another url by now.
  if (gone.length > 0) await connection.query('DELETE FROM waystation.subscriptions WHERE id = ANY($1::bigint[]) AND waystation.digest(url) = waystation.digest($2)', [gone, stored(url)])
}

/** Of those who asked for the same, the first has done it. */
export function firstOfEach(done: readonly string[], asked: readonly string[]): boolean[] {
  const left = new Set(done)
  return asked.map((one) => left.delete(one))
}
