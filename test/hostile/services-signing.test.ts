import assert from 'node:assert/strict'
import { duplexPair, type Duplex } from 'node:stream'
import { test } from 'node:test'
import type { Work } from '../../src/protocol/erps/messages.ts'
import { KEY_AT } from '../../src/protocol/erps/packet.ts'
import { createPacketReader } from '../../src/protocol/erps/reader.ts'
import type { SigningOptions } from '../../src/services/signing.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { bytesOf, callOf, castOf, NIL, openEnd, openRaw, replyOf, type End } from '../support/services.ts'

// Two ends that sign, and somebody between them who reads and changes whatever he likes, but has no key.

const KEYS: SigningOptions = { keys: [{ id: 'zone', secret: Buffer.from('a secret of the zone') }] }
const OTHERS: SigningOptions = { keys: [{ id: 'zone', secret: Buffer.from('another secret, same name') }] }
const HEAD_BYTES = 96

/** What the one in the middle makes of a packet: what goes on instead. `n` counts those of this way, from 0. */
type Meddle = (packet: Buffer, n: number) => readonly Buffer[]
const honest: Meddle = (packet) => [packet]

interface Middle {
  readonly client: End
  readonly server: End
  /** All that was sent, as it was sent. */
  readonly up: Buffer[]
  readonly down: Buffer[]
  /** What the server has taken, as text. */
  taken(): string[]
  pass(ms: number): Promise<void>
}

function meet({ up = honest, down = honest, work, keys = KEYS }: { up?: Meddle; down?: Meddle; work?: Work; keys?: SigningOptions } = {}): Middle {
  const clock = createManualClock()
  const [[near, nearEnd], [farEnd, far]] = [duplexPair(), duplexPair()]
  const seen = { up: [] as Buffer[], down: [] as Buffer[] }
  const relay = (from: Duplex, to: Duplex, meddle: Meddle, all: Buffer[]): void => {
    const reader = createPacketReader({ maxBytes: 1 << 20 })
    from.on('data', (chunk: Buffer) => {
      for (const { bytes } of reader.push(chunk)) {
        all.push(Buffer.from(bytes))
        for (const packet of meddle(Buffer.from(bytes), all.length - 1)) to.write(packet)
      }
    })
    from.on('end', () => void to.end())
    for (const one of [from, to]) one.on('error', () => {})
  }
  relay(nearEnd, farEnd, up, seen.up)
  relay(farEnd, nearEnd, down, seen.down)
  const server = openEnd(far, 'acceptor', clock, { signing: KEYS })
  const client = openEnd(near, 'connector', clock, { signing: keys, ...(work !== undefined && { work }) })
  return {
    client, server, ...seen,
    taken: () => server.packets.map(({ packet }) => packet.payload.toString('latin1').replaceAll(/[^\w ]/g, '')),
    async pass(ms) {
      await clock.settle()
      for (let left = ms; left > 0; left -= 10) {
        clock.advance(10)
        await clock.settle()
      }
    },
  }
}

/** What becomes of three calls, one after the other, where somebody does this to their packets. `first`: how many go before them. */
async function threeCalls(meddle: (call: Buffer, n: number, all: readonly Buffer[]) => readonly Buffer[]): Promise<{ taken: string[]; ending: string; middle: Middle }> {
  const calls: Buffer[] = []
  const middle = meet({ up: (packet) => (packet[8] === 4 ? meddle(packet, calls.push(packet) - 1, calls) : [packet]) })
  await middle.pass(20)
  for (const ref of [0, 1, 2]) {
    middle.client.connection.send('call', callOf(ref, `call ${ref}`))
    await middle.pass(10)
  }
  return { taken: middle.taken().map((text) => /call \d/.exec(text)?.[0] ?? text), ending: middle.server.endings.map(({ why, detail }) => `${why}: ${detail}`).join(), middle }
}

function changed(packet: Buffer, at: number): Buffer {
  const other = Buffer.from(packet)
  other[at] = (other[at] as number) ^ 1
  return other
}

