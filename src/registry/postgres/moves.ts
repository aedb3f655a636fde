import type { NewKey, Stored } from '../../core/registry.ts'
import { topicFromBytes, topicToBytes } from '../../core/topic.ts'
import type { Connection, Connections } from './connections.ts'
import { keysAfter, addKeys } from './keys.ts'
import { keyColumns } from './key-columns.ts'
import { columnsOf, REGISTRATION_COLUMNS, registrationOf, type RegistrationRow } from './rows.ts'

type Of<Type extends Stored['type']> = Extract<Stored, { type: Type }>

/** Things of one statement, and of one transaction where they are put in. */
export const THINGS_AT_ONCE = 1_000

interface NoticeRow extends RegistrationRow {
  readonly topic: Buffer
  readonly attempts: string
  readonly due_at: string
}

const REGISTRATIONS = `SELECT ${REGISTRATION_COLUMNS} FROM waystation.subscriptions AS s WHERE s.id > $1 ORDER BY s.id LIMIT ${THINGS_AT_ONCE}`
const NOTICES = `SELECT ${REGISTRATION_COLUMNS}, m.topic, m.attempts, m.due_at FROM waystation.missed AS m JOIN waystation.subscriptions AS s ON s.id = m.subscription_id
  WHERE m.subscription_id > $1 ORDER BY m.subscription_id LIMIT ${THINGS_AT_ONCE}`
const SIGNATURES = `SELECT code, expires_at FROM waystation.signatures WHERE code > $1 AND expires_at >= $2 ORDER BY code LIMIT ${THINGS_AT_ONCE}`

/** Page by page, each a step that is given the connection of the one transaction. Registrations come before their notices. */
async function* pages(step: <T>(act: (connection: Connection) => Promise<T>) => Promise<T>, now: number): AsyncGenerator<Stored[]> {
  for (let after = Number.MIN_SAFE_INTEGER, full = true; full;) {
    const { rows } = await step((connection) => connection.query<RegistrationRow>(REGISTRATIONS, [after]))
    yield rows.map((row) => {
      const { url, kind, target, recovery } = registrationOf(row)
      return { type: 'registration', url, kind, target, recovery }
    })
    full = rows.length === THINGS_AT_ONCE
    after = Number(rows.at(-1)?.id ?? after)
  }
  for (let after = Number.MIN_SAFE_INTEGER, full = true; full;) {
    const { rows } = await step((connection) => connection.query<NoticeRow>(NOTICES, [after]))
    yield rows.map((row) => {
      const { url, kind, target } = registrationOf(row)
      return { type: 'notice', url, kind, target, topic: topicFromBytes(row.topic), attempts: Number(row.attempts), dueAt: Number(row.due_at) }
    })
    full = rows.length === THINGS_AT_ONCE
    after = Number(rows.at(-1)?.id ?? after)
  }
  const { isThere } = await step(keyColumns)
  for (let after = Number.MIN_SAFE_INTEGER, full = isThere; full;) {
    const keys = await step((connection) => keysAfter(connection, after, THINGS_AT_ONCE))
    yield keys.map(({ domain, username, apikey, sha256, insertedAt, active }) => ({ type: 'key', domain, username, apikey, sha256, insertedAt, active }))
    full = keys.length === THINGS_AT_ONCE
    after = keys.at(-1)?.id ?? after
  }
  const { rows: secrets } = await step((connection) => connection.query<{ secret: Buffer }>('SELECT secret FROM waystation.hub_secret'))
  yield secrets.map(({ secret }) => ({ type: 'hubSecret', secret }))
  for (let after: Buffer = Buffer.alloc(0), full = true; full;) {
    const { rows } = await step((connection) => connection.query<{ code: Buffer; expires_at: string }>(SIGNATURES, [after, now]))
    yield rows.map(({ code, expires_at }) => ({ type: 'signature', code, expiresAt: Number(expires_at) }))
    full = rows.length === THINGS_AT_ONCE
    after = rows.at(-1)?.code ?? after
  }
}

