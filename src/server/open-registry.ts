import { join } from 'node:path'
import { WaystationError } from '../core/errors.ts'
import type { Clock } from '../core/ports.ts'
import type { Registry } from '../core/registry.ts'
import { createPostgresRegistry } from '../registry/postgres/registry.ts'
import { createRqliteRegistry } from '../registry/rqlite/registry.ts'
import { createSqliteRegistry } from '../registry/sqlite/registry.ts'
import { readDatabase } from './database.ts'

/** Opens the registry that the options name. Nothing is asked of the database yet. @throws {WaystationError} `config_invalid` */
export function openRegistry(options: { readonly database: string; readonly dataDir: string }, clock: Clock): Registry {
  const database = readDatabase(options.database === '' ? join(options.dataDir, 'waystation.db') : options.database)
  if (typeof database === 'string') throw new WaystationError('config_invalid', `database ${database}`)
  switch (database.kind) {
    case 'sqlite': return createSqliteRegistry({ file: database.file, clock })
    case 'postgres': return createPostgresRegistry({ url: database.url, clock })
    case 'rqlite': return createRqliteRegistry({ nodes: database.nodes, clock })
    default: return database satisfies never
  }
}
