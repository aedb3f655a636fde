import { setImmediate as turn } from 'node:timers/promises'
import type { Registration, RegistryChange } from '../../core/registry.ts'
import type { RegistrationNews } from './calls.ts'
import { unpacked, unpacker, type PackedRow } from './pack.ts'
import { registrationOf } from './rows.ts'

/** Changes that are told, and rows that are looked at, in one turn of the event loop. */
export const TOLD_AT_ONCE = 1_000
/** Numbers that are compared in one turn. */
const COMPARED_AT_ONCE = 20_000

/** Compares what the database's thread says with what was told, and tells the difference, some in each turn. It outlives the thread. */
export interface Teller {
  tell(news: RegistrationNews, told: (changes: readonly RegistryChange[]) => void): Promise<void> | undefined
}

export function teller(): Teller {
  const known = new Map<number, Registration>()
  const read = unpacker()
  let looked = 0

  function compare(row: PackedRow): RegistryChange[] {
    const { id } = row
    if (row.kind === undefined) return known.delete(id) ? [{ type: 'removed', id }] : []
    const before = known.get(id)
    const now = registrationOf(row)
    known.set(id, now)
    if (before === undefined) return [{ type: 'added', registration: now }]
    if (before.url !== now.url || before.kind !== now.kind || before.target !== now.target) return [{ type: 'removed', id }, { type: 'added', registration: now }]
    if (before.recovery !== now.recovery) return [{ type: 'added', registration: now }]
    // The listener has the one from before already: one is enough.
    known.set(id, before)
    return []
  }

  function* slices(news: RegistrationNews): Generator<RegistryChange[]> {
    const changes: RegistryChange[] = []
    if ('rows' in news) {
      for (const row of unpacked(news.rows, read)) {
        changes.push(...compare(row))
        if (++looked % TOLD_AT_ONCE === 0) yield changes.splice(0)
      }
    } else {
      let compared = 0
      for (const id of known.keys()) {
        if (!includes(news.all, id) && known.delete(id)) changes.push({ type: 'removed', id })
        if (++compared % COMPARED_AT_ONCE === 0 || changes.length === TOLD_AT_ONCE) yield changes.splice(0)
      }
    }
    return changes
  }

  async function rest(steps: Generator<RegistryChange[], RegistryChange[]>, told: (changes: readonly RegistryChange[]) => void): Promise<void> {
    for (let done = false; !done;) {
      await turn()
      const step = steps.next()
      if (step.value.length > 0) told(step.value)
      done = step.done === true
    }
  }

  return {
    tell(news, told) {
      const steps = slices(news) as Generator<RegistryChange[], RegistryChange[]>
      const first = steps.next()
      if (first.value.length > 0) told(first.value)
      return first.done === true ? undefined : rest(steps, told)
    },
  }
}

/** @param rising numbers in their order */
function includes(rising: Float64Array, wanted: number): boolean {
  let [from, to] = [0, rising.length]
  while (from < to) {
    const middle = (from + to) >>> 1
    if ((rising[middle] as number) < wanted) from = middle + 1
    else to = middle
  }
  return rising[from] === wanted
}
