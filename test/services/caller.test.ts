import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { limitsWith, type LimitName } from '../../src/core/limits.ts'
import { errorText, readRef, tuple2, writeRef, writeText } from '../../src/protocol/erps/payload.ts'
import { createCaller, type ServiceCaller } from '../../src/services/caller.ts'
import type { CallWish, Outcome } from '../../src/services/ports.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { createDeadlines } from '../../src/services/deadlines.ts'
import { bareOf, castOf, NIL, NO_BRAKE, openAgainst, replyOf, type EndOptions, type Raw, type World } from '../support/services.ts'

interface Calling extends World {
  readonly caller: ServiceCaller
  readonly raw: Raw
  readonly end: ReturnType<typeof openAgainst>['end']
  /** What became of calls, by their requests, in order. */
  readonly outcomes: string[]
  readonly pushes: (string | undefined)[]
  call(request: string, more?: Partial<CallWish>): () => void
  /** Refs of the calls that have come. */
  refs(): (number | undefined)[]
}

function begin(options: EndOptions = {}, limits: Partial<Record<LimitName, number>> = {}): Calling {
  const all = { ...options.limits, ...limits }
  const { end, raw, clock, pass } = openAgainst('connector', { ...options, limits: all })
  const outcomes: string[] = []
  const pushes: (string | undefined)[] = []
  const caller = createCaller(end.connection, { clock, limits: limitsWith(all), pushed: (term) => void pushes.push(errorText(term)) })
  end.heard = caller.packet
  end.ended = caller.ended
  return {
    end, raw, clock, pass, outcomes, pushes, caller,
    call: (request, more = {}) => caller.call({ request: writeText(request), deadline: 1_000, ...more }, (outcome) => void outcomes.push(`${request}: ${textOf(outcome)}`)),
    refs: () => raw.packets.filter(({ packet }) => packet.type === 'call').map(({ packet }) => refOf(bareOf(packet))),
  }
}

function refOf(bare: Buffer): number | undefined {
  // What stands behind the term is not a part of it.
  const bytes = bare[2] === 97 ? 2 : 5
  return readRef(bare.subarray(2, 2 + bytes))
}

function textOf(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'answer': return `answer ${errorText(outcome.term)}`
    case 'failed': return `failed ${errorText(outcome.reason)}`
    case 'lost': return 'lost'
    case 'unsent': return `unsent ${outcome.code}`
    case 'deadline': return 'deadline'
    default: return outcome satisfies never
  }
}

function welcome({ raw }: Calling): void {
  raw.send('reply', tuple2(NIL, NIL), { kind: 'welcome', nonce: Buffer.alloc(16) })
}

