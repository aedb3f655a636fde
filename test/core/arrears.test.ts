import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Ledger, type Arrears, type Debtor } from '../../src/core/arrears.ts'
import { createFanOut, type Encoder, type FanOut, type Member } from '../../src/core/fan-out.ts'
import type { Message } from '../../src/core/message.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createTurn } from '../../src/core/turn.ts'
import { createManualClock, createRecordingSink, type ManualClock, type RecordingSink } from '../../src/testing/index.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** How often a debtor was asked and written to. */
interface Touched extends RecordingSink {
  readonly calls: string[]
}

function touched(sink: RecordingSink): Touched {
  const calls: string[] = []
  return Object.create(sink, {
    calls: { value: calls },
    pendingBytes: { get: () => (calls.push('pendingBytes'), sink.pendingBytes) },
    write: { value: (chunk: Buffer) => (calls.push('write'), sink.write(chunk)) },
    room: { value: () => (calls.push('room'), sink.room()) },
  }) as Touched
}

/** One that has had enough with the first byte. */
function stalled(): RecordingSink {
  const sink = createRecordingSink(0, undefined, 0)
  sink.stall()
  return sink
}

interface Books {
  readonly ledger: Ledger<RecordingSink>
  readonly log: string[]
  /** Adds one that is behind. */
  debtor(name: string): RecordingSink
}

function openBooks(): Books {
  const log: string[] = []
  const names = new Map<Debtor, string>()
  const ledger = new Ledger<RecordingSink>({
    level: (one) => void log.push(`${names.get(one)} is level`),
    paid: (messages) => void log.push(`${messages} paid`),
  })
  return {
    ledger,
    log,
    debtor(name) {
      const sink = stalled()
      names.set(sink, name)
      sink.write(Buffer.from('first;'))
      ledger.add(sink)
      return sink
    },
  }
}

const letters: Encoder = {
  size: ({ body }) => body.length,
  write: ({ body }, into, at) => at + body.copy(into, at),
  gap: () => undefined,
}

function createWorld(maxPendingBytes: number, encoder = letters): { fanOut: FanOut; clock: ManualClock; log: string[]; publish(body: string | Buffer): void } {
  const clock = createManualClock()
  const log: string[] = []
  const events = {
    delivered: (deliveries: number, seconds: number | undefined) => void log.push(`delivered ${deliveries}${seconds === undefined ? ' late' : ''}`),
    slow: () => void log.push('slow'), lost: (receivers: number) => void log.push(`lost to ${receivers}`), empty: () => void log.push('empty'),
  }
  const fanOut = createFanOut({ encoder, turn: createTurn(clock), clock, maxPendingBytes, events })
  let offset = 0
  return {
    fanOut, clock, log,
    publish(body) {
      const message: Message = { topic: topicFromText('t'), body: Buffer.from(body as string), contentType: '', text: true, offset: ++offset, epoch: 'e', time: 0 }
      fanOut.deliver(message)
      clock.endTurn()
    },
  }
}

test('each gets what it is owed from where it stands, in order, once, and is level when it has everything and takes more', () => {
  const { ledger, log, debtor } = openBooks()
  ledger.owe(Buffer.from('for nobody;'), 1)
  const one = debtor('one')
  ledger.owe(Buffer.from('a;'), 1)
  const other = debtor('other')
  ledger.owe(Buffer.from('b;'), 2)
  assert.deepEqual([one.pendingBytes, other.pendingBytes], [6 + 4, 6 + 2])
  one.take()
  assert.deepEqual([one.text(), log.splice(0), ledger.size], ['first;a;b;', ['3 paid', 'one is level'], 1])
  ledger.owe(Buffer.from('c;'), 1)
  other.take()
  assert.deepEqual([one.text(), other.text()], ['first;a;b;', 'first;b;c;'])
  assert.deepEqual([log, ledger.size, one.arrears, other.arrears], [['3 paid', 'other is level'], 0, undefined, undefined])
})

test('one that has enough again on the way stays behind, and goes on from there', () => {
  const { ledger, log, debtor } = openBooks()
  const one = debtor('one')
  const got: number[] = []
  one.write = (chunk) => (got.push(chunk[0] as number), false)
  for (let i = 0; i < 3; i++) ledger.owe(Buffer.alloc(60_000, i), 1)
  const { arrears } = one
  for (const left of [120_000, 60_000, 0]) {
    arrears?.drained()
    assert.deepEqual([arrears?.bytes, one.arrears], [left, arrears])
  }
  assert.deepEqual([got, log.splice(0)], [[0, 1, 2], ['1 paid', '1 paid', '1 paid']])
  arrears?.drained()
  assert.deepEqual([got, log, ledger.size], [[0, 1, 2], ['one is level'], 0])
})

