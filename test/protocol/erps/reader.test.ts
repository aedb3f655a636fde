import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHead, KEEPALIVE, writePacket } from '../../../src/protocol/erps/packet.ts'
import { TYPES, type Packet } from '../../../src/protocol/erps/messages.ts'
import { PacketError } from '../../../src/protocol/erps/reader.ts'
import { createChance } from '../../simulation/chance.ts'
import { all, ANYONE, cutUp, hex, label, packetOf, PLAIN, reader, vectors } from './vectors.ts'

const cast = (number: number): Buffer => writePacket(PLAIN, 'cast', [Buffer.of(131, 97, number)])
const stream = Buffer.concat([cast(1), KEEPALIVE, KEEPALIVE, cast(2), KEEPALIVE])
const LABELS = ['cast 1', 'keepalive', 'keepalive', 'cast 2', 'keepalive']
const labels = (packets: readonly Packet[]): string[] => packets.map(label)
const code = (wanted: PacketError['code']) => (error: unknown): boolean => error instanceof PacketError && error.code === wanted

test('packets come out whole wherever the stream is cut once or twice', () => {
  for (let a = 0; a <= stream.length; a++) {
    for (let b = a; b <= stream.length; b += 3) {
      const found = all(reader(), [stream.subarray(0, a), stream.subarray(a, b), stream.subarray(b)])
      assert.deepEqual(labels(found), LABELS, `cut at ${a} and ${b}`)
    }
  }
})

for (const { name, chunks, packets } of vectors.stream_for_ports.cases) {
  test(`the stream "${name}" gives its packets as it is cut there, at every byte, and anywhere`, () => {
    const pieces = chunks.map(hex)
    const whole = Buffer.concat(pieces)
    assert.deepEqual(labels(all(reader(), pieces)), packets)
    assert.deepEqual(labels(all(reader(), cutUp(whole, () => 1))), packets)
    for (let seed = 1; seed <= 50; seed++) {
      const chance = createChance(seed, name)
      const cut = cutUp(whole, () => chance.int(1, chance.odds(0.5) ? 12 : 120))
      const found = all(reader(), cut)
      assert.deepEqual(labels(found), packets, `seed ${seed}`)
      assert.ok(Buffer.concat(found.map(({ bytes }) => bytes)).equals(whole), `seed ${seed}`)
    }
  })
}

/** What comes of the bytes of each case of the original's reader here; there are the packets, what breaks the stream, and what is left. */
const HERE: Readonly<Record<string, readonly [packets: readonly string[], broken?: PacketError['code'] | undefined, buffered?: number]>> = {
  one_packet_one_chunk: [['cast 1']],
  two_packets_two_chunks: [['cast 1', 'cast 2']],
  // The original loses both.
  two_packets_one_chunk: [['cast 1', 'cast 2']],
  keepalive_alone: [['keepalive']],
  keepalive_then_packet_two_chunks: [['keepalive', 'cast 1']],
  // The original loses both.
  keepalive_and_packet_one_chunk: [['keepalive', 'cast 1']],
  packet_and_keepalive_one_chunk: [['cast 1', 'keepalive']],
  // The original takes the second for the header of a packet and waits for its rest.
  two_keepalives_one_chunk: [['keepalive', 'keepalive']],
  // The original needs the first 8 bytes in one piece.
  cut_after_4: [['cast 1']],
  cut_after_7: [['cast 1']],
  cut_after_8: [['cast 1']],
  cut_after_50: [['cast 1']],
  cut_after_97: [['cast 1']],
  cut_in_three: [['cast 1']],
  cut_after_50_second_half_brings_next_packet: [['cast 1', 'cast 2']],
  // The original gives up after 500 ms. How long to wait is for the connection to say here.
  cut_after_50_and_nothing_more: [[], undefined, 50],
  cut_after_50_then_closed: [[], undefined, 50],
  // The original waits for a header that is none.
  keepalive_cut_after_8: [['keepalive']],
  no_cookie: [[], 'bad_cookie'],
  // The original forgets the junk and takes the packet, where the two come apart; nobody can rely on that.
  no_cookie_then_packet: [[], 'bad_cookie'],
  junk_before_packet_one_chunk: [[], 'bad_cookie'],
  empty: [[]],
  closed: [[]],
}

