import type { DatabaseSync } from 'node:sqlite'

/** The database is of a newer schema than this program knows: it must not be touched. */
export class NewerSchemaError extends Error {
  override readonly name = 'NewerSchemaError'
}

/**
 * Brings a database up to the last of the migrations, each in a transaction of its own. Safe when several processes do it
 * at once: each step is made by one of them, and the others see it.
 * @throws {NewerSchemaError} when the database is past the last migration; nothing is changed then
 */
export function migrate(database: DatabaseSync, migrations: readonly string[]): void {
  while (stepsDone(database, migrations) < migrations.length) {
    database.exec('BEGIN IMMEDIATE')
    try {
      // Read again under the lock: another process may have made the step while this one waited.
      const done = stepsDone(database, migrations)
      const step = migrations[done]
      if (step !== undefined) database.exec(`${step}; PRAGMA user_version = ${done + 1}`)
      database.exec('COMMIT')
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      throw error
    }
  }
}

function stepsDone(database: DatabaseSync, migrations: readonly string[]): number {
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'])
  if (version > migrations.length) throw new NewerSchemaError(`its schema has version ${version}, and this program knows up to ${migrations.length}`)
  return version
}
