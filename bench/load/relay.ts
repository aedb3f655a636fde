import { createHash } from 'node:crypto'
import type { MessageHead } from '../../src/protocol/lonelyps/stateful/messages.ts'
import type { RelayTask, Report } from '../task.ts'
import { converse, type Ready } from './conversation.ts'
import { createHistogram } from './histogram.ts'
import { arrived, measured } from './time.ts'

const TOPIC = Buffer.from('bench/relay')
/** More than are ever under way. */
const REMEMBERED = 65_536

/**
 * One publisher, and subscribers of its topic, over WebSockets. A notify is over when it is confirmed and every subscriber has it and
 * has acknowledged it; the times are those until then. Counted are the deliveries of those. Every message has its number in it: order, and that
 * nothing is missing, is checked.
 * @throws {Error} when anything comes that should not, or does not come
 */
export async function loadRelay(port: number, task: RelayTask, report: Report): Promise<void> {
  const { subscribers, scheme, size, unconfirmed, unfinished } = task
  const options = { scheme, zstd: false, training: false }
  const startedAt = new Float64Array(REMEMBERED)
  /** Confirmations and deliveries that each notify still waits for. */
  const open = new Int32Array(REMEMBERED)
  let histogram = createHistogram()
  let [sent, confirmed, over] = [0, 0, 0]
  let publishing = false
  let next: Ready | undefined

  function step(number: number): void {
    const slot = number % REMEMBERED
    const left = (open[slot] as number) - 1
    open[slot] = left
    if (left > 0) return
    over++
    histogram.add((performance.now() - (startedAt[slot] as number)) * 1_000)
    publish()
  }

  const publisher = await converse(port, options, {
    confirmed({ identifier, subscribers: found }) {
      if (identifier.readUInt32BE(0) !== confirmed) throw new Error('a notify was confirmed before its turn')
      if (found !== subscribers) throw new Error(`a notify reached ${found} subscribers instead of ${subscribers}`)
      confirmed++
      step(confirmed - 1)
      publish()
    },
  })
  const all = await Promise.all(Array.from({ length: subscribers }, async () => {
    let expected = 0
    const subscriber = await converse(port, options, {
      received(piece) {
        if (piece.body.length !== size || piece.body.readUInt32BE(0) !== expected) throw new Error('a message came out of its turn, or damaged')
        subscriber.acknowledge(piece, true)
        step(expected++)
      },
    })
    await subscriber.subscribe(TOPIC)
    return subscriber
  }))

  function make(number: number): Ready {
    const body = Buffer.alloc(size, 'x')
    body.writeUInt32BE(number)
    const identifier = Buffer.allocUnsafe(4)
    identifier.writeUInt32BE(number)
    const length = BigInt(size)
    const head: MessageHead = { topic: TOPIC, compressor: 0, compressedLength: length, decompressedLength: length, sha512: createHash('sha512').update(body).digest() }
    return publisher.ready(identifier, head, body)
  }

  function publish(): void {
    while (publishing && sent - confirmed < unconfirmed && sent - over < unfinished) {
      const slot = sent % REMEMBERED
      open[slot] = subscribers + 1
      const message = next ?? make(sent)
      startedAt[slot] = performance.now()
      publisher.send(message)
      sent++
      // Made while the hub is busy with the last, as a publisher could that has a core of its own.
      next = undefined
      if (unconfirmed === 1) process.nextTick(() => (next ??= make(sent)))
    }
  }

  try {
    publishing = true
    publish()
    await measured(task, report, () => over * subscribers, () => (histogram = createHistogram()))
    publishing = false
    await arrived(() => sent - over, 'messages', task.patience)
  } finally {
    publishing = false
    for (const one of [publisher, ...all]) one.close()
  }
}
