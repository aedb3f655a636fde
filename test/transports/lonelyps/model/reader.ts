import { hash } from 'node:crypto'
import type { Clock } from '../../../../src/core/ports.ts'
import { createChecker } from '../../../../src/protocol/lonelyps/authorization.ts'
import { claims, type Claim } from '../../../../src/protocol/lonelyps/claims.ts'
import { connectionNonce, pseudoUrl } from '../../../../src/protocol/lonelyps/stateful/connection.ts'
import type { MessageHead, ReceivePart, ToSubscriber } from '../../../../src/protocol/lonelyps/stateful/messages.ts'
import { parseToSubscriber } from '../../../../src/protocol/lonelyps/stateful/to-subscriber.ts'
import { decompress } from '../../../../src/protocol/lonelyps/zstd.ts'
import type { Flying, ModelSocket } from './model-socket.ts'
import { PRESET, type Plan } from './plan.ts'

/** Reads what one socket is sent, and holds it against what it is to be sent. */
export interface Reader {
  /** Of the connection, once it is known. */
  readonly nonce: string
  /** Answers and other messages that came, whole. */
  readonly answers: number
  readonly unasked: number
  readonly inMessage: boolean
  /** All that came, in order. */
  readonly parts: readonly Flying[]
  /** Dictionaries by the numbers that were announced and not taken back. */
  readonly dictionaries: ReadonlyMap<number, Buffer | undefined>
  /** @throws {Error} when it is not what the model says */
  read(frame: Buffer): void
}

const LEAST_PART = 512
const CUSTOM = 65_536
const NONE = Buffer.alloc(0)

