import { WaystationError } from '../../core/errors.ts'
import type { Clock } from '../../core/ports.ts'
import type { Attempts } from './attempts.ts'

/** What the keeper knows of a connection. */
export interface Kept {
  close(): Promise<void>
}

export interface KeptEvents {
  opened(): void
  /** @param silence ms at its end for which it was of no use */
  closed(why: string, silence: number): void
}

/** Keeps one connection to one of the broadcasters, from the first need on (lonelyps, section 4.16). */
export interface Keeper {
  /** There is something to keep a connection for. */
  need(): void
  /** Says goodbye; settles when it is over. */
  close(): Promise<void>
}

export interface KeeperParts<S extends Kept> {
  readonly attempts: Attempts
  readonly clock: Clock
  /** Keeps the process alive meanwhile. */
  readonly hold: () => () => void
  /** ms after which a connection has lasted. */
  readonly lasting: number
  readonly open: (url: string, events: KeptEvents) => S
  readonly opened: (session: S) => void
  readonly lost: () => void
  /** Whether there is something to keep a connection for. */
  readonly isNeeded: () => boolean
  readonly gaveUp: (error: WaystationError) => void
}

export function createKeeper<S extends Kept>(parts: KeeperParts<S>): Keeper {
  const { attempts, clock, lasting } = parts
  let state: 'idle' | 'sleeping' | 'connected' | 'closed' = 'idle'
  let session: S | undefined
  let wake = (): void => {}
  let why = ''

  function attempt(): void {
    if (!parts.isNeeded()) {
      state = 'idle'
      return
    }
    const next = attempts.next()
    if (next === undefined) {
      state = 'idle'
      return parts.gaveUp(new WaystationError('unreachable', why))
    }
    if (next.wait === 0) return connect(next.url)
    state = 'sleeping'
    const letGo = parts.hold()
    const cancel = clock.after(next.wait, () => {
      letGo()
      // A feed may have been closed meanwhile.
      if (parts.isNeeded()) connect(next.url)
      else state = 'idle'
    })
    wake = () => {
      cancel()
      letGo()
    }
  }

  function connect(url: string): void {
    state = 'connected'
    let since: number | undefined
    const own = parts.open(url, {
      opened() {
        since = clock.monotonic()
        attempts.opened()
        parts.opened(own)
      },
      closed(reason, silence) {
        if (state === 'closed') return
        session = undefined
        why = reason
        if (since !== undefined) {
          if (clock.monotonic() - silence - since >= lasting) attempts.renew()
          parts.lost()
        }
        attempt()
      },
    })
    session = own
  }

  return {
    need() {
      if (state !== 'idle') return
      attempts.renew()
      attempt()
    },
    async close() {
      if (state === 'sleeping') wake()
      state = 'closed'
      await session?.close()
    },
  }
}
