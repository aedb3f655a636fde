import { cursorOf, type Message } from './message.ts'
import type { Cursor } from './cursor.ts'
import type { Interest } from './interest.ts'
import type { Latecomer, Log, Subscriber } from './ports.ts'
import type { Router } from './router.ts'

/**
 * History, then live, without loss or repeat. The order of the steps is the point: join first, holding what comes;
 * read after that; release what is newer than what was read; go over to the live stream in the same breath. Reading
 * first and joining afterwards would lose what is published in between.
 *
 * What is held is bounded by `maxHeldBytes`: past it everything held is let go and the log is read again from where the
 * replay has come to. When the log no longer has it, the latecomer is told of the gap and goes on from there.
 *
 * @returns what ends it; afterwards the latecomer gets no call
 */
export function catchUp(parts: {
  interest: Interest
  after: Cursor
  late: Latecomer
  log: Log
  router: Router
  /** The offset of the last message that the router has been asked about. */
  routed: () => number
  maxHeldBytes: number
}): () => void {
  const { interest, late, log, router, routed, maxHeldBytes } = parts
  let at = parts.after
  let held: Message[] = []
  let heldBytes = 0
  let overflowed = false
  let unreadable = false
  let ended = false
  let wake: (() => void) | undefined

  const holding: Subscriber = {
    count: 1,
    deliver(message) {
      if (message.epoch === at.epoch && message.offset <= at.offset) return wake?.()
      if (!overflowed) {
        held.push(message)
        heldBytes += message.body.length + 64
        if (heldBytes > maxHeldBytes) letGo()
      }
      wake?.()
    },
    // The log tells of it, in its place, when it is read again.
    gap() {
      letGo()
      wake?.()
    },
  }
  const leave = router.join(interest, holding)

  function letGo(): void {
    overflowed = true
    held = []
    heldBytes = 0
  }

  /** Hands one on when there is room; `false` when the subscription has ended meanwhile. */
  async function hand(message: Message): Promise<boolean> {
    // What was handed on last, or the gap before it, may have made an end.
    if (ended) return false
    const room = late.room()
    // A receiver that is gone has no wishes any more.
    if (room !== undefined) await room.catch(end)
    if (ended) return false
    if (message.epoch !== at.epoch || message.offset > at.offset) {
      at = cursorOf(message)
      late.deliver(message)
    }
    return true
  }

  async function replay(): Promise<boolean> {
    overflowed = false
    const history = unreadable ? 'lost' : log.read(interest, at)
    unreadable = false
    if (history === 'lost') {
      // What is held was published after the join, so it is newer than the place the gap ends at.
      const first = held[0]
      const to = { epoch: log.epoch, offset: first === undefined ? routed() : first.offset - 1 }
      // A log may show more than was routed. What it showed is not told again, and what is behind it comes by the router.
      if (at.epoch === to.epoch && at.offset >= to.offset && at.offset <= log.head) return true
      late.gap(at, to)
      at = to
      return !ended
    }
    try {
      for await (const message of history) if (!(await hand(message))) return false
    } catch {
      // The log broke off. What it did not show is lost; the way of saying so is the same as above.
      unreadable = true
    }
    return true
  }

  async function run(): Promise<void> {
    for (;;) {
      if (!(await replay())) return
      while (held.length > 0 && !unreadable) {
        const batch = held
        held = []
        heldBytes = 0
        for (const message of batch) if (!(await hand(message))) return
      }
      if (ended) return
      if (overflowed || unreadable) continue
      // A log that is slower than its router's order may have shown more than was routed: wait until that has passed.
      if (at.epoch === log.epoch && at.offset > routed()) {
        await new Promise<void>((resolve) => (wake = resolve))
        wake = undefined
        if (ended) return
        continue
      }
      end()
      late.live()
      return
    }
  }

  function end(): void {
    if (ended) return
    ended = true
    leave()
    held = []
    wake?.()
  }

  void run()
  return end
}
