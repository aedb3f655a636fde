import { createHash } from 'node:crypto'
import { memoryOf, type Message } from '../core/message.ts'
import { RELAY_HEADER } from '../core/hub-proofs.ts'
import type { Clock, RandomBytes } from '../core/ports.ts'
import type { Registration } from '../core/registry.ts'
import { topicToBytes, type Topic } from '../core/topic.ts'
import type { Checker } from '../protocol/lonelyps/authorization.ts'
import { claims, type Claim } from '../protocol/lonelyps/claims.ts'
import type { Prover } from '../protocol/lonelyps/prover.ts'
import { encodeReceivePrefix, reprDigest as reprDigestOf } from '../protocol/lonelyps/requests.ts'
import { parseReceiveAnswer } from '../protocol/lonelyps/responses.ts'
import { DELIVERY_BYTES, type Batch, type Batches } from './batches.ts'
import type { Caller } from './caller.ts'
import { isHubUrl } from './hubs.ts'
import type { Lanes } from './lanes.ts'
import { parseTarget, type Target } from './target.ts'

/** What one delivery came to. */
export type Outcome =
  | { readonly type: 'confirmed'; readonly receivers: number }
  /** The url wants no more of this registration. */
  | { readonly type: 'unsubscribe' }
  /** Nothing was sent: the registration went while its message waited. */
  | { readonly type: 'gone' }
  | { readonly type: 'failed'; readonly why: string }

export interface DeliveryEvents {
  /** The final outcome of every delivery, also of one that was late for whoever waited. */
  settled(registration: Registration, topic: Topic, outcome: Outcome, seconds: number): void
}

const IDENTIFIER_BYTES = 8
/** Deliveries that begin in one turn of the event loop; the others wait for their turn, so that sockets get theirs. */
const AT_ONCE = 64
const NO_TRACING = Buffer.alloc(0)

/** One delivery, as its publisher waits for it. */
interface Tally {
  readonly batch: Batch
  /** Its turn has come. */
  begun: boolean
}

/** The deliveries to one registration that have not ended. */
interface Row {
  bytes: number
  /** Calls that are late and go on, of each topic that has any. */
  readonly late: Map<Topic, number>
  /** Those whose publisher still waits. */
  readonly uncounted: Set<Tally>
}

/** What all deliveries of one message have in common. */
interface Form {
  readonly topic: Buffer
  readonly sha512: Buffer
  readonly reprDigest: string
}

/**
 * Sends messages to urls as receive webhooks (lonelyps, section 2.4): those of one topic to one registration one after the
 * other, so that their order is the hub's; all others beside each other.
 * @param parts.share bytes of messages that may wait for one registration, its first not counted: one that hangs must not
 *   take the memory that the others' messages need
 */