test('there are 23 cases of what the original reads, and each has its counterpart', () => {
  assert.equal(vectors.stream_for_ports.cases.length, 8)
  assert.deepEqual(vectors.reference_framing.cases.map(({ name }) => name), Object.keys(HERE))
})

for (const { name, chunks, get_data_calls: calls } of vectors.reference_framing.cases) {
  test(`of "${name}" the original makes ${calls.map(({ result }) => result).join(', ')}`, () => {
    const [packets, broken, buffered = 0] = HERE[name] ?? [[]]
    const pieces = chunks.filter((chunk) => chunk !== '(closed)').map(hex)
    for (const cut of [pieces, [Buffer.concat(pieces)], cutUp(Buffer.concat(pieces), () => 1)]) {
      const one = reader()
      const found: Packet[] = []
      const read = (): void => {
        for (const piece of cut) for (const packet of one.push(piece)) found.push(packet)
      }
      if (broken === undefined) read()
      else assert.throws(read, code(broken))
      assert.deepEqual(labels(found), packets)
      assert.equal(one.buffered, buffered)
    }
    // Whatever the original takes is taken here, where the stream is not broken before it.
    const there = calls.map(({ result }) => result).filter((result) => !result.startsWith('error'))
    if (broken === undefined) for (const each of there) assert.ok(packets.includes(each), each)
  })
}

test('a packet that lies in one chunk is a view of it, and one that does not is put together', () => {
  const [whole] = all(reader(), [stream])
  assert.equal(whole?.bytes.buffer, stream.buffer)
  assert.equal(whole?.payload.buffer, stream.buffer)
  const [joined] = all(reader(), [stream.subarray(0, 50), stream.subarray(50)])
  assert.notEqual(joined?.bytes.buffer, stream.buffer)
  assert.ok(joined?.bytes.equals(cast(1)))
})

test('how much of a packet has come is told, and nothing between packets', () => {
  const one = reader()
  assert.equal(one.buffered, 0)
  let from = 0
  for (const [to, buffered] of [[4, 4], [9, 9], [60, 60], [98, 98], [99, 0], [107, 8], [108, 0]] as const) {
    for (const packet of one.push(stream.subarray(from, to))) assert.equal(one.buffered, 0, packet.type)
    assert.equal(one.buffered, buffered, `after ${to} bytes`)
    from = to
  }
})

test('a wrong cookie is found at its first wrong byte, whatever stands before it', () => {
  for (const before of [Buffer.alloc(0), KEEPALIVE, cast(1)]) {
    for (let at = 0; at < 4; at++) {
      const good = Buffer.concat([before, KEEPALIVE.subarray(0, at)])
      for (let byte = 0; byte < 256; byte++) {
        if (byte === KEEPALIVE[at]) continue
        const one = reader()
        all(one, [good])
        assert.throws(() => all(one, [Buffer.of(byte)]), (error: PacketError) => error.code === 'bad_cookie' && error.message.includes(`byte ${at} `))
        assert.throws(() => all(reader(), [Buffer.concat([good, Buffer.of(byte)])]), code('bad_cookie'))
        assert.throws(() => all(one, [cast(1)]), code('bad_cookie'), 'a stream that is broken stays broken')
      }
    }
  }
})

test('packets before what breaks a stream are given first', () => {
  const found: Packet[] = []
  assert.throws(() => {
    for (const packet of reader().push(Buffer.concat([stream, Buffer.from('junk')]))) found.push(packet)
  }, code('bad_cookie'))
  assert.deepEqual(labels(found), LABELS)
})

