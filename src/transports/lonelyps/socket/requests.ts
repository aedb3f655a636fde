import { isUtf8 } from 'node:buffer'
import { WaystationError } from '../../../core/errors.ts'
import type { Identity, Receipt } from '../../../core/ports.ts'
import { topicFromBytes } from '../../../core/topic.ts'
import { claims } from '../../../protocol/lonelyps/claims.ts'
import type { Notify, NotifyPart, ToBroadcaster, ToSubscriber } from '../../../protocol/lonelyps/stateful/messages.ts'
import type { Kind } from '../../../protocol/lonelyps/requests.ts'
import { CONTENT_TYPE } from '../notify.ts'
import { Fault } from './fault.ts'
import type { Interests } from './interests.ts'
import { whenThere, type Later } from './later.ts'
import type { Outbox } from './outbox.ts'
import type { SocketParts } from './parts.ts'
import type { Replies, Reply } from './replies.ts'
import type { Streams } from './streams.ts'
import { unpack, type Packed, type UnpackParts } from './unpack.ts'

export interface RequestsParts {
  readonly parts: SocketParts
  readonly identity: Identity
  readonly interests: Interests
  readonly outbox: Outbox
  readonly replies: Replies
  readonly streams: Streams
  readonly unpacking: UnpackParts
  readonly say: (message: ToSubscriber) => void
  /** A message that went either way, for the dictionary. */
  readonly sample: (body: Buffer) => void
  /** Acknowledged: the peer is alive. */
  readonly progressed: () => void
  readonly failed: (error: unknown) => void
}

const NO_TRACING = Buffer.alloc(0)
const MAX_COUNT = 2 ** 32 - 1
/** Bytes that a message may keep beside its own. */
const SPARE = 1_024

/**
 * Does what an open socket asks for, once it is proved that it may (lonelyps, sections 4.8 to 4.11). What is given back
 * settles when the next may be done; answers come in the order of the requests. The url is the subscriber's pseudo-url that
 * the request was signed with.
 */
export function createRequests(of: RequestsParts): (message: ToBroadcaster, url: string) => Later<void> {
  const { parts, identity, interests, outbox, replies, streams, say } = of
  const { hub, prover, confirmations, kit } = parts

  function subscribe(kind: Kind, target: Buffer, url: string): Later<void> {
    const reply = replies.next()
    return whenThere(interests.ask(kind, target), ({ begin }) => reply.fill(() => {
      // In one step: nothing comes before the confirmation, and nothing is left out after it.
      begin()
      confirm('confirm_subscribe', kind, target, url)
    }))
  }

  function unsubscribe(kind: Kind, target: Buffer, url: string): void {
    const { end } = interests.leave(kind, target)
    replies.next().fill(() => {
      end()
      confirm('confirm_unsubscribe', kind, target, url)
    })
  }

  function confirm(what: 'confirm_subscribe' | 'confirm_unsubscribe', kind: Kind, target: Buffer, url: string): void {
    const tracing = NO_TRACING
    if (kind === 'exact') say({ type: `${what}_exact`, topic: target, tracing, authorization: prover(claims.confirmSubscribeExact({ url, recovery: undefined, topic: target, tracing })) })
    else say({ type: `${what}_glob`, glob: target, tracing, authorization: prover(claims.confirmSubscribeGlob({ url, recovery: undefined, glob: target, tracing })) })
  }

  function notify({ identifier, head, body }: Notify): Later<void> {
    return publish(identifier, { head, body }, replies.next(), 'one')
  }

  function notifyPart(message: NotifyPart): Later<void> {
    const reply = replies.next()
    const { identifier, part } = message
    return whenThere(streams.add(message), (packed) => {
      if (packed !== undefined) return publish(identifier, packed, reply, 'parts')
      reply.fill(() => say({ type: 'continue_notify', identifier, part, tracing: NO_TRACING, authorization: prover(claims.continueNotify({ identifier, part, tracing: NO_TRACING })) }))
    })
  }

  function publish(identifier: Buffer, packed: Packed, reply: Reply, came: 'one' | 'parts'): Later<void> {
    const name = topicFromBytes(packed.head.topic)
    if (!hub.may('publish', name, identity)) {
      packed.large?.letGo()
      throw new Fault('a rule does not allow publishing there')
    }
    return whenThere(unpack(packed, of.unpacking), (unpacked) => {
      const { large, size } = unpacked
      const [body, sha512] = [ownBytes(unpacked.body), ownBytes(unpacked.sha512)]
      // What a confirmation is signed with differs so in the original, too (section 3.4).
      const signed = came === 'one' ? sha512 : Buffer.from(packed.head.sha512)
      // Copies: the answer may be long in coming, and the frame is large.
      const [named, topic] = [Buffer.from(identifier), Buffer.from(packed.head.topic)]
      const answer = (subscribers: number): void => reply.fill(() => say({
        type: 'confirm_notify', identifier: named, subscribers, tracing: NO_TRACING,
        authorization: prover(claims.confirmNotify({ identifier: named, subscribers, topic, sha512: signed, tracing: NO_TRACING })),
      }))
      const receipt = (): Later<Receipt> => hub.publish({ topic: name, body, ...(large !== undefined && { large }), sha512, contentType: CONTENT_TYPE, text: large === undefined && isUtf8(body) }, identity)
      return whenThere(published(receipt, large), ({ message, subscribers }) => {
        kit.meter.published('lonelyps', size)
        if (large === undefined) of.sample(body)
        const confirmed = confirmations.confirmed(message)
        const counted = (more: number): void => answer(Math.min(subscribers + more, MAX_COUNT))
        // Not waited for: acknowledgements of this very socket may be what comes next.
        if (confirmed instanceof Promise) confirmed.then(counted).catch(of.failed)
        else counted(confirmed)
      })
    })
  }

  function acknowledged(identifier: Buffer, part: number | undefined): void {
    const wrong = outbox.awaited.acknowledged(identifier, part)
    if (wrong !== undefined) throw new Fault(wrong)
    of.progressed()
    outbox.pump()
  }

  return (message, url) => {
    switch (message.type) {
      case 'configure': throw new Fault('a second CONFIGURE')
      case 'subscribe_exact': return subscribe('exact', message.topic, url)
      case 'subscribe_glob': return subscribe('glob', message.glob, url)
      case 'unsubscribe_exact': return unsubscribe('exact', message.topic, url)
      case 'unsubscribe_glob': return unsubscribe('glob', message.glob, url)
      case 'notify': return notify(message)
      case 'notify_stream': return notifyPart(message)
      case 'continue_receive': return acknowledged(message.identifier, message.part)
      case 'confirm_receive': return acknowledged(message.identifier, undefined)
      default: return message satisfies never
    }
  }
}

/** Memory of its own, unless nearly all of what it is a part of is it: a few bytes that wait must not keep a whole packet, or long headers. */
function ownBytes(body: Buffer): Buffer {
  if (body.buffer.byteLength <= 2 * body.length + SPARE) return body
  const own = Buffer.allocUnsafeSlow(body.length)
  body.copy(own)
  return own
}

/** Whoever still needs a large body holds it when this has settled. */
function published(publish: () => Later<Receipt>, large: Packed['large']): Later<Receipt> {
  try {
    const receipt = publish()
    if (!(receipt instanceof Promise)) {
      large?.letGo()
      return receipt
    }
    return receipt.finally(() => large?.letGo())
  } catch (error) {
    large?.letGo()
    throw error instanceof WaystationError ? new Fault(error.message) : error
  }
}
