import { hash } from 'node:crypto'
import { claims } from '../../protocol/lonelyps/claims.ts'
import type { MessageHead } from '../../protocol/lonelyps/stateful/messages.ts'
import { compress, compressLater } from '../../protocol/lonelyps/zstd.ts'
import type { Body } from '../publisher.ts'
import { NO_TRACING } from '../signing.ts'
import type { Compressor } from './compressors.ts'
import type { Session } from './session.ts'

/** A message to be sent by NOTIFY, or by NOTIFY_STREAM when its frame would be too large (lonelyps, sections 4.9 and 4.10). */
export interface Outgoing {
  readonly topic: Buffer
  readonly body: Body
  /** Of the body, 64 bytes. */
  readonly sha512: Buffer
  /** Another one each time. */
  readonly identifier: Buffer
  confirmed(subscribers: number): void
}

/** Bytes of a body, and of a dictionary, up to which compressing is not worth a thread. */
const AT_ONCE = 16_384
const DICTIONARY_AT_ONCE = 131_072
/** Bytes of a part at least, however long its headers. */
const LEAST_PART = 512
const NONE: Buffer = Buffer.alloc(0)

/**
 * Sends it, all parts behind one another; where it waits, it waits for the network. Settles when all is sent, or the
 * connection is over. Rejects when the source fails: what was begun can then not be ended.
 * @param most bytes of a frame
 */
export function send(session: Session, message: Outgoing, most: number): Promise<void> | undefined {
  const { body, sha512 } = message
  const whole = body.whole
  // What is not in memory goes as it is: its compressed length would have to be known before its first byte.
  const compressor = whole === undefined ? undefined : session.compressors.choose(whole.length)
  if (compressor === undefined || whole === undefined) return sendAs(session, message, { compressor: 0, length: body.size, sha512, body }, most)
  if (whole.length <= AT_ONCE && (compressor.dictionary?.length ?? 0) <= DICTIONARY_AT_ONCE) return sendAs(session, message, packed(compressor, compress(whole, compressor.level, compressor.dictionary)), most)
  return compressLater(whole, compressor.level, compressor.dictionary).then((bytes) => sendAs(session, message, packed(compressor, bytes), most))
}

interface Sent {
  readonly compressor: number
  readonly length: number
  readonly sha512: Buffer
  readonly body: Body
}

function packed({ id }: Compressor, whole: Buffer): Sent {
  const body: Body = {
    size: whole.length,
    whole,
    async *read() {
      yield whole
    },
  }
  return { compressor: id, length: whole.length, sha512: hash('sha512', whole, 'buffer'), body }
}

function sendAs(session: Session, message: Outgoing, sent: Sent, most: number): Promise<void> | undefined {
  if (session.over.aborted) return undefined
  const { topic, identifier } = message
  const head: MessageHead = { topic, compressor: sent.compressor, compressedLength: BigInt(sent.length), decompressedLength: BigInt(message.body.size), sha512: sent.sha512 }
  const claim = claims.notify({ topic, identifier, sha512: sent.sha512, tracing: NO_TRACING })
  const about = { identifier, tracing: NO_TRACING }
  const { whole } = sent.body
  if (whole !== undefined && whole.length < most) {
    const bytes = session.encode({ type: 'notify', ...about, head, body: whole, authorization: session.prove(claim) })
    if (bytes.length + whole.length <= most) {
      session.ask(bytes, whole, confirmation(message, message.sha512))
      return session.room()
    }
  }
  return inParts()

  async function inParts(): Promise<void> {
    let part = 0
    let left = sent.length
    let filled: Buffer = NONE

    function start(): { bytes: Buffer; room: number } {
      const bytes = session.encode({ type: 'notify_stream', ...about, part, head: part === 0 ? head : undefined, body: NONE, authorization: session.prove(claim) })
      return { bytes, room: Math.min(left, Math.max(LEAST_PART, most - bytes.length)) }
    }

    let next = start()
    for await (const piece of sent.body.read()) {
      let at = 0
      while (at < piece.length) {
        if (session.over.aborted) return
        if (left === 0) throw new Error('the body is longer than it was')
        const taken = view(piece, at, Math.min(piece.length, at + next.room - filled.length))
        at += taken.length
        // One part out of many pieces is gathered; one that lies within a piece is not copied.
        const gathered: Buffer = filled.length === 0 && taken.length === next.room ? taken : append(filled, taken, next.room)
        if (gathered.length < next.room) {
          filled = gathered
          continue
        }
        filled = NONE
        left -= gathered.length
        session.ask(next.bytes, gathered, left === 0 ? confirmation(message, sent.compressor === 0 ? message.sha512 : sent.sha512) : continuation(message))
        part++
        await session.room()
        if (left > 0) next = start()
      }
    }
    if (left > 0 && !session.over.aborted) throw new Error('the body is shorter than it was')
    if (sent.length === 0) session.ask(next.bytes, NONE, confirmation(message, sent.sha512))
  }
}

function view(piece: Uint8Array, from: number, to: number): Buffer {
  return Buffer.from(piece.buffer, piece.byteOffset + from, to - from)
}

/** Behind what is there, in room for a whole part: `to` is the part's size, `filled` a view of its beginning. */
function append(filled: Buffer, more: Buffer, to: number): Buffer {
  const room = filled.length === 0 ? Buffer.allocUnsafeSlow(to) : Buffer.from(filled.buffer, 0, to)
  more.copy(room, filled.length)
  return room.subarray(0, filled.length + more.length)
}

/** @param sha512 what the confirmation is signed with: of the message, or of a compressed stream as sent (section 3.4) */
function confirmation({ topic, identifier, body, confirmed }: Outgoing, sha512: Buffer): Parameters<Session['ask']>[2] {
  return {
    type: 'confirm_notify',
    subject: identifier,
    size: body.size,
    claim: (answer) => claims.confirmNotify({ identifier, subscribers: countIn(answer), topic, sha512, tracing: answer.tracing }),
    settle: (answer) => confirmed(countIn(answer)),
  }
}

function continuation({ identifier, body }: Outgoing): Parameters<Session['ask']>[2] {
  return {
    type: 'continue_notify',
    subject: identifier,
    size: body.size,
    claim: (answer) => claims.continueNotify({ identifier, part: 'part' in answer ? answer.part : 0, tracing: answer.tracing }),
    settle() {},
  }
}

function countIn(answer: Parameters<Parameters<Session['ask']>[2]['settle']>[0]): number {
  return answer.type === 'confirm_notify' ? answer.subscribers : 0
}
