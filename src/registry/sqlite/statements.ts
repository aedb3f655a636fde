import type { DatabaseSync, StatementSync } from 'node:sqlite'

export interface Statements {
  /** Prepared when it is first used. */
  sql(text: string): StatementSync
  /** How many rows the statement changed. */
  run(text: string, ...values: (string | number | null | Uint8Array)[]): number
}

export function statements(database: DatabaseSync): Statements {
  const prepared = new Map<string, StatementSync>()

  function sql(text: string): StatementSync {
    let statement = prepared.get(text)
    if (statement === undefined) prepared.set(text, (statement = database.prepare(text)))
    return statement
  }

  return { sql, run: (text, ...values) => Number(sql(text).run(...values).changes) }
}
