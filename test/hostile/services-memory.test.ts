import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { limitsWith } from '../../src/core/limits.ts'
import { writeExtension } from '../../src/protocol/erps/extension.ts'
import type { PacketType } from '../../src/protocol/erps/messages.ts'
import { KEEPALIVE } from '../../src/protocol/erps/packet.ts'
import { createPacketReader } from '../../src/protocol/erps/reader.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { createPools } from '../../src/services/pools.ts'
import { createWorkerNames } from '../../src/services/worker-names.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { packetBytes } from '../support/erps-client.ts'
import { until } from '../support/events.ts'
import { hostileHub, type HostileHub } from '../support/hostile-services.ts'
import { buffersUsed, heapUsed } from '../support/memory.ts'
import { raw } from '../support/raw.ts'

// What callers and workers cost a hub, whatever they do.

const MIB = 1_048_576
const NIL = Buffer.of(131, 106)
const NONCE = Buffer.alloc(16, 9)
/** What a hub throws away, as much as is read at once. */
const BALLAST = Buffer.concat(Array.from({ length: 7_000 }, () => KEEPALIVE))

/** Somebody at the other end who keeps nothing but counts, so that all that grows is the hub's. */
interface Counter {
  /** Settles when the network has taken it, or is gone. */
  send(bytes: Buffer): Promise<void>
  readonly isOver: boolean
  readonly counts: Partial<Record<PacketType, number>>
}

async function counter(t: TestContext, hub: HostileHub): Promise<Counter> {
  const { socket } = await raw(t, hub.port)
  const reader = createPacketReader({ maxBytes: MIB })
  const counts: Counter['counts'] = {}
  socket.removeAllListeners('data').on('data', (chunk: Buffer) => {
    for (const { type } of reader.push(chunk)) counts[type] = (counts[type] ?? 0) + 1
  })
  return {
    counts,
    get isOver() { return socket.destroyed },
    send: (bytes) => new Promise((resolve) => void socket.write(bytes, () => resolve())),
  }
}

async function worker(t: TestContext, hub: HostileHub, service = 'math'): Promise<Counter> {
  const one = await counter(t, hub)
  await one.send(packetBytes('keepalive', Buffer.concat([NIL, writeExtension({ kind: 'hello', nonce: NONCE, work: { service, slots: 4_294_967_295 } })])))
  await until(() => one.counts.reply === 1, 'the welcome')
  return one
}

function callBytes(ref: number, request: Term = 0): Buffer {
  return packetBytes('call', encode(new Tuple(ref, request)), { identifier: 'math' })
}

async function growth(act: () => Promise<void>): Promise<{ readonly heap: number; readonly buffers: number }> {
  const before = { buffers: await buffersUsed(), heap: heapUsed() }
  await act()
  return { buffers: await buffersUsed() - before.buffers, heap: heapUsed() - before.heap }
}

test('maxCallsPerConnection: of 200,000 calls that nobody answers the hub keeps those that one connection may have, to one worker with four billion slots', async (t) => {
  const hub = await hostileHub(t, { callTimeout: 600_000, drainTime: 0 })
  const [slow, caller] = [await worker(t, hub), await counter(t, hub)]
  await caller.send(packetBytes('keepalive', Buffer.concat([NIL, writeExtension({ kind: 'hello', nonce: NONCE, work: undefined })])))
  const grown = await growth(async () => {
    for (let sent = 0; sent < 200_000; sent += 10_000) {
      await caller.send(Buffer.concat(Array.from({ length: 10_000 }, (_, i) => callBytes(sent + i))))
      await until(() => (caller.counts.error ?? 0) === sent, 'the refusals')
    }
    await until(() => slow.counts.call === 10_000, 'all calls that there may be')
  })
  assert.equal(await hub.gauge('waystation_calls{state="running"}'), 10_000)
  assert.ok(grown.heap < 60 * MIB && grown.buffers < 10 * MIB, JSON.stringify(grown))
})

