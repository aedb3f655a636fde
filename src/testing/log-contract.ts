import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import { formatCursor, parseCursor, type Cursor } from '../core/cursor.ts'
import { interestIn, wants } from '../core/interest.ts'
import { draft, type Lost, type Message } from '../core/message.ts'
import type { Clock, Log, Random } from '../core/ports.ts'
import { createRules, type Rules } from '../core/rules.ts'
import { topicFromText, type Topic } from '../core/topic.ts'
import { createManualClock, type ManualClock } from './manual-clock.ts'
import { createSeededRandom } from './seeded-random.ts'

/** What a log under test is made of. Its own bound on bytes, where it has one, must be a megabyte or more. */
export interface LogParts {
  readonly rules: Rules
  readonly clock: Clock
  readonly random: Random
}

type CreateLog = (parts: LogParts, t: TestContext) => Log | Promise<Log>

const DAY = 86_400_000
const RULES = createRules([
  { topics: 'few/*', keep: { messages: 3, ms: DAY } },
  { topics: 'short/*', keep: { messages: 1_000, ms: 60_000 } },
  { topics: 'kept/*', keep: { messages: 1_000, ms: DAY } },
])

/** What every `Log` must do. It is given a clock that stands still, and new chance for each log. */
export function logContract(name: string, create: CreateLog): void {
  let seed = 0

  async function open(t: TestContext): Promise<{ log: Log; clock: ManualClock }> {
    const clock = createManualClock()
    return { clock, log: await create({ rules: RULES, clock, random: createSeededRandom(++seed) }, t) }
  }

  suite(`${name}, as a log`, () => {
    test('offsets begin at 1 and rise by one over all topics', async (t) => {
      const { log } = await open(t)
      assert.equal(log.head, 0)
      for (const [i, topic] of ['kept/a', 'unkept', 'kept/b', 'few/a', 'kept/a'].entries()) {
        const message = await append(log, topic, 'x')
        assert.equal(message.offset, i + 1)
        assert.equal(log.head, i + 1)
      }
    })

    test('a message is its draft, with the place and the time of the append', async (t) => {
      const { log, clock } = await open(t)
      clock.advance(1_234)
      const given = draft(topicFromText('kept/a'), Buffer.from([0xff, 0x00]), 'application/x-thing')
      const message = await log.append(given)
      assert.deepEqual({ ...message, body: [...message.body] }, {
        topic: 'kept/a', body: [0xff, 0x00], contentType: 'application/x-thing', text: false, offset: 1, epoch: log.epoch, time: clock.now(),
      })
      assert.deepEqual(await read(log, ['kept/a'], 0), [message])
    })

    test('a message whose body is a copy does not say that the header of a frame stands before it', async (t) => {
      const { log } = await open(t)
      const memory = Buffer.alloc(4_096, 'x')
      for (const topic of ['kept/a', 'unkept']) {
        const body = memory.subarray(100, 200)
        const message = await log.append({ ...draft(topicFromText(topic), body), framed: true })
        assert.ok(message.framed !== true || message.body.buffer === body.buffer)
      }
    })

    test('appends that are made at once settle in the order of the calls', async (t) => {
      const { log } = await open(t)
      const settled: number[] = []
      await Promise.all(Array.from({ length: 100 }, async (_, i) => {
        const message = await append(log, i % 2 === 0 ? 'kept/a' : 'unkept', String(i))
        assert.equal(message.body.toString(), String(i))
        settled.push(message.offset)
      }))
      assert.deepEqual(settled, Array.from({ length: 100 }, (_, i) => i + 1))
    })

    test('its epoch travels in a cursor, and is not that of another log', async (t) => {
      const [one, other] = [await open(t), await open(t)]
      const place: Cursor = { epoch: one.log.epoch, offset: 7 }
      assert.deepEqual(parseCursor(formatCursor(place)), place)
      assert.notEqual(one.log.epoch, other.log.epoch)
    })

    test('what is read is all that is kept of the interest, behind the cursor, in the order of offsets', async (t) => {
      const { log } = await open(t)
      for (let i = 1; i <= 30; i++) await append(log, `kept/${'abc'[i % 3]}`, String(i))
      assert.deepEqual(offsets(await read(log, ['kept/a'], 0)), [3, 6, 9, 12, 15, 18, 21, 24, 27, 30])
      assert.deepEqual(offsets(await read(log, ['kept/a', 'kept/b'], 24)), [25, 27, 28, 30])
      assert.deepEqual(offsets(await read(log, ['kept/*'], 0)), Array.from({ length: 30 }, (_, i) => i + 1))
    })

    test('a message that the interest names more than once is read once', async (t) => {
      const { log } = await open(t)
      for (let i = 1; i <= 4; i++) await append(log, 'kept/a', String(i))
      assert.deepEqual(offsets(await read(log, ['kept/a', 'kept/*', 'k*'], 0)), [1, 2, 3, 4])
    })

    test('at its end there is nothing to read, and nothing is lost', async (t) => {
      const { log } = await open(t)
      assert.deepEqual(await read(log, ['unkept', 'kept/*'], 0), [])
      await append(log, 'unkept', 'x')
      await append(log, 'kept/a', 'x')
      assert.deepEqual(await read(log, ['unkept', 'kept/*'], 2), [])
    })

    test('a cursor of another epoch, or one that was never given, is lost', async (t) => {
      const { log } = await open(t)
      await append(log, 'kept/a', 'x')
      const interest = interestIn(['kept/a'])
      assert.notEqual(log.has?.(interest, { epoch: 'another', offset: 0 }), true)
      assert.equal(log.read(interest, { epoch: 'another', offset: 0 }), 'lost')
      assert.equal(log.read(interest, { epoch: 'another', offset: 1 }), 'lost')
      assert.equal(log.read(interest, { epoch: log.epoch, offset: 2 }), 'lost')
    })

    test('a wanted message that was never kept is lost, by name and by pattern', async (t) => {
      const { log } = await open(t)
      await append(log, 'kept/a', '1')
      await append(log, 'unkept', '2')
      await append(log, 'kept/a', '3')
      assert.equal(await read(log, ['unkept'], 1), 'lost')
      assert.equal(await read(log, ['*'], 0), 'lost')
      assert.deepEqual(offsets(await read(log, ['unkept', 'kept/a'], 2)), [3])
    })

    test('past the number that is kept the oldest go, and whoever has not seen them is told', async (t) => {
      const { log } = await open(t)
      for (let i = 1; i <= 5; i++) await append(log, 'few/a', String(i))
      assert.equal(await read(log, ['few/a'], 1), 'lost')
      assert.deepEqual(offsets(await read(log, ['few/a'], 2)), [3, 4, 5])
      assert.deepEqual(offsets(await read(log, ['few/a'], 4)), [5])
    })

    test('each topic has its own number', async (t) => {
      const { log } = await open(t)
      await append(log, 'few/quiet', '1')
      for (let i = 2; i <= 9; i++) await append(log, 'few/busy', String(i))
      assert.deepEqual(offsets(await read(log, ['few/quiet'], 0)), [1])
      assert.equal(await read(log, ['few/quiet', 'few/busy'], 0), 'lost')
    })

    test('what is older than the rule says is lost, swept or not', async (t) => {
      for (const sweeps of [0, 3]) {
        const { log, clock } = await open(t)
        await append(log, 'short/a', '1')
        clock.advance(40_000)
        await append(log, 'short/a', '2')
        await append(log, 'kept/a', '3')
        clock.advance(40_000)
        for (let i = 0; i < sweeps; i++) log.sweep()
        assert.equal(await read(log, ['short/a'], 0), 'lost')
        assert.deepEqual(offsets(await read(log, ['short/a', 'kept/a'], 1)), [2, 3])
      }
    })

    test('sweeping takes nothing that may still be kept', async (t) => {
      const { log, clock } = await open(t)
      for (let i = 1; i <= 20; i++) await append(log, `short/${i}`, String(i))
      clock.advance(60_000)
      for (let i = 0; i < 5; i++) log.sweep()
      assert.equal(offsets(await read(log, ['short/*'], 0)).length, 20)
    })

    test('what is appended while somebody reads makes no hole in what they read', async (t) => {
      const { log } = await open(t)
      for (let i = 1; i <= 50; i++) await append(log, 'kept/a', String(i))
      const history = log.read(interestIn(['kept/a']), { epoch: log.epoch, offset: 0 })
      assert.notEqual(history, 'lost')
      const got: number[] = []
      for await (const message of history as Iterable<Message>) {
        got.push(message.offset)
        if (got.length < 20) await append(log, 'kept/a', 'later')
      }
      assert.ok(got.length >= 50, `${got.length} of 50 messages came`)
      assert.deepEqual(got, got.map((_, i) => i + 1))
    })

    test('a loss is numbered like a message, and a read gives it in its place', async (t) => {
      const { log, clock } = await open(t)
      const lost = interestIn(['kept/a', 'other/*'])
      await append(log, 'kept/a', '1')
      clock.advance(50)
      const loss = await log.lose(lost)
      await append(log, 'kept/a', '3')
      assert.deepEqual(loss, { offset: 2, epoch: log.epoch, time: clock.now(), lost })
      const all = await readAll(log, ['kept/a'], 0)
      assert.deepEqual(places(all), ['1', 'lost 2', '3'])
      assert.deepEqual((all as readonly (Message | Lost)[])[1], loss)
      assert.deepEqual(places(await readAll(log, ['kept/a'], 1)), ['lost 2', '3'])
      assert.deepEqual(places(await readAll(log, ['kept/a'], 2)), ['3'])
    })

    test('a loss is given to whoever it may touch, and to nobody else, whether the topic is kept or not', async (t) => {
      const { log } = await open(t)
      await log.lose(interestIn(['kept/a', 'unkept', 'kept/x/*', 'raw/*.end']))
      for (const touched of ['kept/a', 'kept/*', 'unkept', 'un*', 'kept/x/1', 'kept/x/?', 'k*', '*/1', 'raw/1.end', '*.end', '*']) {
        assert.deepEqual(places(await readAll(log, [touched], 0)), ['lost 1'], touched)
      }
      for (const other of ['kept/b', 'kept/b*', 'unkept/a', 'few/*', 'raw/1', 'raw/*.start', 'other']) {
        assert.deepEqual(await readAll(log, [other], 0), [], other)
      }
    })

    test('appends and losses that come at once have their places in the order of the calls', async (t) => {
      const { log } = await open(t)
      const settled: number[] = []
      await Promise.all(Array.from({ length: 60 }, async (_, i) => {
        const one = await (i % 3 === 0 ? log.lose(interestIn(['kept/a'])) : append(log, i % 3 === 1 ? 'kept/a' : 'unkept', String(i)))
        assert.equal('lost' in one, i % 3 === 0)
        settled.push(one.offset)
      }))
      assert.deepEqual(settled, Array.from({ length: 60 }, (_, i) => i + 1))
      assert.equal(places(await readAll(log, ['kept/a'], 0)).length, 40)
    })

    test('the newest thousand losses are there, and a read from before those that are gone is lost, whoever asks', async (t) => {
      const { log } = await open(t)
      await append(log, 'kept/a', '1')
      for (let i = 2; i <= 1_501; i++) await log.lose(interestIn(['kept/b']))
      assert.equal(places(await readAll(log, ['kept/b'], 501)).length, 1_000)
      assert.deepEqual(await readAll(log, ['kept/a'], 501), [])
      const [touched, other] = [await readAll(log, ['kept/b'], 1), await readAll(log, ['kept/a'], 0)]
      if (touched !== 'lost') assert.equal(touched.length, 1_500)
      else assert.equal(other, 'lost', 'somebody who may have missed it is told that nothing is')
    })

    for (const round of [1, 2, 3]) {
      test(`whatever happens, a read is never partial (seed ${round})`, (t) => randomly(round, (parts) => create(parts, t)))
    }
  })
}

