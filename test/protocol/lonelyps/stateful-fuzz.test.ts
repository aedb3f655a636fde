import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { MessageHead } from '../../../src/protocol/lonelyps/stateful/messages.ts'
import { createSeededRandom } from '../../../src/testing/seeded-random.ts'
import { type Any, type Direction, encode, parse, TYPES, vectors } from './stateful-vectors.ts'
import { hex } from './vectors.ts'

const ROUNDS = 20_000
const MARGIN = 64
/** Beside the frame that is handed in: to be seen in a result is to have been read beyond. */
const BEYOND = 0xa5
const DIRECTIONS = ['S2B', 'B2S'] as const satisfies readonly Direction[]
const FORMS = ['minimal', 'expanded'] as const

const seeds = vectors.stateful_messages.flatMap(({ minimal_hex, expanded_hex }) => [hex(minimal_hex), hex(expanded_hex)])

/** Random bytes, or a good frame that is cut, has some bytes changed, or has another in its middle. */
function hostile({ below, pick }: ReturnType<typeof createSeededRandom>): Buffer {
  if (below(8) === 0) return Buffer.from(Array.from({ length: below(80) }, () => (below(2) === 0 ? 0 : below(256))))
  const seed = pick(seeds)
  const bytes = Buffer.from(seed.subarray(0, below(3) === 0 ? below(seed.length + 1) : seed.length))
  // A small change of a small number is a length that lies: more often than any byte.
  for (let changes = below(4); changes > 0 && bytes.length > 0; changes--) {
    const at = below(bytes.length)
    bytes[at] = below(2) === 0 ? below(256) : (bytes[at] as number) + below(5) - 2
  }
  if (below(6) !== 0) return bytes
  const cut = below(bytes.length + 1)
  return Buffer.concat([bytes.subarray(0, cut), pick(seeds).subarray(4), bytes.subarray(cut)])
}

/** Every view in a result, at any depth. */
function views(value: unknown): Buffer[] {
  if (Buffer.isBuffer(value)) return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(views) : []
}

for (const direction of DIRECTIONS) {
  test(`${direction}: ${ROUNDS} broken frames never throw, are not read beyond, and what is parsed comes again from its own bytes`, () => {
    const random = createSeededRandom(direction === 'S2B' ? 7 : 11)
    let parsed = 0
    for (let round = 0; round < ROUNDS; round++) {
      const frame = hostile(random)
      // The same bytes with others around them: whoever reads beyond gets another result.
      const around = Buffer.alloc(frame.length + 2 * MARGIN, BEYOND)
      frame.copy(around, MARGIN)
      const inside = around.subarray(MARGIN, MARGIN + frame.length)
      const [found, alone] = [parse(direction, inside), parse(direction, frame)]
      if (typeof found === 'string' || typeof alone === 'string') {
        assert.equal(found, alone)
        continue
      }
      parsed++
      assert.deepEqual(found, alone)
      for (const view of views(found)) {
        if (view.length === 0) continue
        assert.ok(view.buffer === around.buffer, 'a copy was made')
        assert.ok(view.byteOffset >= inside.byteOffset && view.byteOffset + view.length <= inside.byteOffset + inside.length)
      }
      for (const form of FORMS) assert.deepEqual(parse(direction, encode(direction, found, form)), found)
    }
    assert.ok(parsed > ROUNDS / 10, `${parsed}`)
  })
}

/** A message with values of any size, also the largest and none. */
function createMessages({ below, pick }: ReturnType<typeof createSeededRandom>): (direction: Direction) => Any {
  const bytes = (most: number): Buffer => Buffer.from(Array.from({ length: pick([0, most, below(most + 1)]) }, () => below(256)))
  const digits = (most: bigint): bigint => {
    const value = BigInt(below(2 ** 32)) << BigInt(below(33))
    return pick([0n, most, (value | BigInt(below(256))) % (most + 1n)])
  }
  const number = (most: number): number => Number(digits(BigInt(most)))
  const body = (): Buffer => bytes(40)
  const sha512 = (of: Buffer): Buffer => createHash('sha512').update(of).digest()
  const largest = (1n << 64n) - 1n
  const identifier = (): Buffer => bytes(64)
  const glob = (): Buffer => Buffer.from(pick(['', '*', 'a/\u00e9?', '\u{1f600}'.repeat(below(9))]))

  function head(compressedLength: bigint, digest: Buffer): MessageHead {
    const compressor = pick([0, 0, number(Number.MAX_SAFE_INTEGER)])
    return { topic: bytes(300), compressor, compressedLength, decompressedLength: compressor === 0 ? compressedLength : digits(largest), sha512: digest }
  }
  function particular(type: Any['type']): object {
    const announced = () => ({ compressor: number(Number.MAX_SAFE_INTEGER), level: below(0x1_0000) - 0x8000, minSize: number(0xffff_ffff), maxSize: digits(largest) })
    const sent = body()
    switch (type) {
      case 'configure': return { nonce: Buffer.alloc(32, below(256)), zstd: below(2) === 0, training: below(2) === 0, initialDictionary: number(65_535) }
      case 'confirm_configure': return { nonce: Buffer.alloc(32, below(256)) }
      case 'notify': return { identifier: identifier(), head: head(BigInt(sent.length), sha512(sent)), body: sent }
      case 'notify_stream':
      case 'receive_stream': {
        const part = number(Number.MAX_SAFE_INTEGER)
        return { identifier: identifier(), part, head: part === 0 ? head(digits(largest), sha512(sent)) : undefined, body: sent }
      }
      case 'continue_receive':
      case 'continue_notify': return { identifier: identifier(), part: number(Number.MAX_SAFE_INTEGER) }
      case 'confirm_receive': return { identifier: identifier(), subscribers: number(0xffff_ffff) }
      case 'confirm_notify': return { identifier: identifier(), subscribers: number(Number.MAX_SAFE_INTEGER) }
      case 'enable_zstd_preset': return announced()
      case 'enable_zstd_custom': return { ...announced(), sha512: sha512(sent), body: sent }
      case 'disable_zstd_custom': return { compressor: number(Number.MAX_SAFE_INTEGER) }
      default: return type.endsWith('glob') ? { glob: glob() } : { topic: bytes(300) }
    }
  }
  return (direction) => {
    const type = pick<Any['type']>(TYPES[direction])
    const authorization = pick([undefined, 'Bearer abc', 'X-HMAC '.repeat(1 + below(20)), '\u00e9\u{1f600}'])
    return { type, authorization, tracing: bytes(100), ...particular(type) } as unknown as Any
  }
}

test('any message is written in both forms, and read again', () => {
  const random = createSeededRandom(13)
  const message = createMessages(random)
  for (let round = 0; round < 4_000; round++) {
    const direction = random.pick(DIRECTIONS)
    const any = message(direction)
    for (const form of FORMS) assert.deepEqual(parse(direction, encode(direction, any, form)), any, `round ${round}`)
  }
})