test('a size above the bound is refused with its last byte, and one at the bound is taken', () => {
  for (const size of [1_001, 0x0100_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    const head = hex('65727073 00000000')
    head.writeUInt32BE(size, 4)
    const one = reader(1_000)
    all(one, [head.subarray(0, 7)])
    assert.equal(one.buffered, 7)
    assert.throws(() => all(one, [head.subarray(7)]), code('too_large'))
    assert.throws(() => all(reader(1_000), [head]), code('too_large'))
  }
  assert.equal(packetOf(writePacket(PLAIN, 'cast', [Buffer.alloc(1_000, 131)])).payload.length, 1_000)
  assert.equal(all(reader(1_000), [writePacket(PLAIN, 'cast', [Buffer.alloc(1_000)])])[0]?.payload.length, 1_000)
})

test('of the 256 types six are taken, and the others are refused as soon as they are seen', () => {
  const known = new Map<number, string>(Object.entries(TYPES).map(([name, value]) => [value, name]))
  for (let type = 0; type < 256; type++) {
    for (const size of [0, 3]) {
      const bytes = Buffer.concat([PLAIN.bytes, Buffer.of(131, 97, 1).subarray(0, size)])
      bytes[7] = size
      bytes[8] = type
      const name = known.get(type)
      if (name === undefined) {
        assert.throws(() => all(reader(), [bytes.subarray(0, 9)]), code('bad_type'))
        assert.throws(() => all(reader(), cutUp(bytes, () => 8)), code('bad_type'))
        assert.throws(() => all(reader(), [bytes]), code('bad_type'))
      } else if (type !== 0 || size > 0) {
        assert.deepEqual(all(reader(), [bytes]).map((packet) => [packet.type, packet.payload.length]), [[name, size]])
      }
    }
  }
})

test('a keepalive is 9 bytes with size 0 and type 0; with a size it is a packet like any other', () => {
  const [short] = all(reader(), [KEEPALIVE])
  assert.deepEqual([short?.type, short?.payload.length, short?.bytes.length, short?.identifier.length, short?.key.length, short?.signature.length], ['keepalive', 0, 9, 0, 16, 32])
  const long = packetOf(writePacket(PLAIN, 'keepalive', [Buffer.of(131, 106)]))
  assert.deepEqual([long.type, long.payload.toString('hex'), long.bytes.length], ['keepalive', '836a', 98])
})

test('zeros behind an identifier are dropped, and those within it stay', () => {
  for (const [wrote, read] of [['', ''], ['a\0b', 'a\0b'], ['\0a', '\0a'], ['a\0\0', 'a'], ['x'.repeat(36), 'x'.repeat(36)]] as const) {
    const bytes = writePacket(createHead({ ...ANYONE, identifier: Buffer.from(wrote) }), 'cast', [Buffer.of(131, 106)])
    assert.equal(packetOf(bytes).identifier.toString(), read)
  }
  assert.throws(() => createHead({ ...ANYONE, identifier: Buffer.alloc(37) }), RangeError)
})

test('every field of the header is read from its place', () => {
  const bytes = writePacket(PLAIN, 'push', [Buffer.of(131, 106)])
  for (let at = 9; at < 96; at++) bytes[at] = at
  const { version, identifier, key, signature } = packetOf(bytes)
  assert.deepEqual(version, { major: 9, minor: 10, patch: 11 })
  assert.deepEqual([identifier[0], identifier.at(-1), key[0], key.at(-1), signature[0], signature.at(-1)], [12, 47, 48, 63, 64, 95])
})

test('a claimed size costs nothing before its bytes come', () => {
  const before = process.memoryUsage().arrayBuffers
  const open = Array.from({ length: 200 }, () => reader(64 << 20))
  for (const one of open) all(one, [hex('65727073 04000000 04 00')])
  assert.ok(process.memoryUsage().arrayBuffers - before < 10_000_000, `${process.memoryUsage().arrayBuffers - before} bytes are held`)
  assert.equal(open.length, 200)
})

test('a packet that was put together holds no more than itself', () => {
  const bytes = writePacket(PLAIN, 'cast', [Buffer.alloc(6_000, 'x')])
  for (const size of [1, 100, 5_000]) assert.equal(all(reader(), cutUp(bytes, () => size))[0]?.bytes.buffer.byteLength, bytes.length)
})

test('a large packet in a great many pieces is not copied again with each, nor a great many packets in one piece', () => {
  const payload = Buffer.alloc(4 << 20, 'x')
  const bytes = writePacket(PLAIN, 'cast', [payload])
  const keepalives = Buffer.concat(Array.from({ length: 100_000 }, () => KEEPALIVE))
  const began = process.cpuUsage()
  const [whole] = all(reader(64 << 20), cutUp(bytes, () => 256))
  let count = 0
  for (const packet of reader().push(keepalives)) if (packet.type === 'keepalive') count++
  const { user, system } = process.cpuUsage(began)
  assert.ok(whole?.payload.equals(payload))
  assert.equal(count, 100_000)
  // Copied once for every piece these would be 32 GiB, and once for every packet 45.
  assert.ok(user + system < 3_000_000, `${(user + system) / 1_000} ms`)
})
