import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sayGoodbye, type Leaving } from '../../src/http/goodbye.ts'
import { createManualClock } from '../../src/testing/index.ts'

interface Guest extends Leaving {
  /** When it was told, and how it ended. */
  toldAt: number | undefined
  end: 'closed' | 'destroyed' | undefined
}

function createRoom(n: number, { polite = true } = {}) {
  const clock = createManualClock()
  const open = new Set<Guest>()
  const codes = new Set<string>()
  const guests = Array.from({ length: n }, (): Guest => {
    const guest: Guest = {
      toldAt: undefined,
      end: undefined,
      close(code, reason) {
        codes.add(`${code} ${reason}`)
        guest.toldAt ??= clock.monotonic()
        if (!polite) return
        guest.end ??= 'closed'
        open.delete(guest)
      },
      destroy() {
        guest.end ??= 'destroyed'
        open.delete(guest)
      },
    }
    open.add(guest)
    return guest
  })
  async function pass(ms: number): Promise<void> {
    for (let i = 0; i < ms; i += 10) {
      clock.advance(10)
      await clock.settle()
    }
  }
  return { clock, open, guests, codes, pass }
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = {}
  await new Promise((resolve) => setImmediate(resolve))
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending
}

test('everyone is told 1001, spread evenly over the time', async () => {
  const { clock, guests, codes, pass, open } = createRoom(100)
  const done = sayGoodbye(open, 1_000, new AbortController().signal, clock.after)
  await pass(1_100)
  await done
  assert.deepEqual([...codes], ['1001 the server is going away'])
  const times = guests.map((guest) => guest.toldAt as number)
  assert.ok(times.at(-1) as number >= 900 && (times.at(-1) as number) <= 1_000, `the last was told at ${times.at(-1)}`)
  const perMoment = Map.groupBy(times, (time) => time)
  assert.ok([...perMoment.values()].every((group) => group.length <= 5), 'too many at one moment')
})

test('more than there are moments go several at a time, and few are not held up', async () => {
  const many = createRoom(10_000)
  const done = sayGoodbye(many.open, 500, new AbortController().signal, many.clock.after)
  await many.pass(600)
  await done
  assert.ok(Math.max(...many.guests.map((guest) => guest.toldAt as number)) <= 500)

  const one = createRoom(1)
  await sayGoodbye(one.open, 5_000, new AbortController().signal, one.clock.after)
  assert.equal(one.guests[0]?.toldAt, 0)
})

test('with nobody here it settles at once, and so with no time to spread over', async () => {
  const { clock, open } = createRoom(0)
  await sayGoodbye(open, 5_000, new AbortController().signal, clock.after)
  const full = createRoom(20)
  await sayGoodbye(full.open, 0, new AbortController().signal, full.clock.after)
  assert.ok(full.guests.every((guest) => guest.toldAt === 0))
})

test('it waits for those who have been told and are not gone yet', async () => {
  const { clock, open, guests, pass } = createRoom(3, { polite: false })
  const done = sayGoodbye(open, 0, new AbortController().signal, clock.after)
  await pass(5_000)
  assert.equal(await isSettled(done), false)
  for (const guest of guests) open.delete(guest)
  await pass(20)
  await done
})

test('one that leaves by itself before it was told is not waited for', async () => {
  const { clock, open, guests, pass } = createRoom(10)
  const done = sayGoodbye(open, 500, new AbortController().signal, clock.after)
  open.delete(guests[9] as Guest)
  await pass(600)
  await done
})

for (const moment of ['before it begins', 'while goodbyes are being said', 'while it waits for the last']) {
  test(`when the time is up ${moment}, the rest is told too and cut off, and it settles, without waiting for the clock`, async () => {
    const { clock, open, guests, pass } = createRoom(40, { polite: false })
    const deadline = new AbortController()
    if (moment === 'before it begins') deadline.abort()
    const done = sayGoodbye(open, 1_000, deadline.signal, clock.after)
    if (moment === 'while goodbyes are being said') await pass(300)
    if (moment === 'while it waits for the last') await pass(3_000)
    const told = guests.filter((guest) => guest.toldAt !== undefined).length
    if (moment === 'while goodbyes are being said') assert.ok(told > 0 && told < guests.length)
    deadline.abort()
    assert.equal(await isSettled(done), true)
    assert.ok(guests.every((guest) => guest.end === 'destroyed' && guest.toldAt !== undefined))
  })
}