/** Puts in what is not there, and gives how many that were. */
export async function putIn(connection: Connection, things: readonly Stored[], now: number): Promise<number> {
  const of = <Type extends Stored['type']>(type: Type): Of<Type>[] => things.filter((one): one is Of<Type> => one.type === type)
  return (await putRegistrations(connection, of('registration'), now)) + (await putNotices(connection, of('notice'))) + (await putKeys(connection, of('key')))
    + (await putSecret(connection, of('hubSecret'))) + (await putSignatures(connection, of('signature').filter(({ expiresAt }) => expiresAt >= now)))
}

async function putRegistrations(connection: Connection, registrations: readonly Of<'registration'>[], now: number): Promise<number> {
  if (registrations.length === 0) return 0
  return changed(connection, `INSERT INTO waystation.subscriptions (kind, target, url, recovery, created_at)
    SELECT kind, target, url, recovery, $5 FROM unnest($1::text[], $2::bytea[], $3::text[], $4::text[]) WITH ORDINALITY AS n (kind, target, url, recovery, place) ORDER BY place
    ON CONFLICT DO NOTHING`, [...columnsOf(registrations), now])
}

async function putNotices(connection: Connection, notices: readonly Of<'notice'>[]): Promise<number> {
  if (notices.length === 0) return 0
  const [kinds, targets, urls] = columnsOf(notices.map((one) => ({ ...one, recovery: undefined })))
  return changed(connection, `INSERT INTO waystation.missed (subscription_id, kind, topic, attempts, due_at)
    SELECT s.id, s.kind, n.topic, n.attempts, n.due_at
    FROM unnest($1::text[], $2::bytea[], $3::text[], $4::bytea[], $5::bigint[], $6::bigint[]) WITH ORDINALITY AS n (kind, target, url, topic, attempts, due_at, place)
      JOIN waystation.subscriptions AS s ON waystation.digest(s.url) = waystation.digest(n.url) AND s.kind = n.kind AND sha256(s.target) = sha256(n.target) ORDER BY n.place
    ON CONFLICT DO NOTHING`, [kinds, targets, urls, notices.map(({ topic }) => topicToBytes(topic)), notices.map(({ attempts }) => attempts), notices.map(({ dueAt }) => dueAt)])
}

/** Keys that are stored as they are, and those that are hashed, where one table has room for one kind alone. */
async function putKeys(connection: Connection, keys: readonly NewKey[]): Promise<number> {
  let put = 0
  for (const some of [keys.filter(({ sha256 }) => sha256 === undefined), keys.filter(({ sha256 }) => sha256 !== undefined)]) {
    if (some.length > 0) put += await addKeys(connection, some)
  }
  return put
}

async function putSecret(connection: Connection, [first]: readonly Of<'hubSecret'>[]): Promise<number> {
  return first === undefined ? 0 : changed(connection, 'INSERT INTO waystation.hub_secret (one, secret) VALUES (1, $1) ON CONFLICT DO NOTHING', [Buffer.from(first.secret)])
}

async function putSignatures(connection: Connection, signatures: readonly Of<'signature'>[]): Promise<number> {
  const latest = new Map<string, number>()
  for (const { code, expiresAt } of signatures) {
    const key = Buffer.from(code).toString('hex')
    latest.set(key, Math.max(expiresAt, latest.get(key) ?? -Infinity))
  }
  if (latest.size === 0) return 0
  const codes = [...latest.keys()].sort()
  return changed(connection, `INSERT INTO waystation.signatures AS s (code, expires_at) SELECT * FROM unnest($1::bytea[], $2::bigint[])
    ON CONFLICT (code) DO UPDATE SET expires_at = excluded.expires_at WHERE s.expires_at < excluded.expires_at`, [codes.map((code) => Buffer.from(code, 'hex')), codes.map((code) => latest.get(code))])
}

async function changed(connection: Connection, text: string, values: readonly unknown[]): Promise<number> {
  return (await connection.query(text, [...values])).rowCount ?? 0
}

/** All pages in one snapshot, on one connection, until nobody wants more. Whoever takes them may take his time. */
export async function* snapshot(connections: Connections, now: number): AsyncGenerator<Stored> {
  const { step, end } = await connections.hold()
  try {
    await step((connection) => connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = '10min'"))
    for await (const page of pages(step, now)) yield* page
    await step((connection) => connection.query('COMMIT'))
  } finally {
    end()
  }
}
