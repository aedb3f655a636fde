import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { suite, test } from 'node:test'
import { errorText, TERM, tuple2, writeText } from '../../src/protocol/erps/payload.ts'
import { writeExtension } from '../../src/protocol/erps/extension.ts'
import { KEEPALIVE, writePacket } from '../../src/protocol/erps/packet.ts'
import { contextOf, keyField } from '../../src/protocol/erps/signature.ts'
import { bareOf, bytesOf, callOf, castOf, HEAD, NIL, NO_BRAKE, openAgainst, openEnd, openPair, openRaw, replyOf, TCP_BRAKE } from '../support/services.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'

const KEYS = { keys: [{ id: 'new', secret: Buffer.alloc(32, 1) }, { id: 'old', secret: Buffer.alloc(32, 2) }] } as const
const OLD = { keys: [KEYS.keys[1]] } as const
const NONCE = Buffer.alloc(16, 9)

suite('whether the other end is a Waystation', () => {
  test('a client asks behind the term of its first packet, once', async () => {
    const { raw, end, pass } = openAgainst('connector')
    end.connection.send('cast', castOf('a'), { extension: { kind: 'terms', deadline: 5, times: 'once', key: undefined } })
    end.connection.send('cast', castOf('b'), { extension: { kind: 'terms', deadline: 5, times: 'once', key: undefined } })
    await pass(2_000)
    assert.deepEqual(raw.extensions().map((one) => one?.kind), ['hello', undefined])
    assert.ok(!end.connection.isWaystation)
  })

  test('before it knows whom it calls, a client says how it means a call where a hub would do something else', async () => {
    const { raw, end, pass } = openAgainst('connector', { brake: { gap: 0, calls: 'many' } })
    const usual = { kind: 'terms', deadline: 5_000, times: 'once', key: undefined } as const
    const meant = [usual, usual, { ...usual, deadline: 5_001 }, { ...usual, times: 'repeatable' }, { ...usual, key: Buffer.from('k') }] as const
    for (const [ref, extension] of meant.entries()) end.connection.send('call', callOf(ref, 'x'), { extension })
    await pass(0)
    const [first, second, ...said] = raw.extensions()
    assert.deepEqual([first?.kind === 'hello' && first.terms, second], [usual, undefined])
    assert.deepEqual(said, meant.slice(2))
  })

  test('a client that has nothing to say asks after a second, in a packet that an original takes for a keepalive', async () => {
    const { raw, pass } = openAgainst('connector')
    await pass(990)
    assert.equal(raw.packets.length, 0)
    await pass(100_000, 1_000)
    assert.deepEqual(raw.packets.map(({ packet }) => [packet.type, bareOf(packet)[0]]), [['keepalive', 106]])
    assert.deepEqual(raw.extensions().map((one) => one?.kind), ['hello'])
  })

  test('a first packet that was taken back takes the question along; the next one has it', async () => {
    const { raw, end, pass } = openAgainst('connector', { brake: { gap: 0, calls: 'many' } })
    assert.ok(end.connection.send('cast', castOf('a')).withdraw())
    end.connection.send('cast', castOf('b'))
    end.connection.send('cast', castOf('c'))
    await pass(0)
    assert.deepEqual(raw.extensions().map((one) => one?.kind), ['hello', undefined])
  })

  test('a server answers at once, before the packet is handed on, and before all that waits', async () => {
    const { raw, end, pass } = openAgainst('acceptor')
    for (const text of ['a', 'b', 'c']) end.connection.send('push', castOf(text))
    await pass(0)
    end.heard = () => end.connection.send('reply', replyOf('y', 1))
    raw.send('call', callOf(1, 'x'), { kind: 'hello', nonce: NONCE, work: undefined })
    raw.send('call', callOf(2, 'x'), { kind: 'hello', nonce: NONCE, work: undefined })
    await pass(0)
    assert.deepEqual(end.shown, ['client'])
    assert.deepEqual(raw.extensions().map((one) => one?.kind), [undefined, 'welcome', undefined, undefined, undefined, undefined])
    assert.deepEqual([...bareOf(raw.packets[1]?.packet as never).subarray(0, 4)], [104, 2, 106, 106])
    assert.deepEqual(end.packets.map(({ extension }) => extension), [undefined, undefined])
  })

  test('extensions of one who has not said hello mean nothing, and go to nobody who has not', async () => {
    const { raw, end, pass } = openAgainst('acceptor')
    raw.send('call', callOf(1, 'x'), { kind: 'terms', deadline: 7, times: 'once', key: undefined })
    raw.send('keepalive', [TERM, NIL], { kind: 'drain' })
    raw.send('reply', tuple2(NIL, NIL), { kind: 'welcome', nonce: NONCE })
    await pass(0)
    assert.deepEqual(end.packets.map(({ extension }) => extension), [undefined])
    assert.ok(!end.connection.isWaystation)
  })

  test('a welcome is none where nobody has said hello, and none from a client', async () => {
    const { raw, end, pass } = openAgainst('connector')
    raw.send('reply', tuple2(NIL, NIL), { kind: 'welcome', nonce: NONCE })
    await pass(0)
    assert.ok(!end.connection.isWaystation)
    assert.deepEqual(end.shown, [])
  })

  test('two Waystations hand extensions on, and what is compressed is not when it is handed on', async () => {
    const { connector, acceptor, pass } = openPair()
    connector.connection.send('cast', castOf('a'))
    await pass(20)
    connector.connection.send('call', callOf(1, 'x'), { extension: { kind: 'terms', deadline: 7, times: 'once', key: undefined } })
    connector.connection.send('keepalive', tuple2(Buffer.of(97, 1), NIL), { extension: { kind: 'cancel' } })
    const inflated = writeText('z'.repeat(100))
    const { deflateSync } = await import('node:zlib')
    connector.connection.send('cast', [Buffer.from('835000000069', 'hex'), deflateSync(inflated)], { extension: { kind: 'terms', deadline: 8, times: 'once', key: undefined } })
    await pass(0)
    assert.deepEqual(acceptor.packets.map(({ extension }) => extension), [undefined, { kind: 'terms', deadline: 7, times: 'once', key: undefined }, { kind: 'cancel' }, { kind: 'terms', deadline: 8, times: 'once', key: undefined }])
    assert.equal(errorText(bareOf(acceptor.packets[3]?.packet as never)), 'z'.repeat(100))
    assert.equal(acceptor.packets[1]?.packet.payload.length, Buffer.concat(callOf(1, 'x')).length)
  })

  test('a worker asks at once, and is the one that answers', async () => {
    const { connector, acceptor, pass } = openPair({ work: { service: 'resize', slots: 4 } })
    await pass(0)
    assert.deepEqual(acceptor.shown, ['resize 4'])
    acceptor.connection.send('call', callOf(1, 'x'))
    acceptor.connection.send('cast', castOf('y'))
    await pass(0)
    assert.deepEqual(connector.packets.map(({ packet }) => packet.type), ['call', 'cast'])
    connector.connection.send('reply', replyOf('z', 1))
    connector.connection.send('keepalive', [TERM, NIL], { extension: { kind: 'drain' } })
    await pass(0)
    assert.deepEqual(acceptor.packets.map(({ packet, extension }) => [packet.type, extension?.kind]), [['reply', undefined], ['keepalive', 'drain']])
    connector.connection.send('call', callOf(1, 'x'))
    await pass(0)
    assert.deepEqual(acceptor.endings.map(({ why }) => why), ['bad_packet'])
  })

  test('a worker that is refused hears it, and one that is not answered gives up in time', async () => {
    const refused = openPair({ work: { service: 'resize', slots: 4 } }, { judge: () => 'wrong identifier' })
    await refused.pass(0)
    assert.deepEqual(refused.connector.endings, [{ why: 'refused', detail: 'wrong identifier' }])
    const forbidden = openPair({ work: { service: 'resize', slots: 4 } })
    await forbidden.pass(0)
    forbidden.acceptor.connection.send('error', castOf('forbidden'))
    await forbidden.pass(0)
    assert.deepEqual(forbidden.connector.endings, [{ why: 'refused', detail: 'forbidden' }])
    const { end, pass } = openAgainst('connector', { work: { service: 'resize', slots: 4 }, limits: { serviceHandshakeTimeout: 500 } })
    await pass(490)
    assert.deepEqual(end.endings, [])
    await pass(10)
    assert.deepEqual(end.endings.map(({ why }) => why), ['timeout'])
  })
})