const TOPICS = ['kept/a', 'kept/b', 'few/a', 'few/b', 'short/a', 'short/b', 'unkept']
const INTERESTS = [['kept/a'], ['few/a'], ['short/a', 'few/b'], ['unkept', 'kept/b'], ['few/*'], ['*/a'], ['*']]

/** Does random things to a log and compares what it says with what was appended. */
async function randomly(seed: number, create: (parts: LogParts) => Log | Promise<Log>): Promise<void> {
  const random = createSeededRandom(seed)
  const clock = createManualClock()
  const log = await create({ rules: RULES, clock, random })
  const all: (Message | Lost)[] = []
  for (let step = 0; step < 1_000; step++) {
    const what = random.below(10)
    if (what === 0) all.push(await log.lose(interestIn([random.pick(TOPICS)])))
    else if (what < 6) all.push(await append(log, random.pick(TOPICS), `body ${step}`))
    else if (what === 6) clock.advance(random.below(8_000))
    else if (what === 7) log.sweep()
    else {
      const names = random.pick(INTERESTS)
      const after = random.below(log.head + 1)
      const wanted = interestIn(names)
      const got = await readAll(log, names, after)
      if (got === 'lost') continue
      const expected = all.filter((one) => one.offset > after && wants(wanted, 'lost' in one ? (one.lost.topics[0] as Topic) : one.topic))
      assert.deepEqual(places(got), places(expected), `step ${step}: ${names.join(' ')} after ${after}`)
      assert.deepEqual(got.map(({ offset }) => offset), expected.map(({ offset }) => offset))
    }
  }
  const last = log.head
  await append(log, 'kept/a', 'the last')
  assert.deepEqual(offsets(await read(log, ['kept/a'], last)), [last + 1], 'a log that answers "lost" to everything is none')
}

