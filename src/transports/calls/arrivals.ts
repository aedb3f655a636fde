import type { Wheel } from '../../core/wheel.ts'
import type { BodyAccount } from '../../http/body-account.ts'
import type { Unfinished } from '../../http/websocket-connection.ts'

/** Less is not booked: most frames are short. */
const UNBOOKED = 4_096
const MIB = 1_048_576

/** Watches over a frame that has begun and not ended: what it keeps is booked, and it has its time. */
export interface Arrivals {
  arrived(unfinished: Unfinished): void
  /** Nothing comes any more. */
  end(): void
}

/**
 * @param account whose name the bytes are booked on
 * @param time ms for a frame, and again for each MiB of it
 * @param ended told when one takes too long, or too much is on its way
 */
export function createArrivals(parts: { wheel: Wheel; bodies: BodyAccount; account: string; time: number; ended: (why: 'too_slow' | 'too_much') => void }): Arrivals {
  const { wheel, bodies, account, time, ended } = parts
  let booked = 0
  /** Of the frame that is on its way. */
  let [number, bytes, since] = [0, 0, 0]
  const watch = {
    wheelSlot: undefined as Parameters<typeof wheel.add>[0]['wheelSlot'],
    tick(now: number): number {
      const due = since + time * (1 + Math.floor(bytes / MIB))
      if (now < due) return due - now
      ended('too_slow')
      return 0
    },
  }

  function book(kept: number): boolean {
    const more = (kept > UNBOOKED ? kept : 0) - booked
    if (more > 0 && !bodies.take(account, more)) return false
    if (more < 0) bodies.give(account, -more)
    booked += more
    return true
  }

  return {
    arrived(unfinished) {
      bytes = unfinished.bytes
      if (bytes === 0) wheel.remove(watch)
      else if (unfinished.number !== number) {
        number = unfinished.number
        since = wheel.now
        wheel.add(watch, time)
      }
      if (!book(unfinished.kept)) ended('too_much')
    },
    end() {
      book(0)
      wheel.remove(watch)
    },
  }
}