suite('calls over one connection', () => {
  test('answers find their calls, in whichever order they come, and each counts once', async () => {
    const one = begin({ brake: NO_BRAKE })
    for (const request of ['a', 'b', 'c']) one.call(request)
    await one.pass(0)
    assert.deepEqual(one.refs(), [0, 1, 2])
    assert.equal(one.caller.pending, 3)
    one.raw.send('reply', replyOf('C', 2))
    one.raw.send('error', replyOf('no_worker', 0))
    one.raw.send('reply', replyOf('B', 1))
    one.raw.send('reply', replyOf('B again', 1))
    one.raw.send('reply', replyOf('nobody', 77))
    one.raw.send('reply', castOf('no tuple'))
    one.raw.send('push', castOf('pushed'))
    await one.pass(0)
    assert.deepEqual(one.outcomes, ['c: answer C', 'a: failed no_worker', 'b: answer B'])
    assert.equal(one.caller.late, 3)
    assert.equal(one.caller.pending, 0)
    assert.deepEqual(one.pushes, ['pushed'])
    assert.deepEqual(one.end.endings, [])
  })

  test('a ref that is pending is not given again, and they begin anew at the last', async () => {
    const { end, raw, clock, pass } = openAgainst('connector', { brake: NO_BRAKE })
    const caller = createCaller(end.connection, { clock, limits: limitsWith(), refs: 5 })
    const wish = { request: NIL, deadline: 5_000 }
    const call = async (): Promise<() => void> => {
      const giveUp = caller.call(wish, () => {})
      await pass(0)
      return giveUp
    }
    await call()
    ;(await call())()
    await call()
    for (let i = 0; i < 6; i++) (await call())()
    assert.deepEqual(raw.packets.map(({ packet }) => refOf(bareOf(packet))), [0, 1, 2, 3, 4, 1, 3, 4, 1])
    assert.equal(caller.pending, 2)
  })

  test('a call ends by its deadline, whatever comes later, and that of another does not change', async () => {
    const one = begin({ brake: NO_BRAKE })
    one.call('short', { deadline: 50 })
    one.call('long', { deadline: 20_000 })
    one.call('none', { deadline: 0 })
    assert.deepEqual(one.outcomes, [])
    await one.pass(40)
    assert.deepEqual(one.outcomes, ['none: deadline'])
    await one.pass(20)
    assert.deepEqual(one.outcomes, ['none: deadline', 'short: deadline'])
    one.raw.send('reply', replyOf('late', 0))
    await one.pass(0)
    assert.equal(one.caller.late, 1)
    await one.pass(19_900, 100)
    assert.equal(one.outcomes.length, 2)
    await one.pass(200, 100)
    assert.equal(one.outcomes.length, 3)
    assert.equal(one.raw.packets.filter(({ packet }) => packet.type === 'call').length, 3)
  })

  test('ten thousand calls of one turn have one timer', async () => {
    const clock = createManualClock()
    const ended: number[] = []
    const deadlines = createDeadlines<number>(clock, (one) => void ended.push(one))
    for (let i = 0; i < 10_000; i++) {
      const bucket = deadlines.add(i, 5_000)
      if (i % 2 === 0) bucket.delete(i)
    }
    assert.equal(clock.timers, 1)
    clock.advance(4_999)
    assert.equal(ended.length, 0)
    clock.advance(11)
    assert.equal(ended.length, 5_000)
    deadlines.add(1, 45)
    clock.advance(44)
    assert.equal(ended.length, 5_000)
    clock.advance(11)
    assert.equal(ended.length, 5_001)
    deadlines.add(1, 700_000)
    deadlines.stop()
    assert.equal(clock.timers, 0)
  })

  test('one that nobody waits for any more is taken back, or its answer is left alone; it is not settled', async () => {
    const one = begin()
    const first = one.call('a')
    const second = one.call('b')
    one.call('c')
    await one.pass(100)
    assert.deepEqual(one.refs(), [0])
    second()
    first()
    first()
    await one.pass(100)
    assert.deepEqual(one.refs(), [0, 2])
    one.raw.send('reply', replyOf('A', 0))
    await one.pass(0)
    assert.deepEqual(one.outcomes, [])
    assert.equal(one.caller.late, 1)
    assert.deepEqual(one.raw.packets.map(({ packet }) => packet.type), ['call', 'call'])
  })

  test('towards an original one that is answered late holds the others up until its deadline, and no longer', async () => {
    const one = begin()
    one.call('slow', { deadline: 200 })
    one.call('next', { deadline: 1_000 })
    one.call('hopeless', { deadline: 100 })
    await one.pass(190)
    assert.deepEqual(one.refs(), [0])
    assert.deepEqual(one.outcomes, ['hopeless: deadline'])
    await one.pass(30)
    assert.deepEqual(one.refs(), [0, 1])
  })

  test('a Waystation is told how long somebody waits, and that nobody does any more', async () => {
    const one = begin({ brake: NO_BRAKE })
    one.call('first')()
    one.call('hello')
    await one.pass(0)
    welcome(one)
    await one.pass(0)
    const leave = one.call('a', { deadline: 300 })
    one.call('b', { deadline: 100 })
    one.call('c')()
    await one.pass(0)
    assert.deepEqual(one.raw.extensions().map((extension) => (extension?.kind === 'terms' ? extension.deadline : extension?.kind)), ['hello', 300, 100])
    leave()
    await one.pass(120)
    assert.deepEqual(one.raw.packets.slice(3).map(({ packet }) => [packet.type, refOf(bareOf(packet))]), [['keepalive', 2], ['keepalive', 3]])
    assert.deepEqual(one.raw.extensions().slice(3), [{ kind: 'cancel' }, { kind: 'cancel' }])
    assert.deepEqual(one.outcomes, ['b: deadline'])
  })

  test('the identifier of a call stands in its header alone', async () => {
    const one = begin({ brake: NO_BRAKE })
    one.call('a', { identifier: Buffer.from('tenant') })
    one.call('b')
    assert.ok(one.caller.cast(writeText('c'), Buffer.from('other')))
    await one.pass(0)
    assert.deepEqual(one.raw.packets.map(({ packet }) => packet.identifier.toString()), ['tenant', '', 'other'])
    assert.throws(() => one.call('d', { identifier: Buffer.alloc(37, 1) }), RangeError)
    assert.equal(one.caller.pending, 2)
  })
})

