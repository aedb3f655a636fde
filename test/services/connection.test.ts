import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { suite, test } from 'node:test'
import { createBodyAccount, type BodyAccount } from '../../src/http/body-account.ts'
import { errorText, readRef, splitCall, TERM } from '../../src/protocol/erps/payload.ts'
import { judge } from '../../src/protocol/erps/judge.ts'
import { readRequirement } from '../../src/protocol/erps/versions.ts'
import { KEEPALIVE } from '../../src/protocol/erps/packet.ts'
import { bareOf, bytesOf, callOf, castOf, NIL, NO_BRAKE, openAgainst, openPair, replyOf } from '../support/services.ts'

const UNKNOWN_ATOM = Buffer.concat([Buffer.of(119, 4), Buffer.from('what')])
const KNOWN_ONLY = { atoms: new Set<string>() }

function textsOf(packets: readonly { packet: Parameters<typeof bareOf>[0] }[]): (string | undefined)[] {
  return packets.map(({ packet }) => errorText(bareOf(packet)))
}

suite('what comes over a connection of a service', () => {
  test('packets arrive whole and in order, however they were cut and glued', async () => {
    const { raw, end, pass } = openAgainst('acceptor')
    const bytes = Buffer.concat([bytesOf('cast', castOf('one')), KEEPALIVE, bytesOf('cast', castOf('two')), KEEPALIVE, KEEPALIVE, bytesOf('cast', castOf('three'))])
    for (const size of [1, 7, 97, bytes.length]) {
      for (let at = 0; at < bytes.length; at += size) raw.write(bytes.subarray(at, at + size))
      await pass(0)
      assert.deepEqual(textsOf(end.packets.splice(0)), ['one', 'two', 'three'])
    }
    assert.deepEqual(end.endings, [])
  })

  test('what makes much work is done over several turns, in order, and nothing more is read meanwhile', async () => {
    const turns: (() => void)[] = []
    let now = 0
    // Each look takes a while: as if every packet were dear.
    const clock = { now: () => now, monotonic: () => (now += 15), after: () => () => {}, endOfTurn: (fn: () => void) => void turns.push(fn) }
    const { raw, end } = openAgainst('acceptor', { clock })
    const all = Array.from({ length: 100 }, (_, i) => String(i))
    raw.write(Buffer.concat(all.map((text) => bytesOf('cast', castOf(text)))))
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(end.packets.length > 0 && end.packets.length < 50, `${end.packets.length} at once`)
    // Somebody else's reason to pause, and its end, do not let more in.
    end.connection.pause()
    end.connection.resume()
    raw.write(bytesOf('cast', castOf('more')))
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(end.packets.length < 50)
    for (let turn = turns.shift(); turn !== undefined; turn = turns.shift()) turn()
    assert.deepEqual(textsOf(end.packets), all)
  })

  test('a packet that has begun must end in time, with more time for each MiB of it; pauses of this end do not count', async () => {
    const { raw, end, pass, clock } = openAgainst('acceptor', { limits: { packetTimeout: 1_000 } })
    const large = bytesOf('cast', [TERM, Buffer.concat([Buffer.of(109, 0, 0x30, 0, 0), Buffer.alloc(0x30_0000)])])
    raw.write(large.subarray(0, 0x18_0000))
    await pass(1_900, 100)
    assert.deepEqual(end.endings, [])
    end.connection.pause()
    await pass(5_000, 500)
    end.connection.resume()
    assert.deepEqual(end.endings, [])
    raw.write(large.subarray(0x18_0000))
    await pass(0)
    assert.equal(end.packets.length, 1)
    await pass(5_000, 500)
    assert.deepEqual(end.endings, [])
    raw.write(large.subarray(0, 5))
    await pass(100)
    end.connection.pause()
    await pass(800)
    end.connection.resume()
    await pass(990)
    assert.deepEqual(end.endings, [])
    await pass(10)
    assert.deepEqual(end.endings.map(({ why }) => why), ['timeout'])
    await pass(0)
    assert.ok(raw.isEnded, `${clock.timers} timers`)
  })

  test('packets on their way are bounded, those of all connections together, and what was kept of one is given back', async () => {
    const account = createBodyAccount(30_000, 20_000)
    let booked = 0
    const unfinished: BodyAccount = {
      take: (client, bytes) => account.take(client, bytes) && (booked += bytes) > 0,
      give(client, bytes) {
        booked -= bytes
        account.give(client, bytes)
      },
    }
    const open = () => openAgainst('acceptor', { unfinished, brake: NO_BRAKE })
    const [first, second, third] = [open(), open(), open()]
    const large = bytesOf('cast', castOf('x'.repeat(15_000)))
    for (const { raw } of [first, second, third]) raw.write(large.subarray(0, -1))
    for (const { pass } of [first, second, third]) await pass(0)
    assert.deepEqual([first, second, third].map(({ end }) => end.endings.map(({ why }) => why)), [[], ['too_large'], ['too_large']])
    first.raw.write(large.subarray(-1))
    await first.pass(0)
    assert.deepEqual([first.end.packets.length, booked], [1, 0])
    first.raw.write(large.subarray(0, -1))
    await first.pass(0)
    assert.ok(booked > 0)
    first.end.connection.drop('revoked', '')
    assert.equal(booked, 0)
  })

  test('nothing is read while it is paused', async () => {
    const { raw, end, pass } = openAgainst('acceptor')
    end.connection.pause()
    await pass(0)
    raw.write(bytesOf('cast', castOf('one')))
    await pass(0)
    assert.deepEqual(end.packets, [])
    end.connection.resume()
    await pass(0)
    assert.deepEqual(textsOf(end.packets), ['one'])
  })

  for (const [what, bytes, why] of [
    ['junk', Buffer.from('GET / HTTP/1.1\r\n'), 'bad_packet'],
    ['a type that is none', Buffer.concat([Buffer.from('6572707300000000', 'hex'), Buffer.alloc(88, 7)]), 'bad_packet'],
    ['a reply', bytesOf('reply', replyOf('x', 1)), 'bad_packet'],
    ['a push', bytesOf('push', castOf('x')), 'bad_packet'],
    ['an error', bytesOf('error', castOf('x')), 'bad_packet'],
    ['a payload without 131', bytesOf('cast', [Buffer.from('x')]), 'bad_term'],
    ['an empty payload', bytesOf('cast', []), 'bad_term'],
    ['an atom that is not known', bytesOf('cast', [TERM, UNKNOWN_ATOM]), 'bad_term'],
    ['a size above the limit', Buffer.from('6572707300ffffff04', 'hex'), 'too_large'],
    ['a term that inflates beyond it', bytesOf('cast', [Buffer.from('8350000fffff', 'hex'), Buffer.alloc(4_000, 120)]), 'too_large'],
  ] as const) {
    test(`${what} ends the connection of one that answers, in order and without a word`, async () => {
      const streams = duplexPair()
      const { raw, end, pass } = openAgainst('acceptor', { decode: KNOWN_ONLY, limits: { maxPacketBytes: 4_096 } }, streams)
      raw.write(bytes)
      raw.send('cast', castOf('behind'))
      await pass(0)
      assert.deepEqual(end.endings.map((ending) => ending.why), [why])
      assert.deepEqual(end.packets, [])
      assert.ok(raw.isEnded && streams[0].writableFinished && !streams[0].destroyed)
      assert.deepEqual(raw.chunks, [])
      assert.ok(end.connection.isOver)
      end.connection.send('reply', replyOf('late', 1))
      raw.stream.end()
      await pass(2_000, 500)
      assert.deepEqual(raw.chunks, [])
    })
  }

  test('a client drops what nobody can use of an original server and goes on; a call ends it', async () => {
    const { raw, end, pass } = openAgainst('connector', { decode: KNOWN_ONLY })
    raw.send('push', [TERM, UNKNOWN_ATOM])
    raw.write(KEEPALIVE)
    const signed = bytesOf('push', castOf('signed'))
    signed[50] = 1
    raw.write(signed)
    raw.send('error', castOf('some text'))
    raw.send('push', castOf('good'))
    await pass(0)
    assert.deepEqual(textsOf(end.packets), ['some text', 'good'])
    assert.equal(end.dropped.length, 2)
    assert.deepEqual(end.endings, [])
    raw.send('call', callOf(1, 'x'))
    await pass(0)
    assert.deepEqual(end.endings.map(({ why }) => why), ['bad_packet'])
  })

  test('a Waystation at the other end has no such excuse', async () => {
    const { raw, end, pass } = openAgainst('connector', { decode: KNOWN_ONLY })
    await pass(1_000, 500)
    raw.send('reply', [TERM, Buffer.of(104, 2), NIL, NIL], { kind: 'welcome', nonce: Buffer.alloc(16) })
    raw.send('push', [TERM, UNKNOWN_ATOM])
    await pass(0)
    assert.equal(end.endings[0]?.why, 'bad_term')
  })

  test('a half-close of the other end counts as its end', async () => {
    const { raw, end, pass } = openAgainst('acceptor')
    raw.send('cast', castOf('last'))
    raw.stream.end()
    await pass(0)
    assert.deepEqual(textsOf(end.packets), ['last'])
    assert.deepEqual(end.endings.map(({ why }) => why), ['lost'])
  })

  test('a stream that broke before anybody looked is told as lost', async () => {
    const [near, far] = duplexPair()
    near.on('error', () => {})
    near.destroy(new Error('reset by peer'))
    await new Promise((resolve) => void near.once('close', resolve))
    const { end, pass } = openAgainst('acceptor', {}, [near, far])
    await pass(10)
    end.connection.drop('revoked', 'later')
    await end.connection.close(new AbortController().signal)
    assert.deepEqual(end.endings, [{ why: 'lost', detail: 'reset by peer' }])
  })
})

