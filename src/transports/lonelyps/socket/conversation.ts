import type { LostInterest, Message } from '../../../core/message.ts'
import type { Identity } from '../../../core/ports.ts'
import type { Topic } from '../../../core/topic.ts'
import { clientOf } from '../../../http/body-account.ts'
import { claims } from '../../../protocol/lonelyps/claims.ts'
import type { Configure, ToBroadcaster, ToSubscriber } from '../../../protocol/lonelyps/stateful/messages.ts'
import { encodeToSubscriber } from '../../../protocol/lonelyps/stateful/to-subscriber.ts'
import { createCompression } from './compression.ts'
import type { Counters } from './counters.ts'
import { Fault } from './fault.ts'
import { createInterests } from './interests.ts'
import type { Later } from './later.ts'
import { sizeOfWords } from './memory.ts'
import { createOutbox } from './outbox.ts'
import type { SocketParts } from './parts.ts'
import type { Replies } from './replies.ts'
import { createRequests } from './requests.ts'
import { createStreams } from './streams.ts'
import type { SocketSubscriber } from './wanted.ts'
import type { Wire } from './wire.ts'
import type { Writer } from './writer.ts'

/** A socket whose handshake is done: what it may ask for, and what it is sent. */
export interface Conversation {
  /** Messages that wait for it, and their bytes in memory. */
  readonly waiting: number
  readonly bytes: number
  readonly unacknowledged: number
  /** Bytes that have come of a message in parts; `undefined` when none has begun. */
  readonly inParts: number | undefined
  /** Does what was asked for, its authorization found right. @param url the pseudo-url that it was signed with */
  request(message: ToBroadcaster, url: string): Later<void>
  deliver(message: Message): void
  missed(topic: Buffer): void
  /** What a loss touches of what it has subscribed to: see `Interests`. */
  touched(lost: LostInterest): Generator<Topic | 'any' | undefined, void>
  /** It wants nothing more. */
  leave(): void
  /** Lets go of everything. */
  close(): void
}

export interface ConversationParts {
  readonly parts: SocketParts
  readonly identity: Identity
  readonly configure: Configure
  readonly counters: Counters
  readonly writer: Writer
  readonly replies: Replies
  readonly wire: Wire
  readonly session: () => SocketSubscriber
  readonly progressed: () => void
  readonly failed: (error: unknown) => void
}

const NO_TRACING = Buffer.alloc(0)
/** Under a signature, parts are acknowledged with one byte (section 3.4). */
const SIGNED_PARTS = 256

export function openConversation(of: ConversationParts): Conversation {
  const { parts, identity, configure, counters, writer, replies, wire, progressed, failed } = of
  const { kit, prover, form, bodies, spool, memory } = parts
  const { limits, clock, meter } = kit
  const { maxPartBytes, maxUnacknowledged, maxPendingBytes } = limits
  const account = clientOf(identity.address)
  const take = (bytes: number): boolean => bodies.take(account, bytes)
  const give = (bytes: number): void => bodies.give(account, bytes)

  const say = (message: ToSubscriber): void => writer.send(encodeToSubscriber(message, form))
  const compression = createCompression(parts, configure, {
    // What a dictionary needs is counted where it is trained.
    say: (write) => outbox.say(write, 0),
    send: (message, body) => writer.send(encodeToSubscriber(message, form), body),
  })
  const outbox = createOutbox({
    writer, counters, prover, form,
    room: () => wire.room(),
    bounds: { maxPartBytes, maxUnacknowledged, maxPendingBytes, maxParts: parts.acknowledged === 'signed' ? SIGNED_PARTS : Infinity },
    prepare: compression.prepare,
    sameForAll: parts.sameForAll,
    left: memory.give,
    sent(message) {
      progressed()
      meter.delivered('lonelyps', 1, Math.max(0, clock.now() - message.time) / 1_000)
      if (message.large === undefined) compression.sample(message.body)
    },
    unsendable: ({ topic }) => of.session().missed(topic),
    failed,
  })
  const streams = createStreams({ spool, bounds: limits, take, give })
  const interests = createInterests({ ...parts, identity, bounds: limits }, of.session)
  const request = createRequests({
    parts, identity, interests, outbox, replies, streams, say, progressed, failed,
    unpacking: { spool, bounds: limits, dictionaryOf: compression.dictionaryOf, take, give },
    sample: compression.sample,
  })
  compression.begin()

  /** Topics that a MISSED waits for. */
  const telling = new Set<string>()

  function leave(): void {
    interests.leaveAll()
    outbox.close()
    compression.close()
  }

  return {
    get waiting() { return outbox.waiting },
    get bytes() { return outbox.bytes },
    get unacknowledged() { return outbox.unacknowledged },
    get inParts() { return streams.size },
    request,
    deliver: outbox.push,
    missed(topic) {
      const name = topic.toString('latin1')
      // One that waits says the same.
      if (telling.has(name)) return
      const size = sizeOfWords(2 * topic.length)
      if (!memory.take(outbox.bytes, size)) return failed(new Fault('too much waits for it'))
      telling.add(name)
      outbox.say((url) => {
        telling.delete(name)
        say({ type: 'missed', topic, tracing: NO_TRACING, authorization: prover(claims.missed({ url, topic, tracing: NO_TRACING })) })
      }, size)
    },
    touched: interests.touched,
    leave,
    close() {
      leave()
      streams.discard()
    },
  }
}
