import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import type { Arrears, Debtor } from '../core/arrears.ts'
import type { Sink } from '../core/ports.ts'
import { PATIENCE, within, type Patience } from './patience.ts'

export interface SinkUnderTest {
  readonly sink: Debtor
  /** Everything that the far end has got, once what is on its way has come: it waits until there are `length` bytes. */
  arrived(length: number): Promise<Buffer>
  /** The far end takes nothing from now on. */
  stall(): void
  /** It goes on taking. */
  take(): void
  /** The far end goes away. Settles when this end knows. */
  leave(): Promise<void>
  /** Settles when the connection has ended from here. */
  readonly ended: Promise<unknown>
}

/** What a sink promises beyond the contract. */
export interface SinkPromises {
  /**
   * Whether `write` gives false when the connection has enough, as a member of a fan-out may. It takes the chunk all the
   * same. From then on it says to its `arrears`, once there is room, that it takes more, counts what waits there as pending,
   * and lets it out before a goodbye. False when not stated.
   */
  readonly saysEnough?: boolean
}

/** What every `Sink`, the writing end of one connection, must do. */
export function sinkContract(
  name: string,
  create: (t: TestContext) => Promise<SinkUnderTest> | SinkUnderTest,
  { patience = PATIENCE, saysEnough = false }: Patience & SinkPromises = {},
): void {
  suite(`${name}, as a sink`, () => {
    test('what is written arrives whole and in order, and is not changed', async (t) => {
      const { sink, arrived } = await create(t)
      const chunks = Array.from({ length: 50 }, (_, i) => Buffer.from(`chunk ${i};`))
      const copies = chunks.map((chunk) => chunk.toString())
      for (const chunk of chunks) sink.write(chunk)
      const all = copies.join('')
      assert.equal((await arrived(all.length)).toString(), all)
      assert.deepEqual(chunks.map((chunk) => chunk.toString()), copies)
    })

    test('nothing is pending, and there is room, while the far end takes everything', async (t) => {
      const { sink, arrived } = await create(t)
      const takesMore = sink.write(Buffer.from('hello'))
      assert.ok(takesMore !== false || sink.pendingBytes > 0, 'it has enough, and nothing is pending')
      await arrived(5)
      assert.equal(sink.pendingBytes, 0)
      assert.equal(sink.room(), undefined)
    })

    test('what the far end does not take is pending, and room comes when it takes again', async (t) => {
      const { sink, stall, take } = await create(t)
      stall()
      const room = await fill(sink)
      assert.ok(sink.pendingBytes > 0)
      take()
      await within(room.promise, 'room', patience)
      assert.equal(sink.room(), undefined)
    })

    test('whoever waits for room is told when the connection is gone', async (t) => {
      const { sink, stall, leave } = await create(t)
      stall()
      const room = await fill(sink)
      await Promise.all([within(assert.rejects(room.promise), 'the end of the wait for room', patience), leave()])
    })

    test('after the end it neither throws nor offers room', async (t) => {
      const { sink, leave } = await create(t)
      await leave()
      sink.write(Buffer.from('late'))
      sink.evict()
      sink.evict()
      const room = sink.room()
      assert.ok(room !== undefined, 'there is room on a connection that is gone')
      await within(assert.rejects(room), 'the end of the wait for room', patience)
    })

    test('an evicted one gets what was pending, nothing more, and ends', async (t) => {
      const { sink, arrived, ended } = await create(t)
      sink.write(Buffer.from('before'))
      sink.evict()
      sink.write(Buffer.from('after'))
      await within(ended, 'the end of the connection', patience)
      const got = (await arrived(6)).toString('latin1')
      assert.ok(got.startsWith('before'), `"${got}" came`)
      assert.ok(!got.includes('after'), `"${got}" came`)
    })

    if (saysEnough) enoughContract(create, patience)
  })
}

function enoughContract(create: (t: TestContext) => Promise<SinkUnderTest> | SinkUnderTest, patience: number): void {
  test('one that has enough takes it all the same, and says when it takes more, not before', async (t) => {
    const { sink, arrived, stall, take } = await create(t)
    stall()
    const written = await writeUntilEnough(sink)
    const arrears = createArrears(7)
    const pending = sink.pendingBytes
    sink.arrears = arrears
    assert.equal(sink.pendingBytes, pending + 7, 'what waits elsewhere is pending')
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(arrears.calls, 0, 'it says that it takes more while nobody reads')
    take()
    await within(arrears.told, 'the word that it takes more', patience)
    sink.arrears = undefined
    assert.equal((await arrived(written)).length, written)
  })

  test('what waits elsewhere goes out before the goodbye, and nothing that is written later', async (t) => {
    const { sink, arrived, stall, take, ended } = await create(t)
    stall()
    const written = await writeUntilEnough(sink)
    sink.arrears = createArrears(4, () => {
      sink.arrears = undefined
      sink.write(Buffer.from('owed'))
    })
    sink.evict()
    sink.write(Buffer.from('after'))
    take()
    await within(ended, 'the end of the connection', patience)
    const got = (await arrived(written + 4)).subarray(written).toString('latin1')
    assert.ok(got.startsWith('owed'), `"${got}" came`)
    assert.ok(!got.includes('after'), `"${got}" came`)
  })
}

function createArrears(bytes: number, settle = (): void => {}): Arrears & { readonly calls: number; readonly told: Promise<void> } {
  const { promise: told, resolve } = Promise.withResolvers<void>()
  let calls = 0
  return {
    bytes,
    told,
    get calls() { return calls },
    drained() {
      calls++
      resolve()
    },
    settle,
  }
}

/** Gives the bytes that were written. */
async function writeUntilEnough(sink: Sink): Promise<number> {
  const chunk = Buffer.alloc(1_000_000, 0x2e)
  for (let i = 1; i <= 1_000; i++) {
    if (sink.write(chunk) === false) {
      assert.ok(sink.pendingBytes > 0, 'it has enough, and nothing is pending')
      return i * chunk.length
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.fail('it has never enough')
}

/** Writes until there is no more room, over several turns: a socket takes some before it is full. Gives the wait for room. */
async function fill(sink: Sink): Promise<{ promise: Promise<void> }> {
  const chunk = Buffer.alloc(1_000_000, 0x2e)
  for (let i = 0; i < 1_000; i++) {
    const promise = sink.room()
    // In an object, since the wait itself is not to be awaited here.
    if (promise !== undefined) return { promise }
    sink.write(chunk)
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.fail('there is room for a thousand megabytes that nobody takes')
}
