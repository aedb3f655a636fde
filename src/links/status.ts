import type { Clock } from '../core/ports.ts'
import type { LinkState, LinkView } from './ports.ts'

/** Where a link is, put together from its lines. */
export interface Status {
  readonly view: LinkView
  /**
   * The other end has turned out to be this, or is not known any more. No line is up.
   * @param lines how many must be up for the link to be up; with none it stays down
   * @param unserved globs that it cannot be asked for
   */
  peer(peer: Peer | undefined, lines: number, unserved: readonly string[], why: string): void
  up(line: object): void
  down(line: object, why: string): void
}

export type Peer = 'waystation' | 'ponyexpress'

export function createStatus({ name, topics, clock, changed }: {
  name: string
  topics: readonly string[]
  clock: Clock
  changed: (view: LinkView) => void
}): Status {
  const lines = new Set<object>()
  let current: LinkState = { state: 'down', why: 'it has not been made yet', since: clock.now() }
  let peer: Peer | undefined
  let needed = 1
  let unserved: readonly string[] = []

  const view = (): LinkView => ({ name, topics, current, ...(unserved.length > 0 && { unserved }) })

  function goDown(why: string): boolean {
    if (current.state === 'down' && current.why === why) return false
    current = { state: 'down', why, since: current.state === 'down' ? current.since : clock.now() }
    return true
  }

  return {
    get view() { return view() },
    peer(next, count, cannot, why) {
      const isOther = cannot.length !== unserved.length
      peer = next
      needed = count
      unserved = cannot
      lines.clear()
      // What is down already is down for a better reason, unless it stays so.
      const isDown = (current.state === 'up' || count === 0) && goDown(why)
      if (isDown || isOther) changed(view())
    },
    up(line) {
      lines.add(line)
      if (peer === undefined || lines.size < needed || needed === 0 || current.state === 'up') return
      current = { state: 'up', peer, since: clock.now() }
      changed(view())
    },
    down(line, why) {
      lines.delete(line)
      // Of a link that stays down whatever its line does, the reason is known.
      if (needed > 0 && goDown(why)) changed(view())
    },
  }
}