export function createDeliveries(parts: {
  caller: Caller
  lanes: Lanes
  batches: Batches
  share: number
  prover: Prover
  checker: Checker
  /** Proves to another hub that we are one: for what goes to urls of hubs. */
  proveHub?: ((claim: Claim) => Promise<string | undefined>) | undefined
  clock: Clock
  randomBytes: RandomBytes
  /** Whether a registration still stands. */
  isThere: (registration: Registration) => boolean
  events: DeliveryEvents
}): {
  deliver(registration: Registration, message: Message): void
  /** One that could not even begin: there was no room for its message. */
  missed(registration: Registration, topic: Topic): void
  readonly open: number
  idle(): Promise<void>
} {
  const { caller, lanes, batches, share, prover, checker, proveHub, clock, randomBytes, isThere, events } = parts
  const targets = new WeakMap<Registration, Target | string>()
  const forms = new WeakMap<Message, Form>()
  /** What waits for each registration that anything waits for. */
  const rows = new Map<number, Row>()
  let starting: (() => void)[] = []
  /** Those of them that have begun. */
  let begun = 0
  let inTurn = 0
  let open = 0
  let toldIdle: (() => void)[] = []

  function targetOf(registration: Registration): Target | string {
    let target = targets.get(registration)
    if (target === undefined) targets.set(registration, (target = parseTarget(registration.url)))
    return target
  }

  function formOf(message: Message): Form {
    let form = forms.get(message)
    if (form === undefined) {
      const sha512 = message.sha512 ?? createHash('sha512').update(message.body).digest()
      forms.set(message, (form = { topic: topicToBytes(message.topic), sha512, reprDigest: reprDigestOf(sha512) }))
    }
    return form
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
    if (starting.length === 0) return
    clock.endOfTurn(nextTurn)
    while (inTurn < AT_ONCE && begun < starting.length) {
      inTurn++
      starting[begun++]?.()
    }
    if (begun < starting.length && begun < starting.length / 2) return
    // What has begun is let go of, seldom enough that a long row is not moved in each turn.
    starting = starting.slice(begun)
    begun = 0
  }

  function deliver(registration: Registration, message: Message): void {
    const began = clock.monotonic()
    const refuse = (why: string): void => settle(registration, message.topic, { type: 'failed', why }, began)
    const target = targetOf(registration)
    if (typeof target === 'string') return refuse(target)
    const row = rows.get(registration.id)
    const bytes = memoryOf(message) + DELIVERY_BYTES
    if (row !== undefined && row.bytes + bytes > share) return refuse('too much waits for this url')
    const batch = batches.of(message, target.origin)
    if (typeof batch === 'string') return refuse(batch)
    batch.begin(target.origin)
    open++
    const own = row ?? { bytes: 0, late: new Map(), uncounted: new Set() }
    if (row === undefined) rows.set(registration.id, own)
    own.bytes += bytes
    const tally: Tally = { batch, begun: false }
    own.uncounted.add(tally)
    const run = (next: () => void): void => {
      tally.begun = true
      soon(() => void send(registration, target, own, tally, began, next))
    }
    // Whichever of a hub's registrations a message goes by, its topic has one order there.
    if (lanes.enter(message.topic, isHubUrl(registration.url) ? registration.url : registration.id, run)) {
      if (!tally.begun && own.late.has(message.topic)) count(own, tally, 0)
      return
    }
    count(own, tally, 0)
    refuse('too many messages wait for this url')
    ended(registration, target, batch)
  }

  function count(row: Row, tally: Tally, receivers: number): void {
    if (row.uncounted.delete(tally)) tally.batch.count(receivers)
  }

  function lessLate({ late }: Row, topic: Topic): void {
    const left = (late.get(topic) as number) - 1
    if (left > 0) late.set(topic, left)
    else late.delete(topic)
  }

  async function send(registration: Registration, target: Target, row: Row, tally: Tally, began: number, next: () => void): Promise<void> {
    const { batch } = tally
    const { topic } = batch.message
    let isLate = false
    const late = (): void => {
      if (isLate) return
      isLate = true
      row.late.set(topic, (row.late.get(topic) ?? 0) + 1)
      count(row, tally, 0)
      next()
      // Whoever published what waits behind one that hangs is not kept waiting as long: it does not count then.
      for (const one of row.uncounted) if (!one.begun && one.batch.message.topic === topic) count(row, one, 0)
    }
    const outcome = await attempt(registration, target, batch.message, late).catch((error: Error): Outcome => ({ type: 'failed', why: error.message }))
    if (isLate) lessLate(row, topic)
    settle(registration, batch.message.topic, outcome, began)
    count(row, tally, outcome.type === 'confirmed' ? outcome.receivers : 0)
    next()
    ended(registration, target, batch)
  }

  async function attempt(registration: Registration, target: Target, message: Message, late: () => void): Promise<Outcome> {
    // What waited may have waited for longer than its registration was there.
    if (!isThere(registration)) return { type: 'gone' }
    const { topic, sha512, reprDigest } = formOf(message)
    const identifier = randomBytes(IDENTIFIER_BYTES)
    const length = message.large?.size ?? message.body.length
    const claim = claims.receive({ url: target.signed, topic, identifier, sha512, tracing: NO_TRACING })
    const authorization = prover(claim)
    const relay = proveHub !== undefined && isHubUrl(registration.url) ? await proveHub(claim) : undefined
    const headers = {
      'Content-Type': 'application/octet-stream',
      'Repr-Digest': reprDigest,
      ...(authorization !== undefined && { Authorization: authorization }),
      ...(relay !== undefined && { [RELAY_HEADER]: relay }),
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

  function ended({ id }: Registration, { origin }: Target, batch: Batch): void {
    const row = rows.get(id) as Row
    row.bytes -= memoryOf(batch.message) + DELIVERY_BYTES
    if (row.bytes === 0) rows.delete(id)
    batch.end(origin)
    if (--open > 0) return
    for (const tell of toldIdle) tell()
    toldIdle = []
  }

  return {
    deliver,
    missed: (registration, topic) => settle(registration, topic, { type: 'failed', why: 'too much is on its way' }, clock.monotonic()),
    get open() { return open },
    idle: () => (open === 0 ? Promise.resolve() : new Promise((resolve) => void toldIdle.push(resolve))),
  }
}
