import type { Stored } from '../../core/registry.ts'
import { topicFromBytes, topicToBytes } from '../../core/topic.ts'
import { KEY_NAMES, keyCalls, keyOf, keysPast } from './keys.ts'
import type { Lane } from './lane.ts'
import { registrationOf, REGISTRATION } from './rows.ts'
import type { Tables } from './schema.ts'
import { KEPT } from './signatures.ts'
import { bytesOf, hexOf, isLastPage, LOST, pageOf, PIECE, type Row, type Statement, type Value } from './statements.ts'
import { subscriptionCalls } from './subscriptions.ts'

/** Things that are put in by one transaction. */
const TOGETHER = 1_000

/** One kind of thing, page by page. */
interface Kind {
  sql: string
  /** Further values of the statement; the first is the place after which the page begins. */
  values?: readonly Value[]
  first: Value
  /** The place of a row. */
  place(row: Row): Value
  stored(row: Row): Stored
}

/**
 * Everything, page by page. rqlite has no transaction that outlives a request, so it is not of one moment: each page is of
 * its own, later than all that was answered before the first.
 */
export async function* everythingOf(lane: Lane, tables: Tables, now: number): AsyncGenerator<Stored> {
  for (const kind of kindsOf(tables, now)) {
    let after = kind.first
    for (let isLast = false; !isLast;) {
      const rows = await lane.perform<readonly Row[]>({ reads: [[kind.sql, after, ...(kind.values ?? [])]], answer: (_, [page = []]) => page })
      for (const row of rows) yield kind.stored(row)
      isLast = isLastPage(rows)
      if (!isLast) after = kind.place(rows.at(-1) as Row)
    }
  }
}

function kindsOf(t: Tables, now: number): Kind[] {
  const columns = 'id, kind, target, url, topic, attempts, due_at'
  return [
    {
      sql: pageOf(REGISTRATION, `SELECT ${REGISTRATION} FROM ${t.subscriptions} WHERE id > ? ORDER BY id LIMIT ${PIECE}`, 'id', 'length(target) + length(url)'),
      first: Number.MIN_SAFE_INTEGER,
      place: ([id]) => Number(id),
      stored(row) {
        const { id: _, ...registration } = registrationOf(row)
        return { type: 'registration', ...registration }
      },
    },
    {
      sql: pageOf(columns, `SELECT s.id, s.kind, s.target, s.url, m.topic, m.attempts, m.due_at FROM ${t.missed} AS m JOIN ${t.subscriptions} AS s ON s.id = m.subscription_id
        WHERE m.subscription_id > ? ORDER BY s.id LIMIT ${PIECE}`, 'id', 'length(target) + length(url) + length(topic)'),
      first: Number.MIN_SAFE_INTEGER,
      place: ([id]) => Number(id),
      stored([, kind, target, url, topic, attempts, dueAt]) {
        const what = { kind: kind === 'glob' ? 'glob' : 'exact', target: topicFromBytes(bytesOf(target)) } as const
        return { type: 'notice', url: String(url), ...what, topic: topicFromBytes(bytesOf(topic)), attempts: Number(attempts), dueAt: Number(dueAt) }
      },
    },
    {
      sql: pageOf(KEY_NAMES, `${keysPast(t.apikeys)} LIMIT ${PIECE}`, 'id', '0'),
      first: Number.MIN_SAFE_INTEGER,
      place: ([id]) => Number(id),
      stored(row) {
        const { id: _, ...key } = keyOf(row)
        return { type: 'key', ...key }
      },
    },
    {
      sql: pageOf('only, secret', `SELECT only, secret FROM ${t.hubSecret} WHERE only > ?`, 'only', '0'),
      first: Number.MIN_SAFE_INTEGER,
      place: ([only]) => Number(only),
      stored: ([, secret]) => ({ type: 'hubSecret', secret: bytesOf(secret) }),
    },
    {
      sql: pageOf('code, expires_at', `SELECT code, expires_at FROM ${t.signatures} WHERE code > unhex(?) AND expires_at >= ? ORDER BY code LIMIT ${PIECE}`, 'code', '0'),
      values: [now],
      first: '',
      place: ([code]) => hexOf(bytesOf(code)),
      stored: ([code, expiresAt]) => ({ type: 'signature', code: bytesOf(code), expiresAt: Number(expiresAt) }),
    },
  ]
}

/** Puts in what is not there. @returns how many things that were */
export async function restoreInto(lane: Lane, tables: Tables, things: readonly Stored[], now: number): Promise<number> {
  let n = 0
  // Once at least: with nothing to put in, too, it says whether it could.
  for (let i = 0; i === 0 || i < things.length; i += TOGETHER) {
    const writes = things.slice(i, i + TOGETHER).map((thing) => putIn(tables, thing, now))
    n += await lane.perform<number>({ writes, answer: (affected) => affected?.reduce((sum, one) => sum + one, 0) ?? LOST })
  }
  return n
}

function putIn(t: Tables, thing: Stored, now: number): Statement {
  switch (thing.type) {
    case 'registration': return (subscriptionCalls(t).add(thing.url, thing, now).writes as readonly Statement[])[0] as Statement
    case 'notice': return [
      `INSERT INTO ${t.missed} (subscription_id, kind, topic, attempts, due_at) SELECT id, kind, unhex(?), ?, ? FROM ${t.subscriptions}
        WHERE target = unhex(?) AND kind = ? AND url = ? ON CONFLICT DO NOTHING`,
      hexOf(topicToBytes(thing.topic)), thing.attempts, thing.dueAt, hexOf(topicToBytes(thing.target)), thing.kind, thing.url,
    ]
    case 'key': return (keyCalls(t).add(thing, now).writes as readonly Statement[])[0] as Statement
    case 'hubSecret': return [`INSERT INTO ${t.hubSecret} (only, secret) VALUES (1, unhex(?)) ON CONFLICT DO NOTHING`, hexOf(thing.secret)]
    case 'signature': return [
      `INSERT INTO ${t.signatures} (code, expires_at) SELECT unhex(?1), ?2 WHERE ?2 >= ?3
        ON CONFLICT (code) DO UPDATE SET expires_at = excluded.expires_at WHERE excluded.expires_at > expires_at`,
      hexOf(thing.code.subarray(0, KEPT)), thing.expiresAt, now,
    ]
    default: throw new Error(`nothing to put in: ${JSON.stringify(thing satisfies never)}`)
  }
}
