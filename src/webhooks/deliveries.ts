import { createHash } from 'node:crypto'
import type { Message } from '../core/message.ts'
import type { Clock, RandomBytes } from '../core/ports.ts'
import type { Registration } from '../core/registry.ts'
import { topicToBytes, type Topic } from '../core/topic.ts'
import type { Checker } from '../protocol/lonelyps/authorization.ts'
import { claims } from '../protocol/lonelyps/claims.ts'
import { encodeReceivePrefix, reprDigest } from '../protocol/lonelyps/requests.ts'
import { parseReceiveAnswer } from '../protocol/lonelyps/responses.ts'
import type { Batch, Batches } from './batches.ts'
import type { Caller } from './caller.ts'
import type { Lanes } from './lanes.ts'
import type { Prover } from './signing.ts'
import { parseTarget, type Target } from './target.ts'

/** What one delivery came to. */
export type Outcome =
  | { readonly type: 'confirmed'; readonly receivers: number }
  /** The url wants no more of this registration. */
  | { readonly type: 'unsubscribe' }
  | { readonly type: 'failed'; readonly why: string }

export interface DeliveryEvents {
  /** The final outcome of every delivery, also of one that was late for whoever waited. */
  settled(registration: Registration, topic: Topic, outcome: Outcome, seconds: number): void
}

const IDENTIFIER_BYTES = 8
/** Deliveries that begin in one turn of the event loop; the others wait for their turn, so that sockets get theirs. */
const AT_ONCE = 64
const NO_TRACING = Buffer.alloc(0)

/**
 * Sends messages to urls as receive webhooks (lonelyps, section 2.4): those of one topic to one registration one after the
 * other, so that their order is the hub's; all others beside each other.
 */
export function createDeliveries(parts: {
  caller: Caller
  lanes: Lanes
  batches: Batches
  prover: Prover
  checker: Checker
  clock: Clock
  randomBytes: RandomBytes
  /** Whether a registration still stands. */
  isThere: (id: number) => boolean
  events: DeliveryEvents
}): { deliver(registration: Registration, message: Message): void; readonly open: number; idle(): Promise<void> } {
  const { caller, lanes, batches, prover, checker, clock, randomBytes, isThere, events } = parts
  const targets = new WeakMap<Registration, Target | string>()
  const digests = new WeakMap<Message, Buffer>()
  const starting: (() => void)[] = []
  let inTurn = 0
  let open = 0
  let toldIdle: (() => void)[] = []

  function targetOf(registration: Registration): Target | string {
    let target = targets.get(registration)
    if (target === undefined) targets.set(registration, (target = parseTarget(registration.url)))
    return target
  }

  function digestOf(message: Message): Buffer {
    let digest = message.sha512 ?? digests.get(message)
    if (digest === undefined) digests.set(message, (digest = createHash('sha512').update(message.body).digest()))
    return digest
  }

  /** At once while the turn is young, else in the order asked, some in each turn. */
  function soon(start: () => void): void {
    if (inTurn < AT_ONCE && starting.length === 0) {
      if (inTurn++ === 0) clock.endOfTurn(nextTurn)
      start()
    } else starting.push(start)
  }
  function nextTurn(): void {
    inTurn = 0
    const some = starting.splice(0, AT_ONCE)
    if (some.length === 0) return
    inTurn = some.length
    clock.endOfTurn(nextTurn)
    for (const start of some) start()
  }

  function deliver(registration: Registration, message: Message): void {
    const batch = batches.of(message)
    const target = targetOf(registration)
    const began = clock.monotonic()
    const refused = batch === undefined ? 'too much is on its way' : typeof target === 'string' ? target : undefined
    if (batch === undefined || typeof target === 'string') {
      return settle(registration, message.topic, { type: 'failed', why: refused as string }, began)
    }
    batch.begin()
    open++
    const run = (next: () => void): void => soon(() => void send(registration, target, batch, began, next))
    if (lanes.enter(`${registration.id}:${message.topic}`, run)) return
    batch.count(0)
    settle(registration, message.topic, { type: 'failed', why: 'too many messages wait for this url' }, began)
    ended(batch)
  }

  async function send(registration: Registration, target: Target, batch: Batch, began: number, next: () => void): Promise<void> {
    let counted = false
    const count = (receivers: number): void => {
      if (counted) return
      counted = true
      batch.count(receivers)
      next()
    }
    const outcome = await attempt(registration, target, batch.message, () => count(0)).catch((error: Error): Outcome => ({ type: 'failed', why: error.message }))
    settle(registration, batch.message.topic, outcome, began)
    count(outcome.type === 'confirmed' ? outcome.receivers : 0)
    ended(batch)
  }

  async function attempt(registration: Registration, target: Target, message: Message, late: () => void): Promise<Outcome> {
    // What waited may have waited for longer than its registration was there.
    if (!isThere(registration.id)) return { type: 'failed', why: 'the registration is gone' }
    const topic = topicToBytes(message.topic)
    const identifier = randomBytes(IDENTIFIER_BYTES)
    const sha512 = digestOf(message)
    const length = message.large?.size ?? message.body.length
    const authorization = prover(claims.receive({ url: target.signed, topic, identifier, sha512, tracing: NO_TRACING }))
    const headers = {
      'Content-Type': 'application/octet-stream',
      'Repr-Digest': reprDigest(sha512),
      ...(authorization !== undefined && { Authorization: authorization }),
    }
    const prefix = encodeReceivePrefix({ tracing: NO_TRACING, topic, identifier, length: BigInt(length) })
    const outgoing = { target, headers, parts: [prefix, message.body], ...(message.large !== undefined && { large: message.large }) }
    const answer = await caller.call(outgoing, late)
    if ('failure' in answer) return { type: 'failed', why: answer.failure }
    // Whatever its status: only the body counts.
    const parsed = parseReceiveAnswer(answer.body)
    if (parsed === undefined) return { type: 'failed', why: `an answer of status ${answer.status} that is none` }
    if (parsed.type === 'unsubscribe') return parsed
    // The identifier is new for each delivery, so an answer that repeats it cannot be an old one: no memory is needed.
    if (!parsed.identifier.equals(identifier)) return { type: 'failed', why: 'the answer is for another delivery' }
    const { authorization: proof, subscribers, tracing } = parsed
    const verdict = checker.checkBound(proof === '' ? undefined : proof, claims.confirmReceive({ identifier, subscribers, url: target.signed, tracing }))
    return verdict === 'ok' ? { type: 'confirmed', receivers: subscribers } : { type: 'failed', why: `the answer's authorization is ${verdict}` }
  }

  function settle(registration: Registration, topic: Topic, outcome: Outcome, began: number): void {
    events.settled(registration, topic, outcome, (clock.monotonic() - began) / 1_000)
  }

  function ended(batch: Batch): void {
    batch.end()
    if (--open > 0) return
    for (const tell of toldIdle) tell()
    toldIdle = []
  }

  return {
    deliver,
    get open() { return open },
    idle: () => (open === 0 ? Promise.resolve() : new Promise((resolve) => void toldIdle.push(resolve))),
  }
}
