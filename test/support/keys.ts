import { createHash } from 'node:crypto'
import type { TestContext } from 'node:test'
import type { Registry } from '../../src/core/registry.ts'
import { realClock } from '../../src/http/real-world.ts'
import { openRegistry } from '../../src/server/open-registry.ts'
import type { Options } from '../../src/server/options.ts'

/** The database of a hub, opened once more as the command line does, closed when the test ends. */
export function openDatabase(t: TestContext, options: Pick<Options, 'database' | 'dataDir'>): Registry {
  const registry = openRegistry(options, realClock)
  t.after(() => registry.close())
  return registry
}

/** A row as `waystation keys add` makes it. */
export function hashed(domain: string, key: string): { domain: string; username: string; apikey: undefined; sha256: Buffer } {
  return { domain, username: 'hello@world.com', apikey: undefined, sha256: createHash('sha256').update(key).digest() }
}

/** A row as the original has it. */
export function plain(domain: string, apikey: string): { domain: string; username: string; apikey: string; sha256: undefined } {
  return { domain, username: 'hello@world.com', apikey, sha256: undefined }
}