test('what nobody has touched is taken, both ways', async () => {
  const { taken, ending, middle } = await threeCalls((call) => [call])
  middle.server.connection.send('reply', replyOf('done', 1))
  await middle.pass(20)
  assert.deepEqual([taken, ending, middle.client.packets.length], [['call 0', 'call 1', 'call 2'], '', 1])
})

test('a packet that is repeated, left out, put behind another, changed, or without its signature ends the connection, and nothing of it is done', async () => {
  const cases: Record<string, Parameters<typeof threeCalls>[0]> = {
    repeated: (call, n) => (n === 1 ? [call, call] : [call]),
    'repeated later': (call, n, all) => (n === 2 ? [all[0] as Buffer, call] : [call]),
    'left out': (call, n) => (n === 1 ? [] : [call]),
    'put behind another': (call, n, all) => (n === 1 ? [] : n === 2 ? [call, all[1] as Buffer] : [call]),
    'of another type': (call, n) => (n === 1 ? [withType(call, 8)] : [call]),
    'with another identifier': (call, n) => (n === 1 ? [changed(call, 12)] : [call]),
    'with another request': (call, n) => (n === 1 ? [changed(call, call.length - 1)] : [call]),
    'under another key': (call, n) => (n === 1 ? [changed(call, KEY_AT)] : [call]),
    'with another signature': (call, n) => (n === 1 ? [changed(call, HEAD_BYTES - 1)] : [call]),
    'without a signature': (call, n) => (n === 1 ? [Buffer.concat([call.subarray(0, KEY_AT), Buffer.alloc(HEAD_BYTES - KEY_AT), call.subarray(HEAD_BYTES)])] : [call]),
    'behind what is made up': (call, n) => (n === 1 ? [withType(changed(call, 100), 0), call] : [call]),
  }
  for (const [what, meddle] of Object.entries(cases)) {
    const { taken, ending } = await threeCalls(meddle)
    assert.ok(taken.every((text, at) => text === `call ${at}`) && taken.length < 3, `${what}: ${taken}`)
    assert.match(ending, /^refused: (wrong signature|authentication required)$/, what)
  }
})

function withType(packet: Buffer, type: number): Buffer {
  const other = Buffer.from(packet)
  other[8] = type
  return other
}

test('what one end has said is not taken back from it, in either direction', async () => {
  const reflected = meet({ up: (packet, n) => (n === 3 ? [reflected.down.at(-1) as Buffer] : [packet]) })
  await reflected.pass(20)
  reflected.client.connection.send('call', callOf(1, 'x'))
  await reflected.pass(20)
  reflected.server.connection.send('reply', replyOf('x', 1))
  await reflected.pass(20)
  reflected.client.connection.send('call', callOf(2, 'x'))
  await reflected.pass(20)
  assert.deepEqual(reflected.server.endings.map(({ why }) => why), ['refused'])
  const back = meet({ down: (packet, n) => (n === 1 ? [withType(back.up.at(-1) as Buffer, 2)] : [packet]) })
  await back.pass(20)
  back.client.connection.send('call', callOf(1, 'x'))
  await back.pass(20)
  back.server.connection.send('reply', replyOf('x', 1))
  await back.pass(20)
  assert.deepEqual([back.client.packets, back.client.endings.map(({ why }) => why)], [[], ['refused']])
})

