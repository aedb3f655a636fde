import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync } from 'node:zlib'
import { writeExtension } from '../../src/protocol/erps/extension.ts'
import type { Extension } from '../../src/protocol/erps/messages.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { serveService } from '../../src/server/serve-service.ts'
import { atom, packetBytes, sayHello, type ErpsClient } from '../support/erps-client.ts'
import { until } from '../support/events.ts'
import { answer, compressed, given, givenIn, hostileHub } from '../support/hostile-services.ts'
import { raw } from '../support/raw.ts'

// What a hub's own daemon of services, and `serveService`, make of callers and workers who do what nobody should.

const NONCE = Buffer.alloc(16, 7)
const PAIR = encode(new Tuple(1, 2))
const DEEP = Buffer.concat([Buffer.of(131), ...Array.from({ length: 1_500 }, () => Buffer.of(104, 1)), Buffer.of(106)])

function withType(code: number): Buffer {
  const packet = packetBytes('call', PAIR)
  packet[8] = code
  return packet
}

/** A packet whose size says something else than is there. */
function lying(size: number, payload = PAIR): Buffer {
  const packet = packetBytes('call', payload)
  packet.writeUInt32BE(size, 4)
  return packet
}

function call(hex: string): Buffer {
  return packetBytes('call', Buffer.from(`836802${'6101'}${hex}`, 'hex'))
}

