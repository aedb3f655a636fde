/** A place for one call. */
export interface Slot {
  /** The call takes long: it stays, but others of its host need not wait for it any more. */
  slow(): void
  /**
   * Nobody waits for its answer any more. `giveUp` is called at most once, when late calls have taken more than half of all
   * places and somebody waits for one; it MUST release. Only the first call of `late` counts.
   */
  late(giveUp: () => void): void
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

/** `start` is undefined once it has begun or was taken back. */
interface Wish {
  start: ((slot: Slot) => void) | undefined
}

interface Host {
  /** Calls that count: those that do not take long. */
  quick: number
  /** In the order asked for, from `first` on. Not a Set: to find its first entry takes the longer, the more were taken out before. */
  wishes: Wish[]
  first: number
  /** Wishes that still stand. */
  waiting: number
}

/**
 * Hosts that have somebody waiting take turns, so that a host with many calls does not keep the others from theirs. A call
 * that takes long gives its place at its host to the next: one hanging URL must not delay its neighbours. And late calls
 * keep no more than half of all places from those who wait, or some thousand hanging URLs would stop everybody; the oldest
 * of them gives up first. Only late ones: where the machine itself is slow, all calls are.
 */
export function createSlots(bounds: { total: number; perHost: number }): Slots {
  const hosts = new Map<string, Host>()
  /** Those that have a free place and somebody waiting, in turn. */
  const ready = new Set<string>()
  /** What ends each of the late calls, the oldest first. */
  const lateOnes = new Set<() => void>()
  let running = 0
  let waiting = 0
  /** Calls end and begin while others are given places: deep in one another they would overflow the stack. */
  let placing = false

  function hostOf(name: string): Host {
    let host = hosts.get(name)
    if (host === undefined) hosts.set(name, (host = { quick: 0, wishes: [], first: 0, waiting: 0 }))
    return host
  }

  function mark(name: string, host: Host): void {
    if (host.waiting > 0 && host.quick < bounds.perHost) ready.add(name)
    else ready.delete(name)
    if (host.waiting === 0 && host.quick === 0) hosts.delete(name)
  }

  function slotOf(name: string, host: Host): Slot {
    let counted = true
    let held = true
    let last: (() => void) | undefined
    const giveBack = (): void => {
      if (!counted) return
      counted = false
      host.quick--
      mark(name, host)
    }
    return {
      slow() {
        if (!held || !counted) return
        giveBack()
        next()
      },
      late(giveUp) {
        if (!held || last !== undefined) return
        last = (): void => giveUp()
        lateOnes.add(last)
        next()
      },
      release() {
        if (!held) return
        held = false
        running--
        if (last !== undefined) lateOnes.delete(last)
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

  function makeRoom(): boolean {
    if (lateOnes.size <= bounds.total / 2) return false
    const [oldest] = lateOnes as Set<() => void>
    lateOnes.delete(oldest as () => void)
    oldest?.()
    return running < bounds.total
  }

  function next(): void {
    if (placing) return
    placing = true
    try {
      place()
    } finally {
      placing = false
    }
  }

  function place(): void {
    for (const name of ready) {
      if (running >= bounds.total && !makeRoom()) return
      const host = hosts.get(name) as Host
      // To the end of the queue of hosts; `mark` puts it back when it still has a place and a wish.
      ready.delete(name)
      begin(name, host, takeFirst(host))
    }
  }

  function takeFirst(host: Host): (slot: Slot) => void {
    for (;;) {
      const wish = host.wishes[host.first++] as Wish
      if (host.first > 64 && host.first * 2 > host.wishes.length) {
        host.wishes = host.wishes.slice(host.first)
        host.first = 0
      }
      const { start } = wish
      if (start === undefined) continue
      granted(host, wish)
      return start
    }
  }

  function granted(host: Host, wish: Wish): void {
    wish.start = undefined
    host.waiting--
    waiting--
  }

  return {
    get running() { return running },
    get waiting() { return waiting },
    take(name, start) {
      const host = hostOf(name)
      if (running < bounds.total && host.quick < bounds.perHost && host.waiting === 0) {
        begin(name, host, start)
        return () => {}
      }
      const wish: Wish = { start }
      host.wishes.push(wish)
      host.waiting++
      waiting++
      mark(name, host)
      next()
      return () => {
        if (wish.start === undefined) return
        granted(host, wish)
        mark(name, host)
      }
    },
  }
}
