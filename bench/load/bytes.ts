import { createHash, randomBytes, randomInt } from 'node:crypto'
import type { MessageHead, ReceivePart } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { compress, decompress } from '../../src/protocol/lonelyps/zstd.ts'
import { headerSize } from '../../src/protocol/websocket/frame.ts'
import type { BytesTask, Report } from '../task.ts'
import { converse, type Announced } from './conversation.ts'
import { cpuSeconds } from './time.ts'

const TOPIC = Buffer.from('bench/bytes')
const MASK_BYTES = 4
const FIRST_CUSTOM = 65_536
/** The first dictionary is made after some 500 messages. When it has not come after so many, it never will. */
const PATIENCE = 20_000
const COLOURS = ['red', 'green', 'blue', 'yellow', 'purple', 'orange']
const FRUITS = ['apple', 'banana', 'cherry', 'mango', 'pear', 'plum']

/** The JSON of lonelyps, section 9.3, of some 190 bytes. */
function person(): Buffer {
  const name = randomBytes(9).toString('base64url')
  return Buffer.from(
    `{"username": "${name}", "email": "${name}@example.com", "favorite_color": "${pick(COLOURS)}", "favorite_number": ${randomInt(100)}, ` +
    `"favorite_fruit": "${pick(FRUITS)}", "updated_at_ms": ${Date.now()}, "is_admin": ${randomInt(2) === 1}}`,
  )
}

function pick(from: readonly string[]): string {
  return from[randomInt(from.length)] as string
}

/**
 * One message after the other, no two alike. Each is compressed as a real client would, by what the hub announced, and what comes is
 * decompressed and compared.
 * @throws {Error} when something else comes, or when training was offered and no dictionary comes
 */
export async function loadBytes(port: number, { messages, trained }: BytesTask, report: Report): Promise<void> {
  const options = { scheme: 'none', zstd: trained, training: trained } as const
  const bytes = { plain: 0, bodyIn: 0, frameIn: 0, bodyOut: 0, frameOut: 0 }
  let counted = 0
  let waits: { left: number; plain: Buffer; done(): void } | undefined

  function step(): void {
    if (waits !== undefined && --waits.left === 0) waits.done()
  }

  const publisher = await converse(port, options, {
    confirmed({ subscribers }) {
      if (subscribers !== 1) throw new Error(`a notify reached ${subscribers} subscribers instead of 1`)
      step()
    },
  })
  const subscriber = await converse(port, options, {
    received(piece, size) {
      if (unpacked(piece, subscriber.compressors)?.equals(waits?.plain ?? Buffer.alloc(0)) !== true) throw new Error('another message came')
      bytes.bodyOut += piece.body.length
      bytes.frameOut += headerSize(size) + size
      subscriber.acknowledge(piece, true)
      step()
    },
  })
  await subscriber.subscribe(TOPIC)

  async function one(): Promise<void> {
    const plain = person()
    const [compressor, body] = packed(plain, publisher.compressors)
    const sha512 = createHash('sha512').update(body).digest()
    const head: MessageHead = { topic: TOPIC, compressor, compressedLength: BigInt(body.length), decompressedLength: BigInt(plain.length), sha512 }
    const [before] = publisher.ready(randomBytes(4), head, body)
    const size = before.length + body.length
    bytes.plain += plain.length
    bytes.bodyIn += body.length
    bytes.frameIn += headerSize(size) + MASK_BYTES + size
    counted++
    await new Promise<void>((done) => {
      waits = { left: 2, plain, done }
      publisher.send([before, body])
    })
  }

  const hasDictionary = (): boolean => [publisher, subscriber].every(({ compressors }) => newest(compressors) >= FIRST_CUSTOM)
  try {
    while (trained && !hasDictionary()) {
      if (counted > PATIENCE) throw new Error(`no dictionary came after ${counted} messages`)
      await one()
    }
    Object.assign(bytes, { plain: 0, bodyIn: 0, frameIn: 0, bodyOut: 0, frameOut: 0 })
    const [cpu, began] = [cpuSeconds(), performance.now()]
    await report({ begin: true })
    for (let i = 0; i < messages; i++) await one()
    await report({ end: { count: messages, seconds: (performance.now() - began) / 1_000, bytes, cpu: cpuSeconds() - cpu } })
  } finally {
    publisher.close()
    subscriber.close()
  }
}

function newest(compressors: ReadonlyMap<number, Announced>): number {
  return Math.max(0, ...compressors.keys())
}

/** By the rule of section 4.13: the one with the smallest least size that fits; of two the newer. */
function packed(plain: Buffer, compressors: ReadonlyMap<number, Announced>): [compressor: number, body: Buffer] {
  const fitting = [...compressors].filter(([, { minSize, maxSize }]) => plain.length >= minSize && BigInt(plain.length) < maxSize)
  const [chosen] = fitting.toSorted(([a, { minSize: x }], [b, { minSize: y }]) => x - y || b - a)
  if (chosen === undefined) return [0, plain]
  const [compressor, { level, dictionary }] = chosen
  return [compressor, compress(plain, level, dictionary)]
}

function unpacked({ head, body }: ReceivePart, compressors: ReadonlyMap<number, Announced>): Buffer | undefined {
  if (head === undefined || head.compressor === 0) return body
  return decompress(body, Number(head.decompressedLength), 0, compressors.get(head.compressor)?.dictionary)
}