test('many small writes go out together, where the connection can', () => {
  const { ledger, debtor } = openBooks()
  const together: number[] = []
  const one = Object.assign(debtor('one'), { writeAll: (chunks: readonly Buffer[]) => (together.push(chunks.length), true) })
  for (let i = 0; i < 100; i++) ledger.owe(Buffer.alloc(2_000), 1)
  one.take()
  assert.deepEqual(together, [32, 32, 32, 4])
})

test('short writes are put together, however many there are, and each is counted', () => {
  const { ledger, log, debtor } = openBooks()
  const one = debtor('one')
  for (let i = 0; i < 30_000; i++) ledger.owe(Buffer.from(String(i % 10)), 1)
  one.take()
  assert.equal(one.bytes().toString().slice('first;'.length), '0123456789'.repeat(3_000))
  assert.ok(one.chunks.length < 10, `${one.chunks.length} writes`)
  assert.equal(log.reduce((sum, line) => sum + (line.endsWith(' paid') ? Number.parseInt(line) : 0), 0), 30_000)
})

test('where somebody stands, nothing is put behind the write that he has had', () => {
  const { ledger, debtor } = openBooks()
  const early = debtor('early')
  ledger.owe(Buffer.from('a'), 1)
  const late = debtor('late')
  ledger.owe(Buffer.from('b'), 1)
  ledger.owe(Buffer.from('c'), 1)
  early.take()
  late.take()
  assert.deepEqual([early, late].map((one) => one.bytes().toString()), ['first;abc', 'first;bc'])
})

test('before a goodbye everything goes out, enough or not, and nothing is owed from then on', () => {
  const { ledger, log, debtor } = openBooks()
  const one = debtor('one')
  for (let i = 0; i < 3; i++) ledger.owe(Buffer.alloc(60_000, 0x30 + i), 1)
  one.arrears?.settle()
  assert.equal(one.bytes().toString().replace(/(.)\1+/g, '$1'), 'first;012')
  assert.deepEqual([ledger.size, one.arrears, log], [0, undefined, ['3 paid', 'one is level']])
})

test('one that leaves is owed nothing, and leaving twice is leaving once', () => {
  const { ledger, debtor } = openBooks()
  const one = debtor('one')
  ledger.owe(Buffer.from('a;'), 1)
  assert.deepEqual([ledger.remove(one), ledger.remove(one), one.arrears, one.text()], [true, false, undefined, 'first;'])
})

test('the bound is exact: those who have more than it waiting, their own bytes and those owed together, whenever they fell behind', () => {
  for (const [bound, late] of [[27, []], [26, ['one']], [17, ['one']], [16, ['one', 'other']], [5, ['one', 'other', 'third']]] as const) {
    const { ledger, debtor } = openBooks()
    const one = debtor('one')
    ledger.owe(Buffer.alloc(10), 1)
    assert.deepEqual(ledger.over(16), [])
    const other = debtor('other')
    ledger.owe(Buffer.alloc(11), 1)
    const third = debtor('third')
    const found = ledger.over(bound)
    assert.deepEqual([['one', one], ['other', other], ['third', third]].filter(([, sink]) => found.includes(sink as RecordingSink)).map(([name]) => name), late)
  }
})

test('what one that is behind has taken does not count, and what is owed is counted anew when nobody is behind', () => {
  const { ledger, debtor } = openBooks()
  const one = debtor('one')
  ledger.owe(Buffer.alloc(10), 1)
  one.write = () => false
  one.take()
  assert.deepEqual(ledger.over(0), [])
  ledger.owe(Buffer.alloc(10), 1)
  assert.deepEqual(ledger.over(10), [])
  ledger.owe(Buffer.alloc(1), 1)
  assert.deepEqual(ledger.over(11), [])
  assert.deepEqual(ledger.over(10), [one])
  ledger.remove(one)
  const other = debtor('other')
  ledger.owe(Buffer.alloc(1), 1)
  assert.deepEqual(ledger.over(7), [])
  assert.deepEqual(ledger.over(6), [other])
})

test('one that does not read costs nothing for each message, until it may be over the bound', () => {
  const { fanOut, publish } = createWorld(1_000)
  const [slow, quick] = [touched(stalled()), createRecordingSink()]
  fanOut.add(slow)
  fanOut.add(quick)
  publish('x')
  slow.calls.length = 0
  for (let i = 0; i < 1_000; i++) publish('x')
  assert.deepEqual(slow.calls, [])
  assert.equal(quick.bytes().length, 1_001)
  publish('x')
  assert.deepEqual([slow.evicted, fanOut.count, slow.arrears], [true, 1, undefined])
  slow.calls.length = 0
  publish('x')
  assert.deepEqual(slow.calls, [], 'nothing is left of it')
})

