import type { Cluster, Level } from './cluster.ts'
import { PIECE, type Row, type Statement } from './statements.ts'

/** A look at what has changed, that goes with a request. */
export interface Look {
  readonly statements: readonly Statement[]
  /** Tells what its statements gave, in the order of the calls. Settles when all that was there then has been told. */
  take(level: Level, rows: readonly (readonly Row[])[]): Promise<void>
}

/** A table of changes, that triggers fill, and what to make of it. */
export interface Source {
  readonly table: string
  /** What has changed from one number to another, as it is now. */
  touched(after: number, to: number): Statement
  /** Tells of rows that `touched` gave. */
  tell(rows: readonly Row[]): Promise<void> | void
  /** Reads everything that there is, agreed, and tells how it differs from what was told. */
  readAll(): Promise<void>
}

/** Follows a table of changes. Nothing is told twice in an older state: what a look gives counts only if it is of later than what was told. */
export interface Follower {
  /** What gives the last change that there is. */
  readonly head: Statement
  /** The last change that was told; 0 when nobody listens, or everything is to be read. */
  readonly told: number
  /** Tells of everything, and of every change from then on. */
  start(): Promise<void>
  look(): Look
}

/** Looks in a row at nodes that are behind, after which it is asked whether it is the database itself: it may have been put back. */
const MOST_BEHIND = 3

const NOTHING: Look = { statements: [], take: async () => {} }

/** @param ready settles when the tables are there */
export function follow(cluster: Cluster, source: Source, ready: () => Promise<void>): Follower {
  const { table } = source
  const head: Statement = [`SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = '${table}'), 0), (SELECT min(seq) FROM ${table})`]
  /** The last change that was told; `undefined` when everything is to be read. */
  let told: number | undefined
  let listening = false
  let behind = 0
  let before: Promise<void> = Promise.resolve()

  /** One after the other, whatever became of the one before. */
  function inTurn(act: () => Promise<void>): Promise<void> {
    const now = before.then(act)
    before = now.catch(() => {})
    return now
  }

  function statements(): readonly Statement[] {
    return told === undefined ? [head] : [head, source.touched(told, told + PIECE)]
  }

  async function take(from: number | undefined, level: Level, [heads, touched]: readonly (readonly Row[])[]): Promise<void> {
    const latest = Number(heads?.[0]?.[0])
    // A node may be behind what was told. The database itself may not: then it is another one.
    if (level === 'near' && from !== undefined && latest < from) return ++behind < MOST_BEHIND ? undefined : agree()
    behind = 0
    if (told === undefined || (from !== undefined && latest < from)) return everything()
    if (latest <= told) return
    if (from === undefined) return catchUp(latest)
    const first = heads?.[0]?.[1]
    // A gap in the numbers can only be at the beginning: rows are let go from there.
    if (from > told || first === null || Number(first) > from + 1) return everything()
    await source.tell(touched ?? [])
    told = Math.max(told, Math.min(latest, from + PIECE))
    if (told < latest) await catchUp(latest)
  }

  /** Agreed: what is read must hold all that the look has seen. */
  async function catchUp(latest: number): Promise<void> {
    if (told === undefined || told < latest) await agree()
  }

  async function agree(): Promise<void> {
    const from = told
    const results = await cluster.ask('agreed', statements())
    await take(from, 'agreed', results.map((one) => one.rows))
  }

  async function everything(): Promise<void> {
    const [heads] = await cluster.ask('agreed', [head])
    await source.readAll()
    // What has changed meanwhile comes again.
    told = Number(heads?.rows[0]?.[0])
  }

  return {
    head,
    get told() {
      return told ?? 0
    },
    start() {
      listening = true
      return inTurn(async () => {
        await ready()
        const [heads] = told === undefined ? [] : await cluster.ask('agreed', [head])
        return heads === undefined ? everything() : catchUp(Number(heads.rows[0]?.[0]))
      })
    },
    look() {
      if (!listening) return NOTHING
      const from = told
      return { statements: statements(), take: (level, rows) => inTurn(() => take(from, level, rows)) }
    },
  }
}

/** Several looks as one. */
export function together(looks: readonly Look[]): Look {
  return {
    statements: looks.flatMap((one) => one.statements),
    async take(level, rows) {
      let at = 0
      await Promise.all(looks.map((one) => one.take(level, rows.slice(at, (at += one.statements.length)))))
    },
  }
}
