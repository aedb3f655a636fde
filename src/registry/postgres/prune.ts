import type { Connection } from './connections.ts'
import { oneByOne } from './lane.ts'

/** Rows of the changes that stay for others who read them. Whoever is further behind reads everything. */
export const KEPT_CHANGES = 10_000
/** What goes at once: whoever changes something waits meanwhile. */
const GONE_AT_ONCE = 20_000

/** Lets go of some old changes of one kind, and says up to where. Whoever reads at the same time sees either both or nothing of it. */
export const prune = oneByOne(async (connection: Connection, feed: 'subscriptions' | 'apikeys'): Promise<undefined> => {
  const changes = feed === 'subscriptions' ? 'waystation.changes' : 'waystation.key_changes'
  await connection.query('SELECT FROM waystation.feeds WHERE name = $1 FOR UPDATE', [feed])
  await connection.query(`WITH old AS (SELECT least(max(seq) - ${KEPT_CHANGES}, min(seq) + ${GONE_AT_ONCE}) AS last FROM ${changes}), gone AS (DELETE FROM ${changes} WHERE seq <= (SELECT last FROM old))
    UPDATE waystation.feeds SET pruned = greatest(pruned, (SELECT last FROM old)) WHERE name = $1`, [feed])
})
