import { WaystationError } from '../../core/errors.ts'
import { StatementError, type Cluster } from './cluster.ts'
import { migrationsOf, type Tables } from './schema.ts'

/**
 * Brings the tables up to the last of the migrations, each in a transaction of its own. Safe when several hubs do it at
 * once: each step begins with its number, which can be put in once.
 * @throws {WaystationError} `registry_unavailable`, also when the schema is newer than this program; nothing is changed then
 */
export async function migrate(cluster: Cluster, tables: Tables, migrations = migrationsOf(tables)): Promise<void> {
  for (let done = await stepsDone(cluster, tables, migrations.length); done < migrations.length;) {
    try {
      await cluster.ask('whole', [
        [`CREATE TABLE IF NOT EXISTS ${tables.schema} (version INTEGER PRIMARY KEY)`],
        [`INSERT INTO ${tables.schema} (version) VALUES (?)`, done + 1],
        ...(migrations[done] as readonly string[]).map((sql) => [sql] as const),
      ])
      done++
    } catch (error) {
      if (!(error instanceof StatementError)) throw error
      // Another hub has made the step, or we have, and the answer was lost.
      const before = done
      done = await stepsDone(cluster, tables, migrations.length)
      if (done === before) throw error
    }
  }
}

async function stepsDone(cluster: Cluster, tables: Tables, known: number): Promise<number> {
  const version = await versionOf(cluster, tables)
  if (version > known) throw new WaystationError('registry_unavailable', `rqlite: the schema has version ${version}, and this program knows up to ${known}: start the newer version of the program`)
  return version
}

async function versionOf(cluster: Cluster, tables: Tables): Promise<number> {
  // Agreed: a node that is behind would have us make a step twice.
  const [there] = await cluster.ask('agreed', [["SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", tables.schema]])
  if (Number(there?.rows[0]?.[0]) === 0) return 0
  const [version] = await cluster.ask('agreed', [[`SELECT max(version) FROM ${tables.schema}`]])
  return Number(version?.rows[0]?.[0] ?? 0)
}