suite('who is refused', () => {
  const required = readRequirement('~> 0.2')
  assert.ok(required !== undefined)

  test('gets the exact text, is not heard any more, and is let go a second later', async () => {
    const { raw, end, pass } = openAgainst('acceptor', { judge: (packet) => judge(packet, { identifier: Buffer.from('api'), requirement: required, signed: 'refused' }) })
    raw.write(KEEPALIVE)
    raw.send('call', callOf(1, 'x'))
    raw.send('call', callOf(2, 'y'))
    await pass(990)
    assert.deepEqual(raw.packets.map(({ packet }) => [packet.type, errorText(bareOf(packet))]), [['error', 'wrong identifier']])
    assert.deepEqual(end.endings, [{ why: 'refused', detail: 'wrong identifier' }])
    assert.ok(!raw.isEnded)
    await pass(10)
    assert.ok(raw.isEnded)
    assert.deepEqual(end.packets, [])
  })

  test('does not hear what waited for him, and the text keeps its distance', async () => {
    const { raw, end, pass, clock } = openAgainst('acceptor')
    for (const text of ['a', 'b', 'c']) end.connection.send('push', castOf(text))
    await pass(0)
    const signed = bytesOf('cast', castOf('x'))
    signed[50] = 1
    raw.write(signed)
    await pass(300)
    assert.deepEqual(raw.packets.map(({ at, packet }) => [at, errorText(bareOf(packet))]), [[0, 'a'], [120, 'authentication provided']])
    raw.stream.end()
    await pass(0)
    assert.equal(clock.timers, 0)
  })

  test('a client that hears one of these texts ends; with any other it goes on', async () => {
    for (const text of ['wrong identifier', 'incompatible version', 'authentication provided']) {
      const { raw, end, pass } = openAgainst('connector')
      raw.send('error', castOf('filtered'))
      raw.send('error', castOf(text))
      await pass(0)
      assert.deepEqual(textsOf(end.packets), ['filtered'])
      assert.deepEqual(end.endings, [{ why: 'refused', detail: text }])
    }
  })
})