suite('signs of life between Waystations', () => {
  const QUICK = { limits: { serviceKeepalive: 100, serviceDeadline: 350 } }

  test('both ends give them, and stay', async () => {
    const { connector, acceptor, pass } = openPair(QUICK, QUICK)
    connector.connection.send('cast', castOf('a'))
    await pass(5_000, 50)
    assert.deepEqual([connector.endings, acceptor.endings], [[], []])
  })

  test('an end that hears nothing any more gives up, but not for what it does not read itself', async () => {
    for (const role of ['acceptor', 'connector'] as const) {
      const { raw, end, pass } = openAgainst(role, QUICK)
      if (role === 'acceptor') raw.send('cast', castOf('a'), { kind: 'hello', nonce: NONCE, work: undefined })
      else {
        end.connection.send('cast', castOf('a'))
        await pass(0)
        raw.send('reply', tuple2(NIL, NIL), { kind: 'welcome', nonce: NONCE })
      }
      await pass(0)
      end.connection.pause()
      await pass(1_000, 50)
      assert.deepEqual(end.endings, [])
      end.connection.resume()
      await pass(300)
      raw.write(KEEPALIVE)
      await pass(340)
      assert.deepEqual(end.endings, [])
      await pass(60)
      assert.deepEqual(end.endings.map(({ why }) => why), ['silent'])
      assert.ok(raw.chunks.some(({ bytes }) => bytes.equals(KEEPALIVE)))
    }
  })
})

