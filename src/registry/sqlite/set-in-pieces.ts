import type { DatabaseSync } from 'node:sqlite'
import { PIECE, unpacked, unpacker, type PackedRow } from './pack.ts'

/** What the next piece of a long piece of work needs. */
export type Next = 'read' | 'write'

/**
 * Makes what a url has equal to what is wanted. Each step is bounded work; before each it says what transaction the step
 * needs, and the step is done by the following `next()`. The difference is read first; a difference of up to `PIECE` rows
 * is one step. Additions come before removals: who is cut off in the middle has too much rather than too little.
 */
export type SetInPieces = (url: string, wanted: readonly Uint8Array[], now: number) => Generator<Next, void>

export function setInPieces(database: DatabaseSync): SetInPieces {
  const find = database.prepare('SELECT id, recovery FROM subscriptions WHERE target = ? AND kind = ? AND url = ?')
  const idsAfter = database.prepare('SELECT id FROM subscriptions WHERE url = ? AND id > ? ORDER BY id LIMIT ?')
  const last = database.prepare('SELECT max(id) AS last FROM subscriptions WHERE url = ?')
  const insert = database.prepare('INSERT INTO subscriptions (kind, target, url, recovery, created_at) VALUES (?, ?, ?, ?, ?)')
  const update = database.prepare('UPDATE subscriptions SET recovery = ? WHERE id = ? AND recovery IS NOT ?')
  const remove = database.prepare('DELETE FROM subscriptions WHERE id = ? AND url = ?')
  const read = unpacker()

  /** Looked for again: another piece, another hub or a repetition in the list may have added it. */
  function put({ kind, target, recovery }: PackedRow, url: string, now: number): void {
    const there = find.get(target, kind as string, url)
    if (there === undefined) insert.run(kind as string, target, url, recovery ?? null, now)
    else update.run(recovery ?? null, Number(there['id']), recovery ?? null)
  }

  return function* (url, wanted, now) {
    const stays = new Set<number>()
    const missing: (readonly [part: Uint8Array, offset: number])[] = []
    const restated = new Map<number, string | null>()
    const gone: number[] = []

    yield 'read'
    // What others add from here on counts as later than this set.
    const newest = Number(last.get(url)?.['last'] ?? 0)
    for (const part of wanted) {
      let offset = 0
      for (const one of unpacked(part, read)) {
        const there = find.get(one.target, one.kind as string, url)
        if (there === undefined) missing.push([part, offset])
        else {
          const id = Number(there['id'])
          stays.add(id)
          // Of repetitions the last counts.
          if ((there['recovery'] ?? undefined) === one.recovery) restated.delete(id)
          else restated.set(id, one.recovery ?? null)
        }
        offset = one.end
      }
      yield 'read'
    }
    for (let after = Number.MIN_SAFE_INTEGER; after < newest;) {
      const ids = idsAfter.all(url, after, PIECE).map((row) => Number(row['id']))
      gone.push(...ids.filter((id) => id <= newest && !stays.has(id)))
      after = ids.length < PIECE ? newest : (ids.at(-1) as number)
      if (after < newest) yield 'read'
    }

    const changed = [...restated]
    const total = missing.length + changed.length + gone.length
    for (let done = 0; done < total;) {
      yield 'write'
      for (const end = Math.min(total, done + PIECE); done < end; done++) {
        if (done < missing.length) {
          const [part, offset] = missing[done] as (typeof missing)[0]
          put(read(part, offset), url, now)
        } else if (done < missing.length + changed.length) {
          const [id, recovery] = changed[done - missing.length] as (typeof changed)[0]
          update.run(recovery, id, recovery)
        } else remove.run(gone[done - missing.length - changed.length] as number, url)
      }
    }
  }
}
