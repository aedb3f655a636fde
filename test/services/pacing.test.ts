import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { errorText, TERM } from '../../src/protocol/erps/payload.ts'
import { KEEPALIVE } from '../../src/protocol/erps/packet.ts'
import { bareOf, callOf, castOf, NIL, NO_BRAKE, openAgainst, openPair, replyOf, type Raw } from '../support/services.ts'

function bigCast(bytes: number): Buffer[] {
  const head = Buffer.of(109, 0, 0, 0, 0)
  head.writeUInt32BE(bytes, 1)
  return [TERM, head, Buffer.alloc(bytes)]
}

function timesOf(raw: Raw): number[] {
  return raw.chunks.map(({ at }) => at)
}

suite('what goes to an original', () => {
  test('each packet is a write of its own, no sooner than the gap after the one before', async () => {
    const { raw, end, pass } = openAgainst('acceptor')
    for (const text of ['a', 'b', 'c']) end.connection.send('push', castOf(text))
    await pass(400)
    end.connection.send('push', castOf('d'))
    end.connection.send('push', castOf('e'))
    await pass(400)
    assert.deepEqual(timesOf(raw), [0, 120, 240, 400, 520])
    assert.deepEqual(raw.chunks.map(({ bytes }) => bytes.length), raw.packets.map(({ packet }) => packet.bytes.length))
    assert.equal(end.connection.pendingBytes, 0)
  })

  test('the gap counts from when the network has taken the packet before', async () => {
    const { raw, end, pass } = openAgainst('connector', { brake: { gap: 20, calls: 'many' } })
    raw.stream.pause()
    end.connection.send('cast', bigCast(200_000))
    const next = end.connection.send('cast', castOf('b'))
    await pass(500)
    assert.ok(!next.hasLeft)
    raw.stream.resume()
    await pass(0)
    assert.ok(!next.hasLeft)
    await pass(20)
    assert.ok(next.hasLeft)
  })

  test('no packet goes before the call before it is answered, or nobody waits for it', async () => {
    const { raw, end, pass } = openAgainst('connector')
    for (let ref = 1; ref <= 3; ref++) end.connection.send('call', callOf(ref, 'x'))
    end.connection.keepalive()
    end.connection.send('cast', castOf('last'))
    await pass(500)
    assert.deepEqual(timesOf(raw), [0])
    end.connection.answered()
    await pass(100)
    assert.deepEqual(timesOf(raw), [0, 500])
    end.connection.answered()
    await pass(500, 5)
    assert.equal(raw.chunks.length, 3)
    end.connection.answered()
    await pass(100, 5)
    assert.deepEqual(raw.packets.map(({ packet }) => packet.type), ['call', 'call', 'call', 'keepalive', 'cast'])
  })

  test('what waits can be taken back, and what waits behind it goes on', async () => {
    const { raw, end, pass } = openAgainst('connector')
    const [first, second, third] = [1, 2, 3].map((ref) => end.connection.send('call', callOf(ref, 'x')))
    await pass(100)
    assert.ok(first?.hasLeft && !first.withdraw())
    assert.ok(second?.withdraw() && second.withdraw() && !second.hasLeft)
    end.connection.answered()
    await pass(0)
    assert.ok(third?.hasLeft)
    assert.equal(raw.packets.length, 2)
    assert.equal(end.connection.pendingBytes, 0)
  })

  test('a client gets replies, pushes and errors and nothing else, however long it is silent', async () => {
    const { raw, end, pass } = openAgainst('acceptor')
    raw.send('cast', castOf('x'))
    end.connection.keepalive()
    for (const type of ['call', 'cast', 'keepalive'] as const) assert.ok(!end.connection.send(type, castOf('x'), { extension: { kind: 'cancel' } }).hasLeft)
    for (const type of ['reply', 'push', 'error'] as const) end.connection.send(type, castOf(type), { extension: { kind: 'terms', deadline: 5, times: 'once', key: undefined } })
    await pass(600_000, 5_000)
    assert.deepEqual(raw.packets.map(({ packet }) => packet.type), ['reply', 'push', 'error'])
    assert.deepEqual(raw.extensions(), [undefined, undefined, undefined])
    assert.deepEqual(end.endings, [])
  })

  test('a server gets one keepalive when it is told to, and not a second while the first waits', async () => {
    const { raw, end, pass } = openAgainst('connector')
    end.connection.send('call', callOf(1, 'x'))
    end.connection.keepalive()
    end.connection.keepalive()
    await pass(100)
    end.connection.answered()
    await pass(100)
    assert.deepEqual(raw.chunks.slice(1).map(({ bytes }) => bytes), [KEEPALIVE])
    end.connection.keepalive()
    await pass(0)
    assert.equal(raw.chunks.length, 3)
  })
})

