import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { TestContext } from 'node:test'
import type { Registration, Registry, RegistryChange, Wanted } from '../../src/core/registry.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createSqliteRegistry, type SqliteRegistryOptions } from '../../src/registry/sqlite/registry.ts'
import { realClock } from '../../src/server/real-world.ts'
import { temporaryFolder } from '../support/certificates.ts'

export const URL = 'http://one.example/'

export function exact(target: string, recovery?: string): Wanted {
  return { kind: 'exact', target: topicFromText(target), recovery }
}

/** A path in a folder that is there for this test alone. */
export function databasePath(t: TestContext): string {
  return join(temporaryFolder(t), 'registry.db')
}

/** A registry that looks for changes often, and is closed with the test. */
export function openRegistry(t: TestContext, file: string, options: Partial<SqliteRegistryOptions> = {}): Registry {
  const registry = createSqliteRegistry({ file, clock: realClock, pollInterval: 20, ...options })
  t.after(() => registry.close())
  return registry
}

/** Another program's connection to the same file, as an SQL shell has it: nothing set, foreign keys off. */
export function shell(t: TestContext, file: string): DatabaseSync {
  const database = new DatabaseSync(file, { enableForeignKeyConstraints: false })
  t.after(() => database.isOpen && database.close())
  return database
}

export interface Told {
  readonly there: Map<number, Registration>
  readonly calls: (readonly RegistryChange[])[]
}

export async function startAndKeep(registry: Registry): Promise<Told> {
  const told: Told = { there: new Map(), calls: [] }
  await registry.start((changes) => {
    told.calls.push(changes)
    for (const change of changes) {
      if (change.type === 'added') told.there.set(change.registration.id, change.registration)
      else told.there.delete(change.id)
    }
  })
  return told
}

export function targets(told: Told): string[] {
  return [...told.there.values()].map((one) => one.target).sort()
}
