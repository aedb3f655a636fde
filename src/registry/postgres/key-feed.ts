import type { DomainNews } from '../../core/registry.ts'
import { coalesced } from './coalesced.ts'
import type { Connections } from './connections.ts'
import { KEY_TABLE } from './key-columns.ts'
import { UnfitError } from './reasons.ts'
import { placeOf } from './rows.ts'

/** Tells which domains have a key, and whose rows have changed. */
export interface KeyFeed {
  readonly listening: boolean
  /** Whoever listened before is told nothing more; this one is told everything. */
  listen(told: (news: DomainNews) => void): void
  /** Settles when everything has been told that was committed before the call. */
  current(): Promise<void>
  /** The database may be another one, or an older state of it: the next reading tells everything. */
  doubt(): void
  /** How far the changes have been read, and up to where they have been let go. */
  readonly place: { readonly read: number; readonly pruned: number }
}

/** What was read last: the number of the last change where they are noted, else a sum over all rows. */
interface Mark {
  readonly table: string | undefined
  /** Of the numbers. */
  readonly place: string
  readonly noted: number | undefined
  readonly sum: string
}

const ROWS_AT_ONCE = 5_000
/** Of a whole row, whatever columns it has. */
const ROW_HASH = 'hashtextextended(k::text, 0)'
const HEAD = `SELECT f.pruned, coalesce((SELECT max(seq) FROM waystation.key_changes), f.pruned) AS last, ${placeOf('waystation.key_changes')} AS place, ${KEY_TABLE} FROM waystation.feeds AS f WHERE f.name = 'apikeys'`
const NEWS = `SELECT c.seq, c.domain, EXISTS (SELECT FROM apikeys AS k WHERE k.domain::text = c.domain OFFSET 0) AS there
  FROM (SELECT seq, domain FROM waystation.key_changes WHERE seq > $1 ORDER BY seq LIMIT ${ROWS_AT_ONCE}) AS c ORDER BY c.seq`
const SUM = `SELECT count(*) || ' ' || coalesce(sum(${ROW_HASH}::numeric), 0) AS sum FROM apikeys AS k`
/** By domain: the numbers of somebody else's table may be none. As text: of another type it may be filled up with spaces. */
const PAGE = `SELECT k.domain::text AS domain, ${ROW_HASH} AS hash FROM apikeys AS k WHERE $1::text IS NULL OR k.domain::text > $1 ORDER BY k.domain::text LIMIT ${ROWS_AT_ONCE}`

/** @param prepare makes the table what it should be, as far as it may */
export function keyFeed(connections: Connections, prepare: () => Promise<void>): KeyFeed {
  let listener: ((news: DomainNews) => void) | undefined
  let mark: Mark | undefined
  let doubts = 0
  let place = { read: 0, pruned: 0 }
  /** Where no changes are noted: what each row was like. */
  let rows = new Map<string, string>()

  async function head(): Promise<Mark> {
    return connections.use(async (connection) => {
      const [row] = (await connection.query<{ pruned: string; last: string; place: string; table: number | null; triggers: boolean }>(HEAD)).rows
      if (row === undefined) throw new UnfitError("waystation.feeds has no row 'apikeys' any more: INSERT INTO waystation.feeds (name) VALUES ('apikeys')")
      const { pruned, last, table, triggers } = row
      place = { read: Number(last), pruned: Number(pruned) }
      if (table === null) return { table: undefined, place: row.place, noted: undefined, sum: '' }
      if (triggers) return { table: String(table), place: row.place, noted: Number(last), sum: '' }
      return { table: String(table), place: row.place, noted: undefined, sum: (await connection.query<{ sum: string }>(SUM)).rows[0]?.sum ?? '' }
    })
  }

  async function readAll(): Promise<Map<string, string>> {
    const all = new Map<string, string>()
    for (let after: string | null = null, full = true; full;) {
      const page: { domain: string; hash: string }[] = (await connections.use((connection) => connection.query(PAGE, [after]))).rows
      for (const { domain, hash } of page) all.set(domain, hash)
      full = page.length === ROWS_AT_ONCE
      after = page.at(-1)?.domain ?? after
    }
    return all
  }

  function tell(news: DomainNews): void {
    if (news.all || news.domains.length > 0) listener?.(news)
  }

  async function tellAll(): Promise<void> {
    const began = doubts
    await prepare()
    const now = await head()
    const all = now.table === undefined ? new Map<string, string>() : await readAll()
    tell({ all: true, domains: [...all.keys()].map((domain) => [domain, true]) })
    rows = now.noted === undefined ? all : new Map()
    if (doubts === began) mark = now
  }

  async function tellNoted(from: number): Promise<number> {
    for (;;) {
      const some = (await connections.use((connection) => connection.query<{ seq: string; domain: string; there: boolean }>(NEWS, [from]))).rows
      tell({ all: false, domains: [...new Map(some.map(({ domain, there }) => [domain, there]))] })
      from = Number(some.at(-1)?.seq ?? from)
      if (some.length < ROWS_AT_ONCE) return from
    }
  }

  async function tellCompared(): Promise<void> {
    const all = await readAll()
    const changed = [...all].filter(([domain, hash]) => rows.get(domain) !== hash).map(([domain]) => [domain, true] as const)
    const gone = [...rows.keys()].filter((domain) => !all.has(domain)).map((domain) => [domain, false] as const)
    rows = all
    tell({ all: false, domains: [...gone, ...changed] })
  }

  const current = coalesced(async () => {
    for (;;) {
      while (mark === undefined) await tellAll()
      const before: Mark = mark
      const now = await head()
      if (mark === undefined) continue
      const isAnother = now.table !== before.table || now.place !== before.place || (now.noted === undefined) !== (before.noted === undefined)
      if (isAnother || (before.noted !== undefined && (place.pruned > before.noted || (now.noted as number) < before.noted))) {
        mark = undefined
        continue
      }
      const began = doubts
      let noted = before.noted
      if (noted !== undefined) {
        if (noted < (now.noted as number)) noted = await tellNoted(noted)
      } else if (now.sum !== before.sum) await tellCompared()
      if (doubts === began) mark = { ...now, noted }
      return
    }
  })

  function doubt(): void {
    doubts++
    mark = undefined
  }

  return {
    get listening() {
      return listener !== undefined
    },
    listen(told) {
      listener = told
      doubt()
    },
    current,
    doubt,
    get place() {
      return place
    },
  }
}