suite('what goes to a Waystation, or without a gap', () => {
  test('all packets of a turn are one write at its end, and a lone one leaves in its turn', async () => {
    const { raw, end, pass, clock } = openAgainst('acceptor', { brake: NO_BRAKE })
    for (let i = 0; i < 50; i++) end.connection.send('push', castOf(String(i)))
    assert.ok(end.connection.pendingBytes > 5_000)
    clock.endTurn()
    assert.ok(!end.connection.send('push', castOf('next')).hasLeft)
    await pass(0)
    assert.deepEqual(raw.packets.map(({ packet }) => errorText(bareOf(packet))), [...Array.from({ length: 50 }, (_, i) => String(i)), 'next'])
    assert.equal(raw.chunks.length, 2)
    const lone = end.connection.send('push', castOf('lone'))
    clock.endTurn()
    assert.ok(lone.hasLeft)
  })

  test('what has not left can be taken back until the end of the turn, and while the network takes nothing', async () => {
    const { raw, end, pass } = openAgainst('acceptor', { brake: NO_BRAKE })
    const first = end.connection.send('push', castOf('a'))
    assert.ok(first.withdraw())
    raw.stream.pause()
    end.connection.send('push', bigCast(300_000))
    await pass(0)
    const later = end.connection.send('push', castOf('b'))
    await pass(100)
    assert.ok(!later.hasLeft && later.withdraw())
    end.connection.send('push', castOf('c'))
    raw.stream.resume()
    await pass(0)
    assert.deepEqual(raw.packets.map(({ packet }) => errorText(bareOf(packet))?.slice(0, 1)), ['\0', 'c'])
  })

  test('a large packet goes by pieces, none of which waits for ever', async () => {
    const { raw, end, pass } = openAgainst('acceptor', { brake: NO_BRAKE, limits: { writeTimeout: 1_000 } })
    end.connection.send('push', bigCast(5_000_000))
    raw.stream.on('data', () => void raw.stream.pause())
    let pieces = 0
    for (; pieces < 20 && raw.packets.length === 0; pieces++) {
      await pass(900, 300)
      raw.stream.resume()
      await pass(0)
    }
    assert.equal(raw.packets.length, 1)
    assert.ok(pieces > 3, `${pieces} times read`)
    assert.ok(raw.chunks.every(({ bytes }) => bytes.length <= 1_048_576))
    assert.deepEqual(end.endings, [])
  })
})

suite('who does not take what he is sent', () => {
  test('is let go when too much waits, though one packet may always wait', async () => {
    const { end, pass } = openAgainst('acceptor', { limits: { maxServicePendingBytes: 1_024 } })
    end.connection.send('push', bigCast(5_000))
    await pass(0)
    end.connection.send('push', bigCast(5_000))
    await pass(120)
    assert.deepEqual(end.endings, [])
    for (let i = 0; i < 11; i++) end.connection.send('push', castOf('x'))
    assert.deepEqual(end.endings.map(({ why }) => why), ['slow_consumer'])
    assert.equal(end.connection.pendingBytes, 0)
  })

  test('is let go when he has taken nothing in time', async () => {
    const { raw, end, pass, clock } = openAgainst('acceptor', { limits: { writeTimeout: 1_000 } })
    end.connection.send('push', castOf('taken'))
    await pass(900)
    raw.stream.pause()
    end.connection.send('push', bigCast(200_000))
    await pass(990)
    assert.deepEqual(end.endings, [])
    await pass(20)
    assert.deepEqual(end.endings.map(({ why }) => why), ['stalled'])
    assert.equal(clock.timers, 0)
  })

  test('has as long to read why he is refused, and no longer', async () => {
    const { raw, end, pass, clock } = openAgainst('acceptor', { limits: { writeTimeout: 1_000 }, judge: () => 'wrong identifier' })
    raw.stream.pause()
    end.connection.send('push', bigCast(200_000))
    await pass(0)
    raw.send('cast', castOf('x'))
    await pass(990)
    assert.deepEqual(end.endings.map(({ why }) => why), ['refused'])
    assert.equal(clock.timers, 1)
    await pass(20)
    assert.equal(clock.timers, 0)
  })
})

suite('two ends of ours', () => {
  test('after the first packet nothing is braked any more, and calls run side by side', async () => {
    const { connector, acceptor, pass } = openPair()
    const texts: (string | undefined)[] = []
    acceptor.heard = (packet) => void texts.push(errorText(bareOf(packet).subarray(-6)) ?? packet.type)
    for (let ref = 0; ref < 20; ref++) connector.connection.send('call', callOf(ref, 'x'))
    await pass(0)
    assert.equal(texts.length, 20)
    for (let ref = 0; ref < 20; ref++) acceptor.connection.send('reply', replyOf('y', ref))
    await pass(0)
    assert.equal(connector.packets.length, 20)
    assert.ok(connector.connection.isWaystation && acceptor.connection.isWaystation)
    assert.equal(connector.packets[0]?.packet.payload.at(-1), NIL.length - 1)
  })
})