test('without the hello or the welcome, or with those of a stranger, nothing is said but that a signature is missing', async () => {
  const bare = (packet: Buffer): Buffer => {
    const cut = Buffer.from(packet.subarray(0, packet.indexOf('WySt')))
    cut.writeUInt32BE(cut.length - HEAD_BYTES, 4)
    return cut
  }
  const cases = [
    meet({ up: (packet, n) => (n === 0 ? [bare(packet)] : [packet]) }),
    meet({ up: (packet, n) => (n === 0 ? [] : [packet]) }),
    meet({ down: (packet, n) => (n === 0 ? [bare(packet)] : [packet]) }),
    meet({ up: (packet, n) => (n === 0 ? [changed(packet, packet.indexOf('WySt') + 10)] : [packet]) }),
    meet({ down: (packet, n) => (n === 0 ? [changed(packet, packet.indexOf('WySt') + 10)] : [packet]) }),
    meet({ keys: OTHERS }),
  ]
  for (const [at, middle] of cases.entries()) {
    middle.client.connection.send('call', callOf(1, 'a secret'))
    await middle.pass(6_000)
    assert.deepEqual([middle.taken(), middle.up.some((packet) => packet.includes('a secret'))], [[], false], String(at))
    assert.ok(middle.client.connection.isOver && middle.server.connection.isOver, String(at))
  }
})

test('who repeats a conversation that he has heard is not taken for whoever has had it: neither his calls nor his offer of work', async () => {
  for (const work of [undefined, { service: 'math', slots: 5 }]) {
    const heard = meet(work === undefined ? {} : { work })
    await heard.pass(20)
    if (work === undefined) heard.client.connection.send('cast', castOf('pay'))
    await heard.pass(20)
    assert.deepEqual(heard.server.shown, [work === undefined ? 'client' : 'math 5'])
    const clock = createManualClock()
    const [far, near] = duplexPair()
    const server = openEnd(far, 'acceptor', clock, { signing: KEYS })
    const thief = openRaw(near, clock)
    thief.write(heard.up[0] as Buffer)
    await clock.settle()
    // He could not answer calls, but each that he got would be lost.
    assert.deepEqual([server.shown, server.packets], [[], []])
    for (const packet of heard.up.slice(1)) thief.write(packet)
    await clock.settle()
    clock.advance(6_000)
    await clock.settle()
    assert.deepEqual([server.shown, server.packets, server.connection.isOver], [[], [], true])
  }
})

test('who says hello again with what he has heard, and nothing more, has the time of a handshake', async () => {
  const heard = meet()
  await heard.pass(20)
  const clock = createManualClock()
  const [far, near] = duplexPair()
  const server = openEnd(far, 'acceptor', clock, { signing: KEYS, limits: { serviceHandshakeTimeout: 700 } })
  const thief = openRaw(near, clock)
  thief.write(heard.up[0] as Buffer)
  for (let ms = 0; ms < 800; ms += 50) {
    clock.advance(50)
    await clock.settle()
    thief.write(Buffer.from('657270730000000000', 'hex'))
  }
  assert.deepEqual(server.endings.map(({ why }) => why), ['timeout'])
})

test('a stranger who knows the name of a key, and makes up the rest, is refused at his first packet, whatever that is', async () => {
  const sign = (packet: Buffer): Buffer => {
    packet.write('zone', KEY_AT, 'latin1')
    return packet.fill(7, HEAD_BYTES - 32, HEAD_BYTES)
  }
  const hello = { kind: 'hello', nonce: Buffer.alloc(16, 1), work: { service: 'math', slots: 1 } } as const
  for (const first of [bytesOf('call', callOf(1, 'x')), bytesOf('call', callOf(1, 'x'), hello), bytesOf('cast', castOf('x')), bytesOf('keepalive', [Buffer.of(131), NIL], hello), bytesOf('call', callOf(1, 'x'.repeat(600)), hello)]) {
    for (const packet of [first, sign(Buffer.from(first))]) {
      const clock = createManualClock()
      const [far, near] = duplexPair()
      const server = openEnd(far, 'acceptor', clock, { signing: KEYS })
      const stranger = openRaw(near, clock)
      stranger.write(packet)
      await clock.settle()
      assert.deepEqual([server.shown, server.packets, server.endings.map(({ why }) => why)], [[], [], ['refused']])
      assert.ok(stranger.packets.every(({ packet: { type, signature } }) => type === 'error' && signature.every((byte) => byte === 0)))
    }
  }
})
