import { baggageOf, cursorOf, type Lost, type Message } from './message.ts'
import type { Cursor } from './cursor.ts'
import { exactly, type Interest } from './interest.ts'
import type { Latecomer, Log, Subscriber } from './ports.ts'
import type { Router } from './router.ts'

/** What stands in the order for a latecomer. */
type Entry = Message | Pick<Lost, keyof Cursor | 'lost'>

type History = Exclude<ReturnType<Log['read']>, 'lost'>

/** What a loss that is held counts, in bytes: what it names is shared. */
const LOSS_BYTES = 64

/** Patterns of one latecomer that a log is asked for one by one. */
const MOST_PATTERNS = 64

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
  let held: Entry[] = []
  let heldBytes = 0
  let overflowed = false
  let unreadable = false
  let ended = false
  let wake: (() => void) | undefined

  const holding: Subscriber = {
    count: 1,
    deliver: (message) => hold(message, message.body.length + baggageOf(message) + 64),
    gap(_from, to, lost) {
      if (lost !== undefined) return hold({ ...to, lost }, LOSS_BYTES)
      // The log tells of it, in its place, when it is read again.
      letGo()
      wake?.()
    },
  }
  const leave = router.join(interest, holding)

  function hold(entry: Entry, bytes: number): void {
    wake?.()
    if (overflowed || (entry.epoch === at.epoch && entry.offset <= at.offset)) return
    held.push(entry)
    heldBytes += bytes
    if (heldBytes > maxHeldBytes) letGo()
  }

  function letGo(): void {
    overflowed = true
    held = []
    heldBytes = 0
  }

  /** Hands one on when there is room; `false` when the subscription has ended meanwhile. */
  async function hand(entry: Entry): Promise<boolean> {
    // What was handed on last, or the gap before it, may have made an end.
    if (ended) return false
    const room = late.room()
    // A receiver that is gone has no wishes any more.
    if (room !== undefined) await room.catch(end)
    if (ended) return false
    if (entry.epoch !== at.epoch || entry.offset > at.offset) {
      at = cursorOf(entry)
      if ('lost' in entry) late.gap({ epoch: at.epoch, offset: at.offset - 1 }, at, entry.lost)
      else late.deliver(entry)
    }
    return true
  }

  function readAll(): History | undefined {
    const history = log.read(interest, at)
    return history === 'lost' ? undefined : history
  }

  /**
   * What the log still has, where the latecomer can be told which of his topics the rest was of. Asked anew at each reading:
   * of those topics nothing is handed on between the gap and what is held, so whatever came meanwhile is behind that gap.
   */
  function readPart(): History | undefined {
    if (late.takesParts !== true || at.epoch !== log.epoch) return undefined
    const isWhole = (part: Interest): boolean => log.has?.(part, at) ?? log.read(part, at) !== 'lost'
    const topics = Map.groupBy(interest.topics, (topic) => isWhole(exactly(topic)))
    // A log looks around for each pattern: of many it is asked as if they were one.
    const together = interest.patterns.length > MOST_PATTERNS ? isWhole({ topics: [], patterns: interest.patterns }) : undefined
    const patterns = Map.groupBy(interest.patterns, (pattern) => together ?? isWhole({ topics: [], patterns: [pattern] }))
    const whole = { topics: topics.get(true) ?? [], patterns: patterns.get(true) ?? [] }
    if (whole.topics.length + whole.patterns.length === 0) return undefined
    const history = log.read(whole, at)
    if (history === 'lost') return undefined
    late.gap(at, at, { topics: topics.get(false) ?? [], patterns: patterns.get(false) ?? [] })
    return history
  }

  async function replay(): Promise<boolean> {
    overflowed = false
    const history = unreadable ? 'lost' : readAll() ?? readPart() ?? 'lost'
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
      for await (const entry of history) if (!(await hand(entry))) return false
    } catch {
      // The log broke off. What it did not show is lost; the way of saying so is the same as above.
      unreadable = true
    }
    return true
  }

  /** Whatever it is: what the log takes for a loss of this one, the router may know better. */
  async function nextRouted(): Promise<void> {
    const next = Promise.withResolvers<void>()
    wake = next.resolve
    const leaveAll = router.joinAll({ count: 0, takesLarge: true, deliver: () => next.resolve(), gap: () => next.resolve() })
    await next.promise
    leaveAll()
    wake = undefined
  }

  async function run(): Promise<void> {
    for (;;) {
      if (!(await replay())) return
      while (held.length > 0 && !unreadable) {
        const batch = held
        held = []
        heldBytes = 0
        for (const entry of batch) if (!(await hand(entry))) return
      }
      if (ended) return
      if (overflowed || unreadable) continue
      // A log that is slower than its router's order may have shown more than was routed: wait until that has passed.
      if (at.epoch === log.epoch && at.offset > routed()) {
        await nextRouted()
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
