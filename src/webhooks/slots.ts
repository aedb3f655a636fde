/** A place for one call. */
export interface Slot {
  /** The call takes long: it stays, but others of its host need not wait for it any more. Once. */
  slow(): void
  /** The call is over. Once. */
  release(): void
}

/** Bounds how many calls run at once, for each host and in all, in the order they were asked for. */
export interface Slots {
  readonly running: number
  readonly waiting: number
  /** Calls `start` at once, or when there is a place. Gives what takes the wish back while it waits. */
  take(host: string, start: (slot: Slot) => void): () => void
}

interface Host {
  /** Calls that count: those that do not take long. */
  quick: number
  readonly waiting: Set<(slot: Slot) => void>
}

/**
 * Hosts that have somebody waiting take turns, so that a host with many calls does not keep the others from theirs. A call
 * that takes long gives its place at its host to the next: one hanging URL must not delay its neighbours.
 */
export function createSlots(bounds: { total: number; perHost: number }): Slots {
  const hosts = new Map<string, Host>()
  /** Those that have a free place and somebody waiting, in turn. */
  const ready = new Set<string>()
  let running = 0
  let waiting = 0

  function hostOf(name: string): Host {
    let host = hosts.get(name)
    if (host === undefined) hosts.set(name, (host = { quick: 0, waiting: new Set() }))
    return host
  }

  function mark(name: string, host: Host): void {
    if (host.waiting.size > 0 && host.quick < bounds.perHost) ready.add(name)
    else ready.delete(name)
    if (host.waiting.size === 0 && host.quick === 0) hosts.delete(name)
  }

  function slotOf(name: string, host: Host): Slot {
    let counted = true
    let held = true
    const giveBack = (): void => {
      if (!counted) return
      counted = false
      host.quick--
      mark(name, host)
    }
    return {
      slow() {
        if (!held) return
        giveBack()
        next()
      },
      release() {
        if (!held) return
        held = false
        running--
        giveBack()
        next()
      },
    }
  }

  function begin(name: string, host: Host, start: (slot: Slot) => void): void {
    running++
    host.quick++
    mark(name, host)
    start(slotOf(name, host))
  }

  function next(): void {
    for (const name of ready) {
      if (running >= bounds.total) return
      const host = hosts.get(name) as Host
      const [start] = host.waiting as Set<(slot: Slot) => void>
      // To the end of the queue of hosts; `mark` puts it back when it still has a place and a wish.
      ready.delete(name)
      host.waiting.delete(start as (slot: Slot) => void)
      waiting--
      begin(name, host, start as (slot: Slot) => void)
    }
  }

  return {
    get running() { return running },
    get waiting() { return waiting },
    take(name, start) {
      const host = hostOf(name)
      if (running < bounds.total && host.quick < bounds.perHost && host.waiting.size === 0) {
        begin(name, host, start)
        return () => {}
      }
      // A wish of its own each, though two may be the same function.
      const wish = (slot: Slot): void => start(slot)
      host.waiting.add(wish)
      waiting++
      mark(name, host)
      return () => {
        if (!host.waiting.delete(wish)) return
        waiting--
        mark(name, host)
      }
    },
  }
}