test('a small call or cast that came among much else keeps nothing of that while it waits', async (t) => {
  const hub = await hostileHub(t, { callTimeout: 600_000, drainTime: 0 })
  const [slow, caller] = [await worker(t, hub), await counter(t, hub)]
  const grown = await growth(async () => {
    for (let ref = 0; ref < 300; ref++) await caller.send(Buffer.concat([callBytes(ref), BALLAST]))
    await until(() => slow.counts.call === 300, 'all calls')
  })
  assert.ok(grown.buffers < 4 * MIB, JSON.stringify(grown))
})

test('a small answer that came among much else keeps nothing of that while it waits for a slow caller', async (t) => {
  const hub = await hostileHub(t, { drainTime: 0 })
  const [slow, caller] = [await worker(t, hub), await counter(t, hub)]
  const grown = await growth(async () => {
    await caller.send(Buffer.concat(Array.from({ length: 300 }, (_, ref) => callBytes(ref))))
    await until(() => slow.counts.call === 300, 'all calls')
    for (let ref = 0; ref < 300; ref++) await slow.send(Buffer.concat([packetBytes('reply', encode(new Tuple(0, ref))), BALLAST]))
    await until(async () => await hub.gauge('waystation_calls{state="running"}') === 0, 'all answers')
    // To an original there go 8 in a second.
    assert.ok((caller.counts.reply ?? 0) < 250)
  })
  assert.ok(grown.buffers < 4 * MIB, JSON.stringify(grown))
})

test('a small call that is refused among much else keeps nothing of that while its refusal waits', async (t) => {
  const hub = await hostileHub(t, { maxCallsPerConnection: 1, callTimeout: 600_000, drainTime: 0 })
  const [, caller] = [await worker(t, hub), await counter(t, hub)]
  const grown = await growth(async () => {
    for (let ref = 0; ref < 300; ref++) await caller.send(Buffer.concat([callBytes(ref), BALLAST]))
    await until(() => (caller.counts.error ?? 0) > 0, 'the first refusal')
  })
  assert.ok(grown.buffers < 4 * MIB, JSON.stringify(grown))
})

test('ten thousand workers of one name, or of as many names, cost each no more than one, and leave nothing behind', () => {
  const [names, pools] = [createWorkerNames(), createPools({ clock: createManualClock(), random: { next: () => 0 }, limits: limitsWith() })]
  const callee = { call: () => () => {}, cast: () => true }
  // A function of its own: what it held is gone with it.
  function comeAndGo(nameOf: (i: number) => string): void {
    const here = Array.from({ length: 10_000 }, (_, i) => {
      const { name, release } = names.take(nameOf(i))
      return { name, release, member: pools.join(nameOf(i), { id: name, slots: 4_294_967_295, callee }) }
    })
    assert.equal(new Set(here.map(({ name }) => name)).size, 10_000)
    for (const { release, member } of here) {
      member.gone()
      release()
    }
  }
  const before = heapUsed()
  comeAndGo(() => 'math')
  comeAndGo((i) => `math${i}`)
  assert.deepEqual([pools.views.length, names.take('math').name], [0, 'math 1'])
  assert.ok(heapUsed() - before < 8 * MIB)
})

test('a size that is only claimed costs nothing', async (t) => {
  const hub = await hostileHub(t)
  const liars = await Promise.all(Array.from({ length: 50 }, () => counter(t, hub)))
  const head = packetBytes('call', Buffer.alloc(5_000)).subarray(0, 3_000)
  head.writeUInt32BE(67_108_768, 4)
  const grown = await growth(async () => {
    await Promise.all(liars.map((liar) => liar.send(head)))
    // Somebody whose packets come behind theirs has been answered.
    const other = await hub.caller('nobody')
    other.call(1, 0)
    await other.next()
  })
  assert.ok(grown.buffers < 4 * MIB, JSON.stringify(grown))
  assert.ok(liars.every(({ isOver }) => !isOver))
})
