import type { ErrorCode } from '../core/errors.ts'
import type { Clock } from '../core/ports.ts'
import type { Callee, CallWish, Outcome } from './ports.ts'

/** Calls and casts that wait for a connection that is being made. */
export interface Held extends Callee {
  /** Hands all on, in the order in which they came, each with the time that it has left. */
  release(to: Callee): void
  /** None of them has left this machine. Gives how many casts are dropped. */
  fail(code: ErrorCode, detail: string): number
}

/** @param bounds.bytes of the requests together; one may always wait */
export function createHeld({ clock, bounds }: { clock: Clock; bounds: { readonly calls: number; readonly bytes: number } }): Held {
  /** What becomes of each in the end. */
  const waiting = new Set<{ release(to: Callee): void; fail(code: ErrorCode, detail: string): 'cast' | 'call' }>()
  let bytes = 0

  function isFull(size: number): boolean {
    return waiting.size >= bounds.calls || (bytes > 0 && bytes + size > bounds.bytes)
  }

  return {
    call(wish: CallWish, settle: (outcome: Outcome) => void) {
      if (isFull(wish.request.length)) return unsent(clock, 'too_many_calls', `${waiting.size} calls wait for the connection`, settle)
      const until = clock.monotonic() + wish.deadline
      const untime = clock.after(wish.deadline, () => {
        leave()
        settle({ kind: 'deadline' })
      })
      let forget = (): void => leave()
      const one = {
        release(to: Callee): void {
          leave()
          forget = to.call({ ...wish, deadline: Math.max(0, until - clock.monotonic()) }, settle)
        },
        fail(code: ErrorCode, detail: string): 'call' {
          leave()
          forget = unsent(clock, code, detail, settle)
          return 'call'
        },
      }
      function leave(): void {
        untime()
        if (waiting.delete(one)) bytes -= wish.request.length
      }
      waiting.add(one)
      bytes += wish.request.length
      return () => forget()
    },
    cast(request, identifier, key) {
      if (isFull(request.length)) return false
      bytes += request.length
      waiting.add({
        release: (to) => void to.cast(request, identifier, key),
        fail: () => 'cast',
      })
      return true
    },
    release(to) {
      const all = [...waiting]
      for (const one of all) one.release(to)
      waiting.clear()
      bytes = 0
    },
    fail(code, detail) {
      const casts = [...waiting].filter((one) => one.fail(code, detail) === 'cast').length
      waiting.clear()
      bytes = 0
      return casts
    },
  }
}

/** Settles a call that does not leave this machine, in a later turn. Gives what says that nobody waits any more. */
export function unsent(clock: Clock, code: ErrorCode, detail: string, settle: (outcome: Outcome) => void): () => void {
  let isWaited = true
  clock.endOfTurn(() => {
    if (isWaited) settle({ kind: 'unsent', code, detail })
  })
  return () => {
    isWaited = false
  }
}