const NODE = '770161'
/** What ends a connection, and why. */
const FAULTS: Record<string, [why: string, bytes: Buffer]> = {
  'HTTP': ['bad_packet', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  'TLS': ['bad_packet', Buffer.from('16030100c8010000c40303', 'hex')],
  'a cookie with one wrong bit': ['bad_packet', Buffer.from('65727072', 'hex')],
  ...Object.fromEntries([5, 6, 7, 9, 16, 128, 255].map((code) => [`type ${code}`, ['bad_packet', withType(code)]])),
  'a size of four gigabytes': ['too_large', lying(0xffff_ffff)],
  'a size of a byte more than may be': ['too_large', lying(67_108_769)],
  'a size that is less than the term': ['bad_term', lying(PAIR.length - 1)],
  'a size that ends within the next packet': ['bad_packet', Buffer.concat([lying(PAIR.length + 4), packetBytes('call', PAIR)])],
  'no payload': ['bad_term', packetBytes('call', Buffer.alloc(0))],
  'another version of terms': ['bad_term', packetBytes('call', Buffer.from('8268026101610a', 'hex'))],
  'a term within a term': ['bad_term', call('83610a')],
  'a cut term': ['bad_term', call('6d0000000961')],
  'a list of four billion': ['bad_term', call('6cffffffff6101')],
  'a binary of four gigabytes': ['bad_term', call('6dffffffff61')],
  'a tuple of four billion': ['bad_term', call('69ffffffff')],
  'a map with four billion keys': ['bad_term', call('74ffffffff')],
  'a map with one key twice': ['bad_term', call('7400000002610161016101610a')],
  'a number that is none': ['bad_term', call('467ff0000000000000')],
  'an atom of bytes that are no text': ['bad_term', call('7702c328')],
  'a term that is too deep': ['bad_term', packetBytes('call', DEEP)],
  'an external function': ['bad_term', call('71770164770164' + '6101')],
  'a local function': ['bad_term', call('7000000008aabbccdd')],
  'a port': ['bad_term', call(`59${NODE}0000000100000001`)],
  'a port of today': ['bad_term', call(`78${NODE}000000000000000100000001`)],
  'a port of old': ['bad_term', call(`66${NODE}0000000101`)],
  'a port in a key of a map in what is compressed': ['bad_term', packetBytes('call', zipped(`68026101740000000159${NODE}0000000100000001610a`))],
  'a bomb that says what it is': ['too_large', packetBytes('call', Buffer.concat([Buffer.from('8350', 'hex'), sizeOf(68_000_000), Buffer.alloc(70_000)]))],
  'a bomb of more than there can be in it': ['bad_term', packetBytes('call', compressed(0, 0xffff_ffff))],
  'a bomb that says that it is small': ['bad_term', packetBytes('call', compressed(new Tuple(1, Buffer.alloc(1_000_000)), 100))],
  'what is compressed and shorter than it says': ['bad_term', packetBytes('call', compressed(new Tuple(1, 2), 100))],
  'what is compressed twice': ['bad_term', packetBytes('call', zipped(compressed(0).subarray(1).toString('hex')))],
  'what is compressed and cut': ['bad_term', packetBytes('call', compressed(new Tuple(1, 'x'.repeat(100))).subarray(0, 12))],
  'a call that is no tuple': ['bad_term', packetBytes('call', encode([1, 2]))],
  'a call of three': ['bad_term', packetBytes('call', encode(new Tuple(1, 2, 3)))],
  'a reply': ['bad_packet', packetBytes('reply', PAIR)],
  'a push': ['bad_packet', packetBytes('push', PAIR)],
  'an error': ['bad_packet', packetBytes('error', PAIR)],
}

function zipped(hex: string): Buffer {
  const plain = Buffer.from(hex, 'hex')
  const made = compressed(plain)
  // The same frame with another content: `compressed` writes terms only.
  return Buffer.concat([made.subarray(0, 2), sizeOf(plain.length), deflateSync(plain)])
}

function sizeOf(size: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(size)
  return bytes
}

test('what is no packet, no term or nothing for one that answers ends its connection without a word, at a hub and at a service, and no other', async (t) => {
  const hub = await hostileHub(t)
  const reasons: string[] = []
  const service = await serveService({ transport: 'tcp', logger: { info() {}, warn: (what) => void reasons.push((what as { reason: string }).reason), error() {} } }, { call: () => assert.fail('nothing of this is a call') })
  t.after(() => service.close())
  const worker = await hub.worker('math')
  const [caller, bystander] = [await hub.caller('math'), await hub.caller('math')]
  const expected: Record<string, number> = {}
  for (const [what, [why, bytes]] of Object.entries(FAULTS)) {
    for (const port of [hub.port, service.port]) {
      const client = await raw(t, port)
      client.send(bytes)
      assert.equal((await client.ended).length, 0, what)
    }
    expected[why] = (expected[why] ?? 0) + 1
    assert.deepEqual(await hub.refused(), expected, what)
  }
  bystander.call(1, 'still here')
  const { ref, request } = await given(worker)
  assert.equal(request, 'still here')
  answer(worker, ref, 'yes')
  assert.deepEqual([await bystander.next(), caller.taken()], [['reply', new Tuple('yes', 1)], []])
})

test('what is signed, or says that it is, where nothing is signed is refused in words, once, and not heard again', async (t) => {
  const hub = await hostileHub(t)
  const worker = await hub.worker('math')
  await Promise.all([48, 63, 64, 95].map(async (at) => {
    const caller = await hub.caller('math')
    const packet = packetBytes('call', PAIR, { identifier: 'math' })
    packet[at] = 1
    caller.send(Buffer.concat([packet, packetBytes('call', PAIR, { identifier: 'math' })]))
    assert.deepEqual(await caller.next(), ['error', 'authentication provided'])
    await caller.ended
    assert.deepEqual(caller.taken(), [])
  }))
  assert.deepEqual([worker.taken(), await hub.refused()], [[], { refused: 4 }])
})

test('atoms that nobody knows, and any ref, go through a hub as they are: it makes nothing of them', async (t) => {
  const hub = await hostileHub(t)
  const [worker, caller] = [await hub.worker('math'), await hub.caller('math')]
  for (const [i, ref] of [new Tuple(atom('never_seen_1'), []), 2n ** 60n, 'x'.repeat(10_000), -1].entries()) {
    caller.call(ref as Term, atom(`never_seen_${i}`))
    const got = await given(worker)
    assert.deepEqual(got.request, atom(`never_seen_${i}`))
    worker.packet('error', new Tuple(atom('never_seen_3'), got.ref))
    assert.deepEqual(await caller.next(), ['error', new Tuple('call_failed', ref as Term)])
  }
})

test('versions and identifiers of any bytes cost a caller his call at most', async (t) => {
  const hub = await hostileHub(t)
  const head = packetBytes('call', PAIR)
  for (const identifier of [Buffer.alloc(36, 0xff), Buffer.from('math\0math'), Buffer.alloc(36, 'x'), Buffer.from('../../etc'), Buffer.from('a*?[b-c]'), Buffer.from('constructor'), Buffer.from('__proto__')]) {
    const caller = await hub.caller('')
    const packet = Buffer.from(head)
    packet.fill(255, 9, 12)
    identifier.copy(packet, 12)
    caller.send(packet)
    assert.deepEqual(await caller.next(), ['error', new Tuple('no_service', 1)])
  }
})

/** An extension behind a term, byte by byte. */
function behind(term: Term, bytes: Buffer): Buffer {
  return Buffer.concat([encode(term), bytes])
}

test('an extension that is cut anywhere, or is not one for a hub, is nothing at all, and the call before it a call', async (t) => {
  const hub = await hostileHub(t)
  const [worker, caller] = [await hub.worker('math'), await hub.caller('math')]
  const kinds: Extension[] = [
    { kind: 'hello', nonce: NONCE, work: { service: 'math', slots: 1 } }, { kind: 'terms', deadline: 1, times: 'repeatable', key: Buffer.from('k') },
    { kind: 'drain' }, { kind: 'cancel' }, { kind: 'hello', nonce: NONCE, work: undefined },
  ]
  const cut = kinds.flatMap((kind) => {
    const bytes = writeExtension(kind)
    return Array.from({ length: bytes.length }, (_, size) => bytes.subarray(0, size))
  })
  // Only a Waystation has a say, and this one has not said that it is one; a welcome is nothing that a client may send.
  const foreign = [writeExtension({ kind: 'welcome', nonce: NONCE }), ...kinds.slice(1, 4).map(writeExtension)]
  for (const [ref, bytes] of [...cut, ...foreign].entries()) {
    caller.send(packetBytes('call', behind(new Tuple(ref, ref), bytes), { identifier: 'math' }))
    assert.equal((await given(worker)).request, ref, `${ref} of ${cut.length}: ${bytes.toString('hex')}`)
  }
  assert.deepEqual([caller.taken(), await hub.refused()], [[], {}])
})

test('who says hello twice, or as another, stays what he was first', async (t) => {
  const hub = await hostileHub(t)
  const [worker, caller] = [await hub.worker('math'), await hub.caller('math')]
  await sayHello(caller)
  for (const one of [worker, caller]) {
    one.packet('keepalive', [], { kind: 'hello', nonce: NONCE, work: { service: 'other', slots: 9 } })
    one.packet('keepalive', [], { kind: 'hello', nonce: NONCE, work: undefined })
    one.packet('keepalive', [], { kind: 'welcome', nonce: NONCE })
  }
  caller.call(1, 'a')
  const { ref } = await given(worker)
  answer(worker, ref, 'b')
  assert.deepEqual(await caller.next(), ['reply', new Tuple('b', 1)])
  assert.deepEqual([await hub.post('other', 1), await hub.gauge('waystation_workers{service="math"}')].map((one) => (typeof one === 'number' ? one : one.body.code)), ['no_service', 1])
})

test('who offers work while his own call waits is let go; once it is answered, or with the call itself, he is a worker and calls no more', async (t) => {
  const hub = await hostileHub(t)
  const worker = await hub.worker('math')
  const offer = (client: ErpsClient): void => client.packet('keepalive', [], { kind: 'hello', nonce: NONCE, work: { service: 'trap', slots: 1 } })
  const early = await hub.caller('math')
  early.call(1, 1)
  const { ref } = await given(worker)
  offer(early)
  await early.ended
  answer(worker, ref, 'too late')
  const both = await hub.caller('math')
  both.packet('call', new Tuple(1, 1), { kind: 'hello', nonce: NONCE, work: { service: 'trap', slots: 1 } })
  await both.ended
  const after = await hub.caller('nobody')
  after.call(1, 1)
  await after.next()
  offer(after)
  await after.next()
  after.call(2, 2)
  await after.ended
  assert.deepEqual([worker.taken(), await hub.refused()], [[['keepalive', new Tuple(ref, [])]], { bad_packet: 3 }])
})

test('a worker that answers what it was not asked, twice, late, or for another connection changes nothing of what others are told', async (t) => {
  const hub = await hostileHub(t)
  const [worker, liar, caller] = [await hub.worker('math'), await hub.worker('lies'), await hub.caller('math')]
  await sayHello(caller)
  caller.call(1, 'right')
  const { ref } = await given(worker)
  for (let guess = 0; guess < 50; guess++) {
    answer(liar, guess, 'wrong')
    liar.packet('error', new Tuple('wrong', guess))
  }
  for (const guess of [ref + 1, -1, 2 ** 40, 'x', atom('a'), new Tuple(ref), []] as Term[]) answer(worker, guess, 'wrong')
  worker.packet('reply', 'no tuple')
  worker.packet('error', 'a text that is no refusal')
  answer(worker, ref, 'right')
  answer(worker, ref, 'again')
  worker.packet('error', new Tuple('again', ref))
  assert.deepEqual(await caller.next(), ['reply', new Tuple('right', 1)])
  // A call that its caller has taken back is answered all the same.
  caller.call(2, 'taken back')
  const second = await given(worker)
  caller.packet('keepalive', new Tuple(2, []), { kind: 'cancel' })
  assert.equal((await worker.next())[0], 'keepalive')
  answer(worker, second.ref, 'nobody waits')
  caller.packet('keepalive', new Tuple(77, []), { kind: 'cancel' })
  caller.call(3, 'next')
  const third = await given(worker)
  assert.notEqual(third.ref, second.ref)
  answer(worker, third.ref, 'yes')
  assert.deepEqual(await caller.next(), ['reply', new Tuple('yes', 3)])
  assert.deepEqual([caller.taken(), liar.taken(), await hub.refused()], [[], [], {}])
})

test('a worker that pushes is not heard, and one that calls, casts or sends what is no term is let go, its calls told as lost', async (t) => {
  const hub = await hostileHub(t)
  const witness = await hub.worker('witness')
  const faults: ((worker: ErpsClient) => void)[] = [
    (worker) => worker.packet('call', new Tuple(1, 1)), (worker) => worker.packet('cast', 1),
    (worker) => worker.send(packetBytes('reply', Buffer.from('83', 'hex'))), (worker) => worker.send(packetBytes('reply', compressed(0, 0xffff_ffff))),
    (worker) => worker.send(packetBytes('reply', Buffer.from('8368027177016477016461016101', 'hex'))),
    (worker) => worker.send(packetBytes('reply', PAIR).subarray(0, 50)) ?? worker.socket.destroy(),
  ]
  for (const [i, fault] of faults.entries()) {
    const [worker, caller] = [await hub.worker('math'), await hub.caller('math')]
    caller.call(1, i)
    await given(worker)
    worker.packet('push', 'ignored')
    fault(worker)
    assert.deepEqual(await caller.next(), ['error', new Tuple('worker_lost', 1)], String(i))
    await until(async () => await hub.gauge('waystation_workers{service="math"}') !== 1, 'it is gone')
  }
  assert.deepEqual([witness.taken(), await hub.refused()], [[], { bad_packet: 2, bad_term: 3 }])
})

test('a worker that drains, and says hello again, and drains again, gets no more calls, and what it has is still answered', async (t) => {
  const hub = await hostileHub(t)
  const [worker, caller] = [await hub.worker('math'), await hub.caller('math')]
  caller.call(1, 1)
  const { ref } = await given(worker)
  for (let i = 0; i < 2; i++) {
    worker.packet('keepalive', [], { kind: 'drain' })
    worker.packet('keepalive', [], { kind: 'hello', nonce: NONCE, work: { service: 'math', slots: 100 } })
  }
  await until(async () => (await hub.post('math', 2)).body.code === 'no_worker', 'no worker')
  answer(worker, ref, 'done')
  assert.deepEqual([await caller.next(), worker.taken()], [['reply', new Tuple('done', 1)], []])
})

test('a worker that states more slots than there are numbers gets no more than one connection may have, and does not starve others', async (t) => {
  const hub = await hostileHub(t, { maxCallsPerConnection: 50, callTimeout: 300 })
  const [liar, honest] = [await hub.worker('math', 4_294_967_295), await hub.worker('math', 50)]
  const callers = await Promise.all([1, 2].map(() => hub.caller('math')))
  await Promise.all(callers.map(sayHello))
  for (let ref = 0; ref < 40; ref++) for (const caller of callers) caller.call(ref, ref)
  await until(async () => await hub.gauge('waystation_calls{state="running"}') === 80, 'all calls')
  const [lied, told] = [liar.taken(), honest.taken()]
  assert.ok(lied.length <= 50 && told.length <= 50 && told.length >= 30, `${lied.length} and ${told.length}`)
  for (const one of told) answer(honest, givenIn(one).ref, 'done')
  for (const caller of callers) for (let i = 0; i < 40; i++) await caller.next()
})

test('whatever a worker calls its service, it is a name and nothing else', async (t) => {
  const hub = await hostileHub(t)
  const names = ['a"} 1\nwaystation_up 0', '__proto__', 'constructor', '*', '../x', 'x'.repeat(255), 'ü\u202e', '\\', ' ']
  for (const name of names) await hub.worker(name)
  const metrics = await (await fetch(`${hub.world.url}/_/metrics`)).text()
  assert.equal(metrics.split('\n').filter((line) => line.startsWith('waystation_workers{')).length, names.length)
  assert.ok(!/^waystation_up/m.test(metrics))
  for (const name of ['toString', 'hasOwnProperty', 'b']) assert.equal((await hub.post(name, 1)).body.code, 'no_service', name)
})