test('what went out late is told as delivered then, and without a time', () => {
  const { fanOut, publish, log } = createWorld(1_000)
  const slow = stalled()
  fanOut.add(slow)
  for (const body of ['a', 'b', 'c']) publish(body)
  assert.deepEqual(log.splice(0), ['delivered 1'])
  slow.take()
  assert.deepEqual([log.splice(0), slow.text()], [['delivered 2 late'], 'abc'])
  publish('d')
  assert.deepEqual([log, slow.text()], [['delivered 1'], 'abcd'])
})

test('of a loss that the protocol has no word for, one that is behind hears when it goes, behind all that it was owed', () => {
  const { fanOut, publish, log } = createWorld(1_000)
  const slow = stalled()
  fanOut.add(slow)
  for (const body of ['a', 'b']) publish(body)
  const [from, to] = [{ epoch: 'e', offset: 2 }, { epoch: 'e', offset: 3 }]
  fanOut.gap(from, to, { topics: [topicFromText('t')], patterns: [] })
  assert.deepEqual([slow.text(), slow.goneFor], ['ab', 'gap: messages are lost; live is at e:3'])
  assert.deepEqual(log, ['delivered 1', 'delivered 1 late', 'empty', 'lost to 1'])
})

test('one that can neither be told of a loss nor be sent away stays, also when it is behind', () => {
  const { fanOut, publish, log } = createWorld(1_000)
  const one: Member = { slot: -1, pendingBytes: 0, write: () => false, room: () => undefined, evict() {} }
  fanOut.add(one)
  publish('a')
  fanOut.gap({ epoch: 'e', offset: 1 }, { epoch: 'e', offset: 2 }, { topics: [topicFromText('t')], patterns: [] })
  assert.deepEqual([fanOut.count, log], [1, ['delivered 1']])
})

test('those who are let go for being slow are not counted as told of a loss', () => {
  const { fanOut, publish, log } = createWorld(3, { ...letters, gap: () => Buffer.from('gap') })
  fanOut.add(stalled())
  publish('aa')
  publish('bb')
  log.length = 0
  fanOut.gap({ epoch: 'e', offset: 2 }, { epoch: 'e', offset: 3 }, { topics: [topicFromText('t')], patterns: [] })
  assert.deepEqual(log, ['empty', 'slow'])
})

/** Whether the memory of each of these is still there. */
async function alive(refs: readonly WeakRef<ArrayBufferLike>[]): Promise<boolean[]> {
  // What was looked at in this turn is kept until its end.
  await new Promise((resolve) => setImmediate(resolve))
  collect()
  return refs.map((ref) => ref.deref() !== undefined)
}

/** Is owed to those who are behind, and to nobody else known. */
function owe(ledger: Ledger<Debtor>): WeakRef<ArrayBufferLike> {
  const buffer = Buffer.allocUnsafeSlow(1_000)
  ledger.owe(buffer, 1)
  return new WeakRef(buffer.buffer)
}

/** It takes what it gets, and keeps nothing of it. `takes` says whether it takes more. */
function forgetful(): Debtor & { takes: boolean } {
  const debtor = { pendingBytes: 0, takes: false, arrears: undefined as Arrears | undefined, write: () => debtor.takes, room: () => undefined, evict() {} }
  return debtor
}

test('the memory of a write is let go with the last who waits for it', async () => {
  const ledger = new Ledger<Debtor>({ level() {}, paid() {} })
  const debtors = [forgetful(), forgetful(), forgetful()] as const
  const refs = debtors.map((debtor) => {
    ledger.add(debtor)
    return owe(ledger)
  })
  assert.deepEqual(await alive(refs), [true, true, true])
  debtors[0].arrears?.drained()
  assert.deepEqual(await alive(refs), [false, true, true], 'the others came later')
  ledger.remove(debtors[1])
  debtors[2].arrears?.drained()
  assert.deepEqual([await alive(refs), ledger.size], [[false, false, false], 2], 'they have had everything, and are behind still')
  refs.push(owe(ledger))
  debtors[0].arrears?.settle()
  ledger.remove(debtors[2])
  assert.deepEqual((await alive(refs)).at(-1), false)
})

test('what is owed keeps no more memory than its own', () => {
  const { ledger, debtor } = openBooks()
  const one = debtor('one')
  const [pooled, alone] = [Buffer.from('a slice of the pool'), Buffer.allocUnsafeSlow(2_048)]
  ledger.owe(pooled, 1)
  ledger.owe(alone, 1)
  one.take()
  const [, first, second] = one.chunks
  assert.deepEqual([first?.toString(), first?.buffer.byteLength], [pooled.toString(), pooled.length])
  assert.equal(second, alone, 'nothing is copied without need')
})
