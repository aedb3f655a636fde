import { topicFromBytes, type Topic } from '../../core/topic.ts'
import type { MessageHead, ReceivePart } from '../../protocol/lonelyps/stateful/messages.ts'
import type { Compressor } from './compressors.ts'
import { createQueue } from './queue.ts'
import type { Assembly, Flaw, Taken, Taking } from './taking.ts'

/** What comes by RECEIVE_STREAM on one connection (lonelyps, section 4.11), one message after the other. */
export interface Incoming {
  /** Between two parts of a message only answers may come. */
  readonly isBetweenParts: boolean
  /** Called in the order of the wire, its authorization checked. Gives what is wrong with it. @param size bytes of its frame */
  part(message: ReceivePart, size: number, compressor: Compressor | undefined): string | undefined
  /** Runs `fn` when all that came before has been handed over. */
  inTurn(fn: () => void): void
}

export interface IncomingParts {
  readonly taking: Taking
  readonly over: AbortSignal
  /** Hands it to the feeds. */
  readonly deliver: (topic: Topic, taken: Taken) => void
  /** There was no room for it on disk. */
  readonly missed: (topic: Topic) => void
  /** `part` is undefined for the last. */
  readonly acknowledge: (identifier: Buffer, part: number | undefined) => void
  /** Waits for the network where too much of what was sent waits for it. */
  readonly room: () => Promise<void> | undefined
  readonly drop: (why: string) => void
  /** Too much waits for its turn, or no longer. */
  readonly pause: () => void
  readonly resume: () => void
}

interface Running {
  readonly head: MessageHead
  readonly identifier: Buffer
  readonly topic: Topic
  readonly compressor: Compressor | undefined
  arrived: bigint
  next: number
  empty: number
}

/** Parts without bytes in a message that has some. No broadcaster has a reason to send one, and they would never end. */
const MOST_EMPTY = 16
/** Parts that may wait for their turn, and the bytes of their frames: hubs send three at a time. */
const MOST_PARTS = 256
const MOST_BYTES = 67_108_864
const NONE = Buffer.alloc(0)
const FLAWS: Readonly<Record<Exclude<Flaw, 'full'>, string>> = {
  digest: 'a message has another SHA-512 than announced',
  compression: 'a message cannot be decompressed to the announced length',
}

export function createIncoming(parts: IncomingParts): Incoming {
  const { taking, over, deliver, missed, acknowledge, drop } = parts
  const steps = createQueue<{ size: number; run: () => Promise<void> | undefined }>()
  let running: Running | undefined
  let assembly: Assembly | undefined
  let isRunning = false
  let bytes = 0
  let isPaused = false

  over.addEventListener('abort', () => assembly?.discard(), { once: true })

  function inTurn(size: number, run: () => Promise<void> | undefined): void {
    steps.push({ size, run })
    bytes += size
    if (!isRunning) work()
    if (isPaused || (steps.size <= MOST_PARTS && bytes <= MOST_BYTES)) return
    isPaused = true
    parts.pause()
  }

  /** Everything that can be done at once is; a step that waits goes on by itself. */
  function work(): void {
    isRunning = true
    for (let step = steps.peek(); step !== undefined; step = steps.peek()) {
      const waits = over.aborted ? undefined : run(step.run)
      if (waits !== undefined) {
        waits.catch((error: Error) => drop(error.message)).then(advance).then(work, (error: Error) => drop(error.message))
        return
      }
      advance()
    }
    isRunning = false
  }

  /** Acknowledgements that nobody reads do not heap up. */
  function run(step: () => Promise<void> | undefined): Promise<void> | undefined {
    return parts.room()?.then(() => (over.aborted ? undefined : step())) ?? step()
  }

  function advance(): void {
    bytes -= steps.shift()?.size ?? 0
    if (!isPaused || steps.size > MOST_PARTS / 2 || bytes > MOST_BYTES / 2) return
    isPaused = false
    parts.resume()
  }

  function hand({ topic, identifier }: Running, taken: Taken | Flaw): void {
    if (taken === 'full') missed(topic)
    else if (typeof taken === 'string') return drop(FLAWS[taken])
    else deliver(topic, taken)
    acknowledge(identifier, undefined)
  }

  async function slowly(message: Running, part: number, body: Buffer, isLast: boolean): Promise<void> {
    if (part === 0) assembly = await taking.begin(message.head, message.compressor, over)
    const whole = assembly
    if (whole === undefined) return
    await whole.add(body)
    if (over.aborted) return whole.discard()
    if (!isLast) return acknowledge(message.identifier, part)
    assembly = undefined
    const taken = await whole.finish()
    if (over.aborted) return letGo(taken)
    hand(message, taken)
  }

  function begin({ head, identifier, part, body }: ReceivePart, compressor: Compressor | undefined): Running | string {
    if (part !== 0 || head === undefined) return 'a part came without the one before'
    if (running !== undefined) return 'a message began before the last was whole'
    const begun = { topic: topicFromBytes(head.topic), compressor, arrived: 0n, next: 0, empty: 0 }
    if (BigInt(body.length) === head.compressedLength) return { ...begun, head, identifier }
    // Copies: the frame that they are views of would be kept until the last part.
    return { ...begun, head: { ...head, topic: NONE, sha512: Buffer.from(head.sha512) }, identifier: Buffer.from(identifier) }
  }

  return {
    get isBetweenParts() { return running !== undefined },
    inTurn: (fn) => inTurn(0, () => void fn()),
    part(piece, size, compressor) {
      const message = piece.part > 0 && running !== undefined ? running : begin(piece, compressor)
      if (typeof message === 'string') return message
      if (piece.part !== message.next || !piece.identifier.equals(message.identifier)) return 'a part came out of its turn'
      message.next++
      message.arrived += BigInt(piece.body.length)
      const isLast = message.arrived === message.head.compressedLength
      if (message.arrived > message.head.compressedLength) return 'a message is longer than announced'
      const { part, body } = piece
      if (!isLast && body.length === 0 && ++message.empty > MOST_EMPTY) return 'too many parts of a message are empty'
      running = isLast ? undefined : message
      inTurn(size, () => {
        const taken = isLast && part === 0 ? taking.now(message.head, body, message.compressor) : 'later'
        if (taken === 'later') return slowly(message, part, body, isLast)
        hand(message, taken)
        return undefined
      })
      return undefined
    },
  }
}

function letGo(taken: Taken | Flaw): void {
  if (typeof taken === 'string') return
  taken.content.large?.letGo()
  taken.done()
}
