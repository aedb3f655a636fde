import type { Clock } from './ports.ts'

/** Something that wants to be looked at in a while. `wheelSlot` belongs to the wheel. */
export interface Tickable {
  wheelSlot: Set<Tickable> | undefined
  /** Gives the milliseconds until the next look, or 0 for none. `now` is the wheel's monotonic time. */
  tick(now: number): number
}

/**
 * One timer for all connections, however many: a ring of slots, each with those due in its span. By the wheel's own time
 * a look comes never early, and less than one tick late; how late its timer was does not add up. The timer runs only
 * while somebody waits.
 */
export interface Wheel {
  /** Monotonic milliseconds, at most one tick old while anyone waits. */
  readonly now: number
  /** Look at this one in `ms` milliseconds, counted from `now`; replaces an earlier wish. */
  add(one: Tickable, ms: number): void
  remove(one: Tickable): void
}

export function createWheel(clock: Clock, tickMs = 250, slots = 256): Wheel {
  const ring: Set<Tickable>[] = Array.from({ length: slots }, () => new Set())
  let now = clock.monotonic()
  let position = 0
  /** When the slot at `position` is due. */
  let due = now
  let waiting = 0
  let running = false

  function turn(): void {
    now = clock.monotonic()
    while (due <= now) {
      const slot = ring[position] as Set<Tickable>
      position = (position + 1) % slots
      due += tickMs
      for (const one of slot) {
        remove(one)
        const next = one.tick(now)
        if (next > 0) add(one, next)
      }
    }
    running = waiting > 0
    if (running) clock.after(due - now, turn)
  }

  function add(one: Tickable, ms: number): void {
    remove(one)
    if (!running) start()
    // Anything beyond the ring is looked at once round, and says then how long it still wants to wait.
    const ahead = Math.min(slots - 2, Math.max(0, Math.ceil((now + ms - due) / tickMs)))
    const slot = ring[(position + ahead) % slots] as Set<Tickable>
    slot.add(one)
    one.wheelSlot = slot
    waiting++
  }

  function start(): void {
    running = true
    now = clock.monotonic()
    due = now + tickMs
    clock.after(tickMs, turn)
  }

  function remove(one: Tickable): void {
    if (one.wheelSlot?.delete(one) === true) waiting--
    one.wheelSlot = undefined
  }

  return {
    get now() {
      if (!running) now = clock.monotonic()
      return now
    },
    add,
    remove,
  }
}