suite('signing', () => {
  test('all goes both ways where both have the keys, whichever each signs with', async () => {
    const { connector, acceptor, pass } = openPair({ signing: KEYS }, { signing: { keys: [KEYS.keys[1], KEYS.keys[0]] } })
    acceptor.connection.send('push', castOf('early'))
    for (let i = 0; i < 5; i++) connector.connection.send('cast', castOf(String(i)))
    await pass(0)
    acceptor.connection.send('push', castOf('later'))
    await pass(60_000, 1_000)
    assert.deepEqual(acceptor.packets.map(({ packet }) => errorText(bareOf(packet))), ['0', '1', '2', '3', '4'])
    assert.deepEqual(connector.packets.map(({ packet }) => errorText(bareOf(packet))), ['early', 'later'])
    assert.deepEqual([connector.endings, acceptor.endings], [[], []])
  })

  test('nothing but the hello leaves before the other end has shown itself', async () => {
    for (const brake of [TCP_BRAKE, NO_BRAKE]) {
      const { raw, end, pass } = openAgainst('connector', { signing: KEYS, brake })
      end.connection.send('call', callOf(1, 'x'))
      await pass(1_000)
      assert.deepEqual(raw.packets.map(({ packet }) => packet.type), ['keepalive'])
    }
    const mute = openAgainst('acceptor', { signing: KEYS, limits: { serviceHandshakeTimeout: 500 } })
    mute.end.connection.send('push', castOf('x'))
    await mute.pass(500)
    assert.deepEqual(mute.raw.packets, [])
    assert.deepEqual(mute.end.endings.map(({ why }) => why), ['timeout'])
  })

  test('who does not sign, or with another secret, is refused in words that he understands', async () => {
    for (const [signing, text] of [[undefined, 'authentication required'], [{ keys: [{ id: 'new', secret: Buffer.alloc(32, 7) }] }, 'wrong signature'], [{ keys: [{ id: 'newer', secret: KEYS.keys[0].secret }] }, 'wrong signature']] as const) {
      const { connector, acceptor, pass } = openPair({ signing }, { signing: KEYS })
      connector.connection.send('cast', castOf('a'))
      await pass(0)
      assert.deepEqual(acceptor.packets, [])
      assert.deepEqual(acceptor.endings, [{ why: 'refused', detail: text }])
      assert.deepEqual(connector.endings, [{ why: 'refused', detail: text }])
    }
    const { connector, acceptor, pass } = openPair({ signing: KEYS })
    await pass(0)
    assert.deepEqual(acceptor.endings, [{ why: 'refused', detail: 'authentication provided' }])
    assert.deepEqual(connector.endings, [{ why: 'refused', detail: 'authentication provided' }])
  })

  /** A connection through somebody who may do with the packets of the connector what he likes. */
  async function through(change: (packets: Buffer[]) => Buffer[], recorded: Buffer[] = []): Promise<{ heard: (string | undefined)[]; why: (string | undefined)[] }> {
    const clock = createManualClock()
    const [client, nearRelay] = duplexPair()
    const [farRelay, server] = duplexPair()
    const acceptor = openEnd(server, 'acceptor', clock, { signing: OLD })
    const connector = openEnd(client, 'connector', clock, { signing: OLD })
    const raw = openRaw(nearRelay, clock)
    farRelay.on('data', (bytes: Buffer) => void nearRelay.write(bytes))
    await clock.settle()
    // The hello, and what shows that it was not heard elsewhere.
    for (let i = 0; i < 2; i++) {
      const bytes = raw.packets.splice(0)[0]?.packet.bytes as Buffer
      recorded.push(bytes)
      farRelay.write(bytes)
      await clock.settle()
    }
    for (const text of ['a', 'b', 'c']) connector.connection.send('cast', castOf(text))
    await clock.settle()
    for (const bytes of change(raw.packets.splice(0).map(({ packet }) => packet.bytes))) farRelay.write(bytes)
    await clock.settle()
    return { heard: acceptor.packets.map(({ packet }) => errorText(bareOf(packet))), why: acceptor.endings.map(({ detail }) => detail) }
  }

  test('nothing can be repeated, left out, put in another order, changed, made up, or sent back', async () => {
    assert.deepEqual(await through((all) => all), { heard: ['a', 'b', 'c'], why: [] })
    const wrong = { why: ['wrong signature'] }
    assert.deepEqual(await through(([a, b]) => [a, a, b] as Buffer[]), { heard: ['a'], ...wrong })
    assert.deepEqual(await through(([a, , c]) => [a, c] as Buffer[]), { heard: ['a'], ...wrong })
    assert.deepEqual(await through(([a, b]) => [b, a] as Buffer[]), { heard: [], ...wrong })
    assert.deepEqual(await through(([a]) => {
      (a as Buffer)[13] = 1
      return [a] as Buffer[]
    }), { heard: [], ...wrong })
    assert.deepEqual(await through(() => [bytesOf('cast', castOf('made up'))]), { heard: [], why: ['authentication required'] })
  })

  test('a conversation that was recorded is of no use in another', async () => {
    const recorded: Buffer[] = []
    await through((all) => {
      recorded.push(...all)
      return all
    }, recorded)
    assert.equal(recorded.length, 5)
    const { raw, end, pass } = openAgainst('acceptor', { signing: OLD })
    for (const bytes of recorded) raw.write(bytes)
    await pass(0)
    assert.deepEqual(end.shown, [])
    assert.equal(end.packets.length, 0)
    assert.deepEqual(end.endings, [{ why: 'refused', detail: 'wrong signature' }])
  })

  test('nothing is signed for whoever has not signed himself', async () => {
    const { raw, pass } = openAgainst('acceptor', { signing: OLD })
    const context = contextOf({ direction: 'connector', connectorNonce: NONCE, acceptorNonce: undefined, counter: 0 })
    raw.write(writePacket(HEAD, 'keepalive', [TERM, NIL, writeExtension({ kind: 'hello', nonce: NONCE, work: undefined })], { key: keyField('old'), secret: Buffer.alloc(32, 7), context }))
    await pass(0)
    assert.deepEqual(raw.packets.map(({ packet }) => [packet.type, packet.key, packet.signature]), [['error', Buffer.alloc(16), Buffer.alloc(32)]])
  })
})
