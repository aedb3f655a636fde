import { readFileSync } from 'node:fs'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'

interface ZstdCase {
  readonly description: string
  readonly dictionary: 'trained' | 'raw_content' | null
  readonly plain_hex: string | null
  readonly plain_repeat?: { readonly byte: number; readonly count: number }
  readonly compressed_hex: string
}
interface ZstdVectors {
  readonly cases: readonly ZstdCase[]
  readonly trained_dictionary_hex: string
  readonly raw_content_dictionary_hex: string
}

const { zstd } = JSON.parse(readFileSync(new URL('../vectors/lonelyps.json', import.meta.url), 'utf8')) as { readonly zstd: ZstdVectors }

export const trained = Buffer.from(zstd.trained_dictionary_hex, 'hex')
export const rawContent = Buffer.from(zstd.raw_content_dictionary_hex, 'hex')

/** The frames of the vectors, with what they hold. */
export const zstdCases = zstd.cases.map(({ description, dictionary, plain_hex, plain_repeat, compressed_hex }) => ({
  description,
  dictionary: dictionary === 'trained' ? trained : dictionary === 'raw_content' ? rawContent : undefined,
  plain: plain_repeat === undefined ? Buffer.from(plain_hex ?? '', 'hex') : Buffer.alloc(plain_repeat.count, plain_repeat.byte),
  frame: Buffer.from(compressed_hex, 'hex'),
}))

export type Traffic = () => Buffer

/** Messages of three kinds, without end, the same from the same seed: the JSON of the vectors, log lines, binary records. */
export function traffic(seed: number): Readonly<Record<'json' | 'log lines' | 'binary records', Traffic>> {
  const random = createSeededRandom(seed)
  const letters = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789']
  const name = (): string => Array.from({ length: 11 }, () => random.pick(letters)).join('')
  const time = (): string => `2026-01-${10 + random.below(20)}T${10 + random.below(14)}:${10 + random.below(50)}:${10 + random.below(50)}.${100 + random.below(900)}Z`
  const lines = [
    () => `INFO  [http-worker-${random.below(16)}] request finished method=${random.pick(['GET', 'POST', 'PUT'])} path=/api/v1/${random.pick(['users', 'orders', 'items', 'carts'])}/${random.below(1e6)} status=${random.pick([200, 201, 204, 404, 500])} duration_ms=${random.below(900)}`,
    () => `WARN  [db-pool-${random.below(4)}] slow query took ${random.below(9000)} ms: SELECT id, name, price FROM ${random.pick(['orders', 'items'])} WHERE customer_id = ${random.below(1e7)} ORDER BY created_at DESC LIMIT 50`,
    () => `ERROR [payment] could not charge card for order ${random.below(1e7)}: upstream timeout after 3000 ms (attempt ${random.below(5)} of 5)\n    at Charge.run (/srv/app/payment/charge.js:${random.below(400)}:13)`,
  ]
  return {
    json() {
      const user = name()
      return Buffer.from(`{"username": "${user}", "email": "${user}@example.com", "favorite_color": "${random.pick(['green', 'red', 'blue', 'yellow'])}", "favorite_number": ${random.below(100)}, "favorite_fruit": "${random.pick(['apple', 'cherry', 'banana', 'kiwi'])}", "updated_at_ms": ${1_736_868_000_000 + random.below(1e6)}, "is_admin": ${random.pick(['true', 'false'])}}`)
    },
    'log lines': () => Buffer.from(`${time()} ${random.pick(lines)()}`),
    'binary records'() {
      const record = Buffer.alloc(96)
      record.write('REC1', 0)
      record.writeUInt32BE(1_700_000_000 + random.below(1e6), 4)
      record.writeUInt16BE(random.below(40), 8)
      record.writeUInt32BE(0x00010002, 10)
      record.write(random.pick(['sensor-north-hall', 'sensor-south-hall', 'sensor-gate', 'sensor-roof-top-a']), 14)
      for (let i = 0; i < 8; i++) record.writeFloatBE(20 + random.below(60) / 10, 40 + i * 4)
      record.writeUInt32BE(random.below(2 ** 32), 72)
      record.writeUInt32BE(0xdeadbeef, 76)
      record.writeUInt32BE(random.below(2 ** 32), 90)
      return record
    },
  }
}

/** As many messages as make so many bytes. */
export function messages(next: Traffic, bytes: number): Buffer[] {
  const all: Buffer[] = []
  for (let size = 0; size < bytes; ) {
    const message = next()
    all.push(message)
    size += message.length
  }
  return all
}
