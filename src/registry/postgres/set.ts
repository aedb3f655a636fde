import { setImmediate as turn } from 'node:timers/promises'
import type { Registration, Wanted } from '../../core/registry.ts'
import type { Connection, Connections } from './connections.ts'
import { oneByOne, type Lane } from './lane.ts'
import { apply, page, PIECE, type Difference } from './registrations.ts'

interface SetParts {
  readonly connections: Connections
  readonly writing: Lane
  readonly ready: () => Promise<void>
}

interface Small {
  readonly url: string
  readonly wanted: readonly Wanted[]
  readonly now: number
}

/** Makes what a url has equal to what is wanted: in one transaction where both are no more than a piece, else in pieces. */
export async function setAll(parts: SetParts, small: Small): Promise<void> {
  if (small.wanted.length <= PIECE && (await parts.writing.ask(setSmall, small))) return
  await setLong(parts, small)
}

const apart = oneByOne(apply)

/** False when the url has too many for one step; nothing is done then. */
const setSmall = oneByOne(async (connection: Connection, { url, wanted, now }: Small): Promise<boolean> => {
  const there = await page(connection, url, Number.MIN_SAFE_INTEGER)
  if (there.length === PIECE) return false
  const comparison = compare(wanted)
  comparison.with(there)
  await apply(connection, { url, now, ...comparison.difference() })
  return true
})

async function setLong({ connections, writing, ready }: SetParts, { url, wanted, now }: Small): Promise<void> {
  const comparison = compare([])
  for (let i = 0; i < wanted.length; i += PIECE) {
    comparison.want(wanted.slice(i, i + PIECE))
    await turn()
  }
  await ready()
  // What others add from here on counts as later than this set.
  const newest = await connections.use(async (connection) => Number((await connection.query<{ last: string | null }>('SELECT max(id) AS last FROM waystation.subscriptions')).rows[0]?.last ?? 0))
  for (let after = Number.MIN_SAFE_INTEGER; after < newest;) {
    const there = await connections.use((connection) => page(connection, url, after))
    comparison.with(there.filter(({ id }) => id <= newest))
    after = there.length < PIECE ? newest : (there.at(-1)?.id ?? newest)
  }
  const { put, gone } = comparison.difference()
  for (let i = 0; i < put.length; i += PIECE) {
    const some = put.slice(i, i + PIECE)
    // A piece that is not full takes removals with it: a difference of one piece is one transaction.
    await writing.ask(apart, { url, now, put: some, gone: gone.slice(0, some.length < PIECE ? PIECE - some.length : 0) })
  }
  for (let i = put.length === 0 ? 0 : (PIECE - (put.length % PIECE)) % PIECE; i < gone.length; i += PIECE) await writing.ask(apart, { url, now, put: [], gone: gone.slice(i, i + PIECE) })
}

interface Comparison {
  want(some: readonly Wanted[]): void
  /** Some of what is there. */
  with(some: readonly Registration[]): void
  difference(): Pick<Difference, 'put' | 'gone'>
}

function compare(wanted: readonly Wanted[]): Comparison {
  /** Of repetitions the last counts. */
  const missing = new Map<string, Wanted>()
  const gone: number[] = []
  const self: Comparison = {
    want(some) {
      for (const one of some) missing.set(`${one.kind} ${one.target}`, one)
    },
    with(some) {
      for (const { id, kind, target, recovery } of some) {
        const key = `${kind} ${target}`
        const one = missing.get(key)
        if (one === undefined) gone.push(id)
        else if (one.recovery === recovery) missing.delete(key)
      }
    },
    difference: () => ({ put: [...missing.values()], gone }),
  }
  self.want(wanted)
  return self
}