suite('the end that this end makes', () => {
  test('a close sends what waits, at its pace, and gives an original time to read it', async () => {
    const { raw, end, pass, clock } = openAgainst('acceptor')
    for (const text of ['a', 'b', 'c']) end.connection.send('push', castOf(text))
    let isDone = false
    void end.connection.close(new AbortController().signal).then(() => (isDone = true))
    await pass(240)
    assert.deepEqual(raw.packets.map(({ at }) => at), [0, 120, 240])
    assert.deepEqual(end.endings, [])
    await pass(140)
    assert.ok(!raw.isEnded)
    await pass(10)
    assert.ok(raw.isEnded)
    assert.deepEqual(end.endings.map(({ why }) => why), ['stopped'])
    raw.stream.end()
    await pass(0)
    assert.ok(isDone)
    assert.equal(clock.timers, 0)
  })

  test('a close that the other end is quicker than is a close all the same', async () => {
    const { raw, end, pass } = openAgainst('acceptor')
    for (const text of ['a', 'b', 'c']) end.connection.send('push', castOf(text))
    const closed = end.connection.close(new AbortController().signal)
    await pass(100)
    raw.stream.end()
    await pass(0)
    await closed
    assert.deepEqual(end.endings.map(({ why }) => why), ['stopped'])
  })

  test('a close waits for a call that waits for another, and not when it is taken back', async () => {
    const { raw, end, pass } = openAgainst('connector')
    end.connection.send('call', callOf(1, 'x'))
    const second = end.connection.send('call', callOf(2, 'x'))
    void end.connection.close(new AbortController().signal)
    await pass(500)
    assert.equal(end.endings.length, 0)
    assert.ok(second.withdraw())
    await pass(0)
    assert.deepEqual(end.endings.map(({ why }) => why), ['stopped'])
    assert.equal(raw.packets.length, 1)
  })

  test('between Waystations it comes at once; whoever does not close as well is cut off', async () => {
    const { connector, acceptor, pass } = openPair()
    connector.connection.send('cast', castOf('x'))
    await pass(30)
    acceptor.connection.send('push', castOf('y'))
    const closed = acceptor.connection.close(new AbortController().signal)
    await pass(0)
    await closed
    assert.deepEqual(textsOf(connector.packets), ['y'])
    assert.deepEqual(connector.endings.map(({ why }) => why), ['lost'])

    const mute = openAgainst('acceptor', { brake: NO_BRAKE })
    const cut = mute.end.connection.close(new AbortController().signal)
    await mute.pass(990)
    assert.ok(mute.raw.isEnded && !mute.raw.stream.closed)
    await mute.pass(10)
    await cut
  })

  test('a deadline that aborts cuts it off, whatever waits', async () => {
    const { raw, end, pass, clock } = openAgainst('acceptor')
    for (const text of ['a', 'b', 'c']) end.connection.send('push', castOf(text))
    const deadline = new AbortController()
    const closed = end.connection.close(deadline.signal)
    await pass(10)
    deadline.abort()
    await closed
    assert.deepEqual(end.endings.map(({ why }) => why), ['stopped'])
    assert.equal(raw.packets.length, 1)
    assert.equal(clock.timers, 0)
    await end.connection.close(AbortSignal.abort())
  })

  test('nothing is sent or told any more, and no timer is left', async () => {
    const { raw, end, pass, clock } = openAgainst('connector')
    end.connection.send('call', callOf(1, 'x'))
    await pass(0)
    end.connection.drop('revoked', 'by name')
    const sent = end.connection.send('call', callOf(2, 'y'))
    assert.ok(!sent.hasLeft && sent.withdraw())
    end.connection.keepalive()
    raw.send('push', castOf('late'))
    await pass(0)
    assert.deepEqual(end.endings, [{ why: 'revoked', detail: 'by name' }])
    assert.deepEqual(end.packets, [])
    assert.equal(clock.timers, 0)
    assert.deepEqual(raw.packets.map(({ packet }) => readRef(splitCall(bareOf(packet).subarray(0, 9))?.ref ?? NIL)), [1])
  })
})
