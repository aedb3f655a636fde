import { createHash, randomBytes } from 'node:crypto'
import type { MessageHead, ReceivePart } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { compress, decompress } from '../../src/protocol/lonelyps/zstd.ts'
import type { LargeTask, Report } from '../task.ts'
import { converse } from './conversation.ts'
import { arrived, measured } from './time.ts'

const TOPIC = Buffer.from('bench/large')
/** What clients of the original put into one part at most, with its headers. */
const PART = 3_670_016
const HEADERS = 1_024
const ZSTD = 1

/**
 * The same random message again and again, each when the last is over: confirmed, and acknowledged whole. It is hashed and compressed
 * beforehand, and what comes is compared with what was sent, so that the load costs little beside the hub.
 * @throws {Error} when another message comes, or none
 */
export async function loadLarge(port: number, task: LargeTask, report: Report): Promise<void> {
  const { size, scheme, zstd } = task
  const options = { scheme, zstd, training: false }
  const message = randomBytes(size)
  let [sent, finished, left, bytes] = [0, 0, 0, 0]
  let publishing = false

  function step(): void {
    if (--left > 0) return
    finished++
    publish()
  }

  const publisher = await converse(port, options, {
    confirmed({ subscribers }) {
      if (subscribers !== 1) throw new Error(`a notify reached ${subscribers} subscribers instead of 1`)
      step()
    },
  })
  const collect = createCollector(message)
  const subscriber = await converse(port, options, {
    received(piece) {
      const isLast = collect(piece)
      // Counted part for part, or a short measurement would be one message more or less.
      bytes += piece.body.length
      subscriber.acknowledge(piece, isLast)
      if (isLast) step()
    },
  })
  await subscriber.subscribe(TOPIC)
  // The hub announces before it confirms anything.
  await publisher.subscribe(Buffer.from('bench/announced'))
  if (zstd !== publisher.compressors.has(ZSTD)) throw new Error('the hub announces compressor 1 to whoever offers zstd, and to nobody else')

  const packed = zstd ? compress(message, publisher.compressors.get(ZSTD)?.level ?? 3) : message
  const head: MessageHead = {
    topic: TOPIC, compressor: zstd ? ZSTD : 0,
    compressedLength: BigInt(packed.length), decompressedLength: BigInt(size),
    sha512: createHash('sha512').update(packed).digest(),
  }

  function publish(): void {
    if (!publishing) return
    left = 2
    const identifier = Buffer.alloc(4)
    identifier.writeUInt32BE(sent++)
    for (let part = 0, at = 0; at < packed.length; part++, at += PART - HEADERS) {
      publisher.send(publisher.readyPart(identifier, head, part, packed.subarray(at, at + PART - HEADERS)))
    }
  }

  try {
    publishing = true
    publish()
    await measured(task, report, () => bytes)
    publishing = false
    await arrived(() => sent - finished, 'messages', task.patience)
  } finally {
    publishing = false
    publisher.close()
    subscriber.close()
  }
}

/** Compares part for part with the message, or with the compressed bytes that were once found to hold it. Tells the last part. */
function createCollector(message: Buffer): (piece: ReceivePart) => boolean {
  let known: MessageHead | undefined
  let expected: Buffer | undefined = undefined as Buffer | undefined
  let pieces: Buffer[] = []
  let head: MessageHead | undefined
  let at = 0

  function check(body: Buffer): void {
    if (expected === undefined) pieces.push(body)
    else if (expected.compare(body, 0, body.length, at, Math.min(at + body.length, expected.length)) !== 0) throw new Error(`a message was damaged near byte ${at}`)
  }

  function finish({ compressor, compressedLength, decompressedLength, sha512 }: MessageHead): void {
    const packed = Buffer.concat(pieces)
    const plain = compressor === ZSTD ? decompress(packed, message.length, 0) : packed
    if (plain?.equals(message) !== true || Number(decompressedLength) !== message.length || packed.length !== Number(compressedLength)) throw new Error('another message came')
    if (!createHash('sha512').update(packed).digest().equals(sha512)) throw new Error('a message came with the digest of another')
    known = head
    expected = packed
  }

  return (piece) => {
    if (piece.head !== undefined) {
      head = piece.head
      at = 0
      pieces = []
      // The same bytes need no second look; others are looked at as the first.
      if (known !== undefined && !known.sha512.equals(head.sha512)) expected = undefined
    }
    if (head === undefined) throw new Error('a part came before the first')
    check(piece.body)
    at += piece.body.length
    if (at < Number(head.compressedLength)) return false
    if (expected === undefined) finish(head)
    else if (at !== expected.length) throw new Error('a message was too long')
    return true
  }
}
