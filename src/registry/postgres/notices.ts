import type { ClaimedNotice, Notice } from '../../core/registry.ts'
import { topicFromBytes, topicToBytes } from '../../core/topic.ts'
import type { Connection } from './connections.ts'
import { oneByOne, type Operation } from './lane.ts'
import { REGISTRATION_COLUMNS, registrationOf, type RegistrationRow } from './rows.ts'

/** Of several for one registration the last counts. */
export const postpone: Operation<Notice, undefined> = async (connection, inputs) => {
  const notices = [...new Map(inputs.map((one) => [one.id, one])).values()]
  await connection.query(`INSERT INTO waystation.missed (subscription_id, kind, topic, attempts, due_at)
    SELECT s.id, s.kind, n.topic, n.attempts, n.due_at FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[]) AS n (id, topic, attempts, due_at)
      JOIN waystation.subscriptions AS s ON s.id = n.id ORDER BY s.id
    ON CONFLICT (subscription_id) DO UPDATE SET topic = excluded.topic, attempts = excluded.attempts, due_at = excluded.due_at, lock = NULL, locked_until = NULL`,
  [notices.map(({ id }) => id), notices.map(({ topic }) => topicToBytes(topic)), notices.map(({ attempts }) => attempts), notices.map(({ dueAt }) => dueAt)])
  return inputs.map(() => undefined)
}

interface Claiming {
  readonly lock: string
  readonly now: number
  readonly lockMs: number
  readonly most: number
}

interface NoticeRow extends RegistrationRow {
  readonly topic: Buffer
  readonly attempts: string
  readonly due_at: string
}

/** Due notices of one kind that nobody has locked, the longest due first, in the order of their index: a long queue costs nothing. What another hub is just taking is passed by. */
const TAKE = `WITH due AS (
    SELECT subscription_id FROM waystation.missed WHERE kind = $1 AND due_at <= $2 AND (locked_until IS NULL OR locked_until <= $2)
      ORDER BY due_at, subscription_id LIMIT $5 FOR UPDATE SKIP LOCKED),
  taken AS (UPDATE waystation.missed AS m SET lock = $3, locked_until = $4 FROM due WHERE m.subscription_id = due.subscription_id
    RETURNING m.subscription_id, m.topic, m.attempts, m.due_at)
  SELECT ${REGISTRATION_COLUMNS}, t.topic, t.attempts, t.due_at FROM taken AS t JOIN waystation.subscriptions AS s ON s.id = t.subscription_id ORDER BY t.due_at, t.subscription_id`

export const claim = oneByOne(async (connection: Connection, { lock, now, lockMs, most }: Claiming): Promise<ClaimedNotice[]> => {
  const rows: NoticeRow[] = []
  for (const kind of ['exact', 'glob']) {
    if (rows.length < most) rows.push(...(await connection.query<NoticeRow>(TAKE, [kind, now, lock, now + lockMs, most - rows.length])).rows)
  }
  return rows.map((row) => ({
    id: Number(row.id), topic: topicFromBytes(row.topic), attempts: Number(row.attempts), dueAt: Number(row.due_at), registration: registrationOf(row), lock,
  }))
})

interface Settling {
  readonly id: number
  readonly lock: string
  readonly next: Pick<Notice, 'attempts' | 'dueAt'> | undefined
}

export const settle = oneByOne(async (connection: Connection, { id, lock, next }: Settling): Promise<undefined> => {
  if (next === undefined) await connection.query('DELETE FROM waystation.missed WHERE subscription_id = $1 AND lock = $2', [id, lock])
  else await connection.query('UPDATE waystation.missed SET attempts = $3, due_at = $4, lock = NULL, locked_until = NULL WHERE subscription_id = $1 AND lock = $2', [id, lock, next.attempts, next.dueAt])
})

export const hubSecret = oneByOne(async (connection: Connection, fresh: Uint8Array): Promise<Uint8Array> => {
  await connection.query('INSERT INTO waystation.hub_secret (one, secret) VALUES (1, $1) ON CONFLICT DO NOTHING', [Buffer.from(fresh)])
  const { rows } = await connection.query<{ secret: Buffer }>('SELECT secret FROM waystation.hub_secret')
  return (rows[0] as { secret: Buffer }).secret
})