suite('calls that cannot go on', () => {
  test('past the bound of pending calls, and of bytes that wait, a further one is refused, later and by its code', async () => {
    const one = begin({}, { maxCallsPerConnection: 3, maxServicePendingBytes: 1_024 })
    for (const request of ['a', 'b', 'c', 'd']) one.call(request)
    one.call('abandoned')()
    assert.deepEqual(one.outcomes, [])
    await one.pass(0)
    assert.deepEqual(one.outcomes, ['d: unsent too_many_calls'])
    one.raw.send('reply', replyOf('A', 0))
    await one.pass(0)
    one.call('x'.repeat(900))
    assert.ok(!one.caller.cast(writeText('y'.repeat(900))))
    assert.ok(one.caller.cast(writeText('y')))
    await one.pass(0)
    assert.match(one.outcomes.at(-1) ?? '', /unsent too_many_calls/)
    assert.deepEqual(one.end.endings, [])
  })

  test('an end of the connection settles all: those that have left are lost, the others unsent', async () => {
    const one = begin()
    one.call('left')
    one.call('waits')
    await one.pass(50)
    one.raw.stream.destroy()
    await one.pass(0)
    assert.deepEqual(one.outcomes, ['left: lost', 'waits: unsent disconnected'])
    assert.equal(one.clock.timers, 0)
    one.call('after')
    assert.ok(!one.caller.cast(NIL))
    assert.equal(one.outcomes.length, 2)
    await one.pass(2_000, 500)
    assert.deepEqual(one.outcomes.slice(2), ['after: unsent disconnected'])
    assert.equal(one.clock.timers, 0)
  })

  test('whoever is told of the end may give up others, which are then not settled', async () => {
    const one = begin()
    const gaveUp: (() => void)[] = []
    one.caller.call({ request: NIL, deadline: 100 }, () => gaveUp.forEach((giveUp) => giveUp()))
    gaveUp.push(one.call('b'))
    one.end.connection.drop('stopped', 'x')
    await one.pass(200)
    assert.deepEqual(one.outcomes, [])
  })

  test('what waits is taken back where the caller ends before its connection', async () => {
    const one = begin()
    one.call('left')
    one.call('waits')
    one.caller.cast(writeText('kept'))
    await one.pass(0)
    one.caller.ended('stopped', 'closed')
    void one.end.connection.close(new AbortController().signal)
    one.call('after')
    one.end.connection.answered()
    await one.pass(500)
    assert.deepEqual(one.raw.packets.map(({ packet }) => packet.type), ['call', 'cast'])
    assert.deepEqual(one.outcomes, ['left: lost', 'waits: unsent disconnected', 'after: unsent disconnected'])
  })

  test('a refusal by the other end fails all at once', async () => {
    const one = begin()
    one.call('left')
    one.call('waits')
    await one.pass(50)
    one.raw.send('error', castOf('filtered'))
    await one.pass(0)
    assert.deepEqual(one.outcomes, [])
    one.raw.send('error', castOf('wrong identifier'))
    await one.pass(0)
    assert.deepEqual(one.outcomes, ['left: failed service_refused', 'waits: unsent service_refused'])
    assert.deepEqual(one.end.endings, [{ why: 'refused', detail: 'wrong identifier' }])
    one.call('after')
    await one.pass(0)
    assert.equal(one.outcomes.at(-1), 'after: unsent service_refused')
  })

  test('nobody answers what he has not been asked: a guessed ref does not settle a call that waits', async () => {
    const one = begin()
    one.call('a')
    one.call('b')
    await one.pass(0)
    one.raw.send('reply', tuple2(writeText('guess'), writeRef(1)))
    one.raw.send('reply', tuple2(writeText('A'), Buffer.of(98, 0, 0, 0, 0)))
    await one.pass(100)
    assert.deepEqual(one.outcomes, ['a: answer A'])
    one.raw.send('reply', tuple2(writeText('B'), Buffer.of(110, 2, 0, 1, 0)))
    await one.pass(0)
    assert.deepEqual(one.outcomes, ['a: answer A', 'b: answer B'])
  })
})
