/** What a parameter may be. Bytes go as hexadecimal text into `unhex(?)`: rqlite 8.26 takes no bytes in JSON. */
export type Value = string | number | null

/** As rqlite's HTTP API takes it. Nothing in the text may be by chance or by a clock: every node runs it for itself. */
export type Statement = readonly [sql: string, ...values: Value[]]

/** Blobs come as base64. */
export type Row = readonly unknown[]

export interface Result {
  /** Rows that the statement itself changed. */
  readonly affected: number
  readonly rows: readonly Row[]
}

/** Rows of one page, and rows that one statement of a long piece of work changes. */
export const PIECE = 2_000
/** Bytes of topics and urls that a page holds, but for its last row; and those of a piece that is written. */
export const PIECE_BYTES = 4_000_000

/** What a call asks of the database. It shares a request, and so one entry of the Raft log, with others. */
export interface Call<T> {
  readonly writes?: readonly Statement[]
  /** They see what the writes did. */
  readonly reads?: readonly Statement[]
  /**
   * @param affected rows that each write changed; `undefined` when they were done, but the answer was lost
   * @param rows of each read
   * @returns `LOST` when that cannot be said without `affected`
   */
  answer(affected: readonly number[] | undefined, rows: readonly (readonly Row[])[]): T | typeof LOST
}

export const LOST: unique symbol = Symbol('it was done, and its outcome is not known')

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

export function bytesOf(value: unknown): Buffer {
  return Buffer.from(String(value), 'base64')
}

/** A call of one write that answers whether it changed one row. */
export function changesOne(write: Statement): Call<boolean> {
  return { writes: [write], answer: (affected) => (affected === undefined ? LOST : affected[0] === 1) }
}

/** A call that may be done twice. */
export function done(...writes: Statement[]): Call<undefined> {
  return { writes, answer: () => undefined }
}

/**
 * A page of what `inner` gives, whose columns are named: it ends early where the rows are large. Two columns more say how
 * many rows there were, and how many bytes came before.
 * @param inner limited to `PIECE` rows, in the order of its column `by`
 * @param size an expression: the bytes of a row
 */
export function pageOf(columns: string, inner: string, by: string, size: string): string {
  return `SELECT ${columns}, page_rows FROM (
    SELECT *, count(*) OVER () AS page_rows, sum(page_size) OVER (ORDER BY ${by}) - page_size AS page_before FROM (SELECT *, ${size} AS page_size FROM (${inner})))
    WHERE page_before < ${PIECE_BYTES} ORDER BY ${by}`
}

/** Whether nothing comes after a page. */
export function isLastPage(rows: readonly Row[]): boolean {
  const n = Number(rows[0]?.at(-1) ?? 0)
  return n < PIECE && rows.length === n
}
