import type { DatabaseSync } from 'node:sqlite'
import type { Stored } from '../../core/registry.ts'
import { topicToBytes } from '../../core/topic.ts'
import type { KeyOperations } from './keys.ts'
import type { Next } from './set-in-pieces.ts'
import type { Signatures } from './signatures.ts'
import { statements } from './statements.ts'

/** Puts in what is not there, in one transaction, and gives how many. Signatures come first, to their own file: should the rest fail, they refuse what was used, which does no harm. */
export type Restore = (things: readonly Stored[], signatures: Signatures, now: number) => Generator<Next, number>

export function restoring(database: DatabaseSync, { addKey }: KeyOperations, add: (url: string, wanted: Extract<Stored, { type: 'registration' }>, now: number) => boolean): Restore {
  const { run } = statements(database)

  /** @returns how many that is */
  function put(thing: Stored, now: number): number {
    switch (thing.type) {
      case 'registration': return Number(add(thing.url, thing, now))
      case 'notice': return run(`INSERT INTO missed (subscription_id, kind, topic, attempts, due_at) SELECT id, kind, ?, ?, ? FROM subscriptions AS s
        WHERE target = ? AND kind = ? AND url = ? AND NOT EXISTS (SELECT 1 FROM missed AS m WHERE m.subscription_id = s.id)`,
      topicToBytes(thing.topic), thing.attempts, thing.dueAt, topicToBytes(thing.target), thing.kind, thing.url)
      case 'key': return Number(addKey(thing, now))
      case 'hubSecret': return run('INSERT OR IGNORE INTO hub_secret (only, secret) VALUES (1, ?)', thing.secret)
      case 'signature':
        // Counted where it is looked for. Here it outlives the machine, whenever it was signed.
        run('INSERT INTO signatures (code, expires_at) VALUES (?, ?) ON CONFLICT (code) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)', thing.code, thing.expiresAt)
        return 0
      default: throw new Error(`no such thing: ${JSON.stringify(thing satisfies never)}`)
    }
  }

  return function* (things, signatures, now) {
    const current = things.filter((thing) => thing.type !== 'signature' || thing.expiresAt >= now)
    let count = 0
    const used = current.filter((thing) => thing.type === 'signature')
    if (used.length > 0) {
      yield 'read'
      count += signatures.adopt(used, now)
    }
    yield 'write'
    for (const thing of current) count += put(thing, now)
    return count
  }
}