async function append(log: Log, topic: string, text: string): Promise<Message> {
  return log.append(draft(topicFromText(topic), Buffer.from(text), 'text/plain'))
}

async function read(log: Log, names: readonly string[], after: number): Promise<Message[] | 'lost'> {
  const history = await readAll(log, names, after)
  return history === 'lost' ? history : history.filter((one): one is Message => !('lost' in one))
}

async function readAll(log: Log, names: readonly string[], after: number): Promise<(Message | Lost)[] | 'lost'> {
  const has = log.has?.(interestIn(names), { epoch: log.epoch, offset: after })
  const history = log.read(interestIn(names), { epoch: log.epoch, offset: after })
  if (has !== undefined) assert.equal(has, history !== 'lost', `what it says it has of ${names.join(' ')} after ${after}`)
  return history === 'lost' ? 'lost' : Array.fromAsync<Message | Lost>(history)
}

/** Bodies as text; a loss stands with its offset. */
function places(entries: readonly (Message | Lost)[] | 'lost'): string[] {
  assert.notEqual(entries, 'lost', 'the read is lost')
  return (entries as readonly (Message | Lost)[]).map((one) => ('lost' in one ? `lost ${one.offset}` : one.body.toString()))
}

function offsets(messages: readonly Message[] | 'lost'): number[] {
  assert.notEqual(messages, 'lost', 'the read is lost')
  return (messages as readonly Message[]).map((message) => message.offset)
}
