import { WaystationError } from '../../core/errors.ts'
import type { ChangeFeed } from './change-feed.ts'
import { inTime, PATIENCE, type Connections } from './connections.ts'
import type { KeyFeed } from './key-feed.ts'
import type { Lane } from './lane.ts'
import { KEPT_CHANGES, prune } from './prune.ts'

interface FollowParts {
  readonly connections: Connections
  readonly registrations: ChangeFeed
  readonly domains: KeyFeed
  /** Where old changes are let go. */
  readonly lane: Lane
  readonly ready: () => Promise<void>
  readonly failed: (error: unknown) => void
  readonly pollInterval: number
}

type Feed = Pick<ChangeFeed, 'current' | 'listening' | 'doubt' | 'place'>

/** Follows what others change: by what the server says, and by a look now and then, which also finds out whether it is there. */
export interface Following {
  begin(): void
  /** Settles when a listener that joins by this has been told everything. A listener stays when it rejects. */
  from(join: () => void, feed: Feed): Promise<void>
  /** Settles in time, or rejects. */
  current(feed: Feed): Promise<void>
  end(): Promise<void>
}

export function follow({ connections, registrations, domains, lane, ready, failed, pollInterval }: FollowParts): Following {
  const feeds: Readonly<Record<string, Feed>> = { subscriptions: registrations, apikeys: domains }
  let timer: NodeJS.Timeout | undefined
  let polling: Promise<void> | undefined
  let state: 'new' | 'going' | 'ended' = 'new'

  async function listen(): Promise<void> {
    await connections.listen((what) => {
      if (feeds[what]?.listening === true) feeds[what].current().catch(failed)
    }, () => {
      // While nobody listened, the database may have been put back to an older state, or become a standby that lacks the last changes.
      for (const feed of Object.values(feeds)) feed.doubt()
    })
  }

  async function look(): Promise<void> {
    await ready()
    const listening = Object.values(feeds).filter((feed) => feed.listening)
    if (listening.length === 0) return connections.use(async (connection) => void (await connection.query('SELECT')))
    await listen()
    await Promise.all(listening.map((feed) => feed.current()))
    for (const [name, { place }] of Object.entries(feeds)) {
      if (place.read - place.pruned > 1.2 * KEPT_CHANGES) await lane.ask(prune, name as 'subscriptions' | 'apikeys')
    }
  }

  function plan(): void {
    if (state === 'ended') return
    timer = setTimeout(() => {
      polling = look().catch(failed).finally(plan)
    }, pollInterval)
    timer.unref()
  }

  return {
    begin() {
      if (state !== 'new') return
      state = 'going'
      plan()
    },
    async from(join, feed) {
      join()
      await ready()
      await listen()
      await feed.current().catch((error: unknown) => {
        failed(error)
        throw error
      })
    },
    async current(feed) {
      await inTime(ready().then(() => feed.current()), PATIENCE).catch((error: unknown) => {
        failed(error)
        throw error instanceof WaystationError ? error : new WaystationError('registry_unavailable', 'PostgreSQL does not answer in time', error)
      })
    },
    async end() {
      state = 'ended'
      clearTimeout(timer)
      await polling
    },
  }
}
