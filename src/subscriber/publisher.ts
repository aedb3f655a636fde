import { createHash } from 'node:crypto'
import { WaystationError } from '../core/errors.ts'
import type { RandomBytes } from '../core/ports.ts'
import { claims } from '../protocol/lonelyps/claims.ts'
import { encodeNotifyPrefix } from '../protocol/lonelyps/requests.ts'
import { parseNotifyResponse } from '../protocol/lonelyps/responses.ts'
import { refusal, type Answer, type Caller, type Outgoing } from './broadcasters.ts'
import { TryAgain, type Rounds } from './rounds.ts'
import { NO_TRACING, stated, type Signing } from './signing.ts'

/**
 * A message that is not in memory. It is read once for its hash and once for each attempt, and must be the same each time;
 * each piece is a buffer of its own.
 */
export type MessageBody = Outgoing

/** Bytes up to which prefix and message go out as one piece. */
const GATHER = 65_536
const IDENTIFIER_BYTES = 4
const MAX_TOPIC = 65_535

/** A topic's bytes. @throws {WaystationError} `bad_request` when there are more than 65,535, or the text is no Unicode */
export function topicBytes(topic: string | Uint8Array): Buffer {
  if (typeof topic === 'string' && !topic.isWellFormed()) throw new WaystationError('bad_request', 'a topic given as text must be well-formed Unicode')
  const bytes = typeof topic === 'string' ? Buffer.from(topic) : Buffer.from(topic.buffer, topic.byteOffset, topic.length)
  if (bytes.length > MAX_TOPIC) throw new WaystationError('bad_request', `a topic has at most ${MAX_TOPIC} bytes`)
  return bytes
}

/** POST /v1/notify (lonelyps, sections 2.3 and 2.8). */
export type Notify = (topic: string | Uint8Array, body: string | Uint8Array | MessageBody) => Promise<{ subscribers: number }>

export function createPublisher(parts: { rounds: Rounds; caller: Caller; signing: Signing; randomBytes: RandomBytes }): Notify {
  const { rounds, caller, signing, randomBytes } = parts
  return async (to, stuff) => {
    const topic = topicBytes(to)
    const body = bodyOf(stuff)
    const sha512 = await digestOf(body)
    return rounds.run(async (base) => {
      // New for each attempt: a broadcaster takes no signature twice.
      const identifier = randomBytes(IDENTIFIER_BYTES)
      const about = { topic, identifier, sha512, tracing: NO_TRACING }
      const prefix = encodeNotifyPrefix({ ...about, length: BigInt(body.size) })
      const answer = await caller.post(`${base}/v1/notify`, signing.prove(claims.notify(about)), behind(prefix, body))
      return { subscribers: countIn(answer, { topic, identifier, sha512 }) }
    })
  }

  /** Whatever its status: only a body that is signed, and for this request, is an answer. */
  function countIn(answer: Answer, { topic, identifier, sha512 }: { topic: Buffer; identifier: Buffer; sha512: Buffer }): number {
    const parsed = parseNotifyResponse(answer.body)
    if (parsed === undefined) throw new TryAgain(refusal(answer.status))
    if (!parsed.identifier.equals(identifier)) throw new TryAgain(new WaystationError('unreachable', 'a broadcaster answers another request'))
    const { subscribers, tracing, authorization } = parsed
    const verdict = signing.checker.checkBound(stated(authorization), claims.confirmNotify({ identifier, subscribers, topic, sha512, tracing }))
    if (verdict !== 'ok') throw new TryAgain(new WaystationError('forbidden', `the answer's authorization is ${verdict}`))
    return subscribers
  }
}

export interface Body extends Outgoing {
  /** All of it, where it is in memory. */
  readonly whole?: Buffer
}

export function bodyOf(stuff: string | Uint8Array | MessageBody): Body {
  if (typeof stuff !== 'string' && !(stuff instanceof Uint8Array)) return stuff
  const whole = typeof stuff === 'string' ? Buffer.from(stuff) : Buffer.from(stuff.buffer, stuff.byteOffset, stuff.length)
  return {
    size: whole.length,
    whole,
    async *read() {
      yield whole
    },
  }
}

/** The SHA-512, at once where the body is in memory. @throws {WaystationError} `bad_request` when it has another size than stated */
export function digestOf(body: Body): Buffer | Promise<Buffer> {
  return body.whole === undefined ? digestOfPieces(body) : createHash('sha512').update(body.whole).digest()
}

async function digestOfPieces(body: Body): Promise<Buffer> {
  const hash = createHash('sha512')
  let size = 0
  for await (const piece of body.read()) {
    size += piece.length
    hash.update(piece)
  }
  if (size !== body.size) throw new WaystationError('bad_request', `the body has ${size} bytes, and states ${body.size}`)
  return hash.digest()
}

function behind(prefix: Buffer, body: Body): Buffer | Outgoing {
  if (body.whole !== undefined && body.size <= GATHER) return Buffer.concat([prefix, body.whole])
  return {
    size: prefix.length + body.size,
    async *read() {
      yield prefix
      yield* body.read()
    },
  }
}
