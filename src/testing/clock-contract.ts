import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Clock } from '../core/ports.ts'

export interface ClockUnderTest {
  readonly clock: Clock
  /** Lets at least this much time pass, and the turn end. */
  pass(ms: number): Promise<void> | void
}

/**
 * What every `Clock` must do. Spans are short, because on a real clock they are waited for; and they are judged with half
 * of them to spare, because a real timer counts from the beginning of the turn, which on a busy machine may be long ago.
 */
export function clockContract(name: string, create: () => ClockUnderTest): void {
  suite(`${name}, as a clock`, () => {
    test('time passes on both scales, and durations are never negative', async () => {
      const { clock, pass } = create()
      const [now, monotonic] = [clock.now(), clock.monotonic()]
      await pass(80)
      assert.ok(clock.now() >= now + 40, `the time of day went on by ${clock.now() - now} ms of 80`)
      assert.ok(clock.monotonic() >= monotonic + 40, `${clock.monotonic() - monotonic} ms of 80 have passed`)
      let last = clock.monotonic()
      for (let i = 0; i < 1_000; i++) {
        const next = clock.monotonic()
        assert.ok(next >= last)
        last = next
      }
    })

    test('the time of day is counted in milliseconds since 1970', () => {
      const { clock } = create()
      assert.ok(clock.now() > Date.UTC(2020, 0, 1) && clock.now() < Date.UTC(2100, 0, 1), `it is ${clock.now()}`)
    })

    test('what is to come after a while comes once, and not before', async () => {
      const { clock, pass } = create()
      const start = clock.monotonic()
      const at: number[] = []
      clock.after(80, () => at.push(clock.monotonic()))
      assert.equal(at.length, 0, 'it came at once')
      await pass(160)
      await pass(20)
      assert.equal(at.length, 1)
      const waited = (at[0] as number) - start
      assert.ok(waited >= 40, `it came after ${waited} ms of 80`)
    })

    test('the shorter wait ends first', async () => {
      const { clock, pass } = create()
      const order: string[] = []
      clock.after(40, () => order.push('long'))
      clock.after(5, () => order.push('short'))
      await pass(120)
      assert.deepEqual(order, ['short', 'long'])
    })

    test('what was taken back does not come; taking back late or twice does nothing', async () => {
      const { clock, pass } = create()
      let calls = 0
      const cancel = clock.after(5, () => calls++)
      cancel()
      cancel()
      const late = clock.after(5, () => calls++)
      await pass(60)
      late()
      assert.equal(calls, 1)
    })

    test('the end of the turn comes once, after what is going on and before any time is waited for', async () => {
      const { clock, pass } = create()
      const order: string[] = []
      clock.endOfTurn(() => order.push('end of turn'))
      clock.after(120, () => order.push('timer'))
      order.push('going on')
      await pass(240)
      assert.deepEqual(order, ['going on', 'end of turn', 'timer'])
    })

    test('ends of turn come in the order in which they were asked for, a new one in a later turn', async () => {
      const { clock, pass } = create()
      const order: string[] = []
      clock.endOfTurn(() => {
        clock.endOfTurn(() => order.push('third'))
        order.push('first')
      })
      clock.endOfTurn(() => order.push('second'))
      // Where the machine stands still, the whole of the first may be over before the later turn has begun.
      await pass(20)
      await pass(20)
      assert.deepEqual(order, ['first', 'second', 'third'])
    })
  })
}
