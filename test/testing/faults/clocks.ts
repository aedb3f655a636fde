import type { Clock } from '../../../src/core/ports.ts'
import { clockContract, createManualClock, type ManualClock } from '../../../src/testing/index.ts'

const faults: Record<string, (clock: ManualClock) => Partial<Clock>> = {
  'it counts seconds': (clock) => ({ now: () => clock.now() / 1_000 }),
  'durations stand still': () => ({ monotonic: () => 0 }),
  'durations go back': (clock) => {
    let calls = 0
    return { monotonic: () => clock.monotonic() - (++calls % 5) }
  },
  'timers go off at once': () => ({ after: (_, fn) => (fn(), () => {}) }),
  'timers go off too early': (clock) => ({ after: (ms, fn) => clock.after(ms / 10, fn) }),
  'timers go off again and again': (clock) => ({
    after(ms, fn) {
      const again = (): void => {
        fn()
        clock.after(ms, again)
      }
      return clock.after(ms, again)
    },
  }),
  'timers never go off': () => ({ after: () => () => {} }),
  'timers go off in the order in which they were asked for': (clock) => ({ after: (_, fn) => clock.after(50, fn) }),
  'timers cannot be taken back': (clock) => ({ after: (ms, fn) => (clock.after(ms, fn), () => {}) }),
  'the end of the turn comes at once': () => ({ endOfTurn: (fn) => fn() }),
  'the end of the turn comes late': (clock) => ({ endOfTurn: (fn) => void clock.after(200, fn) }),
  'the end of the turn comes twice': (clock) => ({ endOfTurn: (fn) => (clock.endOfTurn(fn), clock.endOfTurn(fn)) }),
  'ends of turn come backwards': (clock) => {
    let waiting: (() => void)[] = []
    return {
      endOfTurn(fn) {
        if (waiting.unshift(fn) > 1) return
        clock.endOfTurn(() => {
          const now = waiting
          waiting = []
          for (const one of now) one()
        })
      },
    }
  },
}

clockContract('sound', () => {
  const clock = createManualClock()
  return { clock, pass: (ms) => clock.advance(ms) }
})
for (const [name, change] of Object.entries(faults)) {
  clockContract(name, () => {
    const clock = createManualClock()
    return { clock: { ...clock, ...change(clock) }, pass: (ms) => clock.advance(ms) }
  })
}