/** @param ownNonce what the subscriber says in CONFIGURE */
export function createReader(plan: Plan, socket: ModelSocket, ownNonce: Buffer, clock: Clock): Reader {
  const checker = createChecker(plan.toSubscribers, { now: clock.now, lifetime: 120_000, remember: () => false })
  const dictionaries = new Map<number, Buffer | undefined>()
  const { limits } = plan
  const parts: Flying[] = []
  let [nonce, counter, answers, unasked, lastOffset, customs] = ['', 1, 0, 0, -1n, CUSTOM]
  let message: { identifier: Buffer; head: MessageHead; claim: Claim; parts: number; pieces: Buffer[]; size: number } | undefined

  function proved(said: ToSubscriber, claim: Claim): void {
    const verdict = checker.checkBound(said.authorization, claim)
    if (verdict !== 'ok') throw new Error(`the authorization of ${said.type} is ${verdict}`)
  }

  const url = (): string => pseudoUrl(nonce, counter++)

  function answer(said: ToSubscriber, subject: Buffer, part?: number, count?: number): void {
    const expected = socket.answers[answers]
    if (expected === undefined || answers >= socket.released) throw new Error(`${said.type} that nothing was asked for, or not settled`)
    answers++
    const [is, should] = [`${said.type} ${subject.toString('hex')} ${part} ${count}`, `${expected.type} ${expected.subject.toString('hex')} ${expected.part} ${expected.count}`]
    if (is !== should) throw new Error(`the answer is ${is} where ${should} is next`)
    proved(said, expected.claim as Claim)
  }

  function between(said: ToSubscriber): void {
    if (message !== undefined) throw new Error(`${said.type} between two parts`)
  }

  function enabled(said: Extract<ToSubscriber, { type: 'enable_zstd_preset' | 'enable_zstd_custom' }>): void {
    between(said)
    if (dictionaries.has(said.compressor)) throw new Error(`${said.compressor} is announced twice`)
    const { compressor, level, minSize, maxSize, tracing } = said
    const what = { url: url(), compressor, level, minSize: BigInt(minSize), maxSize, tracing }
    if (said.type === 'enable_zstd_custom') {
      if (plan.compression !== 'trained' || compressor !== customs++) throw new Error(`${compressor} is announced`)
      proved(said, claims.enableZstdCustom({ ...what, sha512: said.sha512 }))
      dictionaries.set(compressor, Buffer.from(said.body))
      if ([...dictionaries.keys()].filter((id) => id >= CUSTOM).length > 2) throw new Error('three dictionaries of its own')
      return
    }
    const expected = socket.unasked[unasked++]
    if (expected?.kind !== 'enable' || expected.compressor !== compressor || expected.minSize !== minSize) throw new Error(`${compressor} is announced from ${minSize} on`)
    proved(said, claims.enableZstdPreset(what))
    dictionaries.set(compressor, compressor === PRESET.id ? PRESET.bytes : undefined)
  }

  function first(said: ReceivePart, head: MessageHead): void {
    between(said)
    const { identifier, tracing } = said
    const expected = socket.unasked[unasked]
    if (expected?.kind !== 'message') throw new Error(`a message where ${expected?.kind ?? 'nothing'} is next`)
    if (answers < expected.after) throw new Error('a message before its subscription was confirmed')
    const { topic, sha512 } = head
    if (!topic.equals(expected.topic)) throw new Error(`a message on ${topic.toString()} where one on ${expected.topic.toString()} is next`)
    const offset = identifier.length === 8 ? identifier.readBigUInt64BE() : -1n
    if (offset <= lastOffset) throw new Error(`the identifier ${identifier.toString('hex')}`)
    lastOffset = offset
    const claim = claims.receive({ url: url(), topic, identifier, sha512, tracing })
    message = { identifier, head, claim, parts: 0, pieces: [], size: 0 }
  }

  function received(said: ReceivePart, frameBytes: number): void {
    if (said.head !== undefined) first(said, said.head)
    if (message === undefined) throw new Error(`part ${said.part} of no message`)
    const { identifier, body, part } = said
    const { head } = message
    if (!identifier.equals(message.identifier) || part !== message.parts++) throw new Error(`part ${part} of ${identifier.toString('hex')} where ${message.parts - 1} of ${message.identifier.toString('hex')} is next`)
    proved(said, message.claim)
    message.pieces.push(body)
    message.size += body.length
    const isLast = message.size === Number(head.compressedLength)
    if (message.size > Number(head.compressedLength)) throw new Error('more bytes than announced')
    const headers = frameBytes - body.length
    if (frameBytes > Math.max(limits.maxPartBytes, headers + LEAST_PART)) throw new Error(`a part of ${frameBytes} bytes`)
    if (!isLast && body.length === 0) throw new Error('an empty part')
    const flying = { identifier: Buffer.from(identifier), part, isLast }
    parts.push(flying)
    socket.awaited.push(flying)
    socket.progressAt = clock.monotonic()
    if (limits.maxUnacknowledged > 0 && socket.awaited.length > limits.maxUnacknowledged) throw new Error(`${socket.awaited.length} parts are not acknowledged`)
    if (isLast) whole(message)
  }

  function whole({ head, pieces }: NonNullable<typeof message>): void {
    message = undefined
    const sent = Buffer.concat(pieces)
    const expected = socket.unasked[unasked++]
    if (expected?.kind !== 'message') throw new Error('no message')
    if (!hash('sha512', sent, 'buffer').equals(head.sha512)) throw new Error('another SHA-512')
    if (head.decompressedLength !== BigInt(expected.body.length)) throw new Error(`${head.decompressedLength} bytes are announced`)
    if (plan.compression !== 'trained' && head.compressor !== chosen(expected.body.length)) throw new Error(`compressed with ${head.compressor}, not ${chosen(expected.body.length)}`)
    if (head.compressor !== 0 && !dictionaries.has(head.compressor)) throw new Error(`compressed with ${head.compressor}, which was not announced`)
    const plain = head.compressor === 0 ? sent : decompress(sent, expected.body.length, 0, dictionaries.get(head.compressor))
    if (plain === undefined || !plain.equals(expected.body)) throw new Error(`another body than that of message ${expected.offset}`)
  }

  /** The newest that is meant for so many bytes. */
  function chosen(size: number): number {
    const fitting = socket.unasked.slice(0, unasked).filter((one) => one.kind === 'enable' && one.minSize <= size)
    const newest = fitting.at(-1)
    return newest?.kind === 'enable' ? newest.compressor : 0
  }

  return {
    get nonce() { return nonce },
    get answers() { return answers },
    get unasked() { return unasked },
    get inMessage() { return message !== undefined },
    dictionaries, parts,
    read(frame) {
      const said = parseToSubscriber(frame)
      if (typeof said === 'string') throw new Error(`the hub says what cannot be read: ${said}`)
      if ((nonce === '') !== (said.type === 'confirm_configure')) throw new Error(`${said.type} at the wrong time`)
      switch (said.type) {
        case 'confirm_configure': {
          if (!socket.confirmed) throw new Error('it was not let in')
          proved(said, claims.confirmConfigure({ nonce: said.nonce, tracing: NONE }))
          nonce = connectionNonce(ownNonce, said.nonce)
          return
        }
        case 'confirm_subscribe_exact':
        case 'confirm_unsubscribe_exact': return answer(said, said.topic)
        case 'confirm_subscribe_glob':
        case 'confirm_unsubscribe_glob': return answer(said, said.glob)
        case 'confirm_notify': return answer(said, said.identifier, undefined, said.subscribers)
        case 'continue_notify': return answer(said, said.identifier, said.part)
        case 'receive_stream': return received(said, frame.length)
        case 'enable_zstd_preset':
        case 'enable_zstd_custom': return enabled(said)
        case 'disable_zstd_custom': {
          between(said)
          if (said.compressor < CUSTOM || !dictionaries.delete(said.compressor)) throw new Error(`${said.compressor} is taken back`)
          return proved(said, claims.disableZstdCustom({ url: url(), compressor: said.compressor, tracing: NONE }))
        }
        case 'missed': {
          between(said)
          const expected = socket.unasked[unasked++]
          if (expected?.kind !== 'missed' || !expected.topic.equals(said.topic)) throw new Error(`MISSED where ${expected?.kind ?? 'nothing'} is next`)
          return proved(said, claims.missed({ url: url(), topic: said.topic, tracing: NONE }))
        }
        default: return said satisfies never
      }
    },
  }
}
