import { WaystationError } from '../../core/errors.ts'
import type { Clock, RandomBytes } from '../../core/ports.ts'
import { topicFromBytes, type Topic } from '../../core/topic.ts'
import type { Verdict } from '../../protocol/lonelyps/authorization.ts'
import { claims, type Claim } from '../../protocol/lonelyps/claims.ts'
import { connectionNonce, NONCE_SIZE, pseudoUrl } from '../../protocol/lonelyps/stateful/connection.ts'
import type { ConfirmConfigure, EnablePreset, HeaderForm, ReceivePart, ToBroadcaster, ToSubscriber } from '../../protocol/lonelyps/stateful/messages.ts'
import { encodeToBroadcaster } from '../../protocol/lonelyps/stateful/to-broadcaster.ts'
import { parseToSubscriber } from '../../protocol/lonelyps/stateful/to-subscriber.ts'
import { NO_TRACING, type Signing } from '../signing.ts'
import type { Target } from '../targets.ts'
import { createAnswers, type Expected } from './answers.ts'
import { createCompressors, type CompressionOffer, type Compressors } from './compressors.ts'
import { createIncoming } from './incoming.ts'
import { createPatience } from './patience.ts'
import type { Taken, Taking } from './taking.ts'
import type { Dial, Wire } from './wire.ts'

const NONE = Buffer.alloc(0)

/** One connection to one broadcaster, from its CONFIGURE to its end (lonelyps, sections 4.6 to 4.14). */
export interface Session {
  readonly over: AbortSignal
  readonly compressors: Compressors
  /** Sends it at once; `done` when it is confirmed. */
  change(verb: 'subscribe' | 'unsubscribe', target: Target, done: () => void): void
  prove(claim: Claim): string | undefined
  /** Bytes of all that stands before the body of the message. */
  encode(message: ToBroadcaster): Buffer
  /** Sends bytes that an answer will follow. */
  ask(head: Buffer, body: Buffer, answer: Expected): void
  room(): Promise<void> | undefined
  /** Ends it because of something that must not be. */
  drop(why: string): void
  /** Says goodbye; no event comes any more. Settles when it is over. */
  close(): Promise<void>
}

export interface SessionEvents {
  opened(): void
  deliver(topic: Topic, taken: Taken): void
  missed(topic: Topic): void
  /**
   * Once, unless it was closed from here.
   * @param fault something that the broadcaster must not do
   * @param silence ms for which it had not answered
   */
  closed(why: string, fault: WaystationError | undefined, silence: number): void
}

export interface SessionParts {
  readonly dial: Dial
  readonly clock: Clock
  readonly signing: Signing
  readonly randomBytes: RandomBytes
  readonly taking: Taking
  readonly offer: CompressionOffer
  readonly form: HeaderForm
  /** ms until it is confirmed. */
  readonly openTimeout: number
  /** ms until a request is answered. */
  readonly answerTimeout: number
}

export function openSession(parts: SessionParts, base: string, events: SessionEvents): Session {
  const { signing, randomBytes, offer, form } = parts
  const nonce = randomBytes(NONCE_SIZE)
  const over = new AbortController()
  const answers = createAnswers(signing.checker)
  let state: 'dialing' | 'configuring' | 'checking' | 'open' = 'dialing'
  const early: Buffer[] = []
  let connection = ''
  let ours = -1
  let theirs = 1
  let fault: WaystationError | undefined
  let silence = 0
  let isReading = true

  const wire: Wire = parts.dial(base, { opened: configure, message: frame, text: () => drop('a text message came'), closed: ended })
  const inTime = parts.clock.after(parts.openTimeout, () => drop('it did not open in time'))
  const incoming = createIncoming({
    taking: parts.taking,
    over: over.signal,
    deliver: events.deliver,
    missed: events.missed,
    acknowledge,
    room,
    drop,
    pause() {
      isReading = false
      wire.pause()
    },
    resume() {
      isReading = true
      patience.renew()
      wire.resume()
    },
  })
  const compressors = createCompressors(offer, incoming.inTurn)
  const patience = createPatience({
    clock: parts.clock,
    timeout: parts.answerTimeout,
    next: () => answers.next,
    taken: () => wire.taken,
    isReading: () => isReading,
    over(why, quiet) {
      silence = quiet
      drop(why)
    },
  })

  function ended(why: string): void {
    inTime()
    patience.end()
    if (over.signal.aborted) return
    over.abort()
    events.closed(fault?.detail ?? (state === 'open' ? why : `${why}, before it was confirmed`), fault, silence)
  }

  function drop(why: string): void {
    if (over.signal.aborted) return
    fault = state === 'dialing' ? undefined : new WaystationError('unreachable', why)
    wire.forget()
    void wire.close()
    ended(why)
  }

  function ourUrl(): string {
    return pseudoUrl(connection, ours--)
  }

  function theirUrl(): string {
    return pseudoUrl(connection, theirs++)
  }

  function say(message: ToBroadcaster): void {
    wire.send(encodeToBroadcaster(message, form))
  }

  function configure(): void {
    state = 'configuring'
    const asked = { nonce, zstd: offer.zstd, training: offer.zstd && offer.training, initialDictionary: offer.zstd ? offer.initialDictionary : 0, tracing: NO_TRACING }
    say({ type: 'configure', ...asked, authorization: signing.prove(claims.configure(asked)) })
  }

  async function confirmed(message: ConfirmConfigure): Promise<void> {
    state = 'checking'
    const verdict = await signing.checker.check(message.authorization, claims.confirmConfigure(message))
    if (over.signal.aborted) return
    if (verdict !== 'ok') return drop(`the authorization of confirm_configure is ${verdict}`)
    connection = connectionNonce(nonce, message.nonce)
    state = 'open'
    inTime()
    events.opened()
    for (const bytes of early.splice(0)) frame(bytes)
  }

  function frame(bytes: Buffer): void {
    if (over.signal.aborted) return
    if (state === 'checking') return void early.push(bytes)
    const message = parseToSubscriber(bytes)
    if (typeof message === 'string') return drop(message)
    if (state === 'configuring') {
      if (message.type !== 'confirm_configure') return drop(`${message.type} came before confirm_configure`)
      return void confirmed(message).catch((error: Error) => drop(error.message))
    }
    const wrong = take(message, bytes.length)
    if (wrong !== undefined) drop(wrong)
  }

  /** Gives what is wrong with it. */
  function take(message: ToSubscriber, size: number): string | undefined {
    switch (message.type) {
      case 'confirm_configure': return 'a second confirm_configure came'
      case 'receive_stream': return receive(message, size)
      case 'missed': {
        const topic = topicFromBytes(message.topic)
        const wrong = between(message.type) ?? proved(message, claims.missed({ ...message, url: theirUrl() }))
        if (wrong === undefined) incoming.inTurn(() => events.missed(topic))
        return wrong
      }
      case 'enable_zstd_preset': return between(message.type) ?? proved(message, claims.enableZstdPreset(announced(message))) ?? compressors.enablePreset(message)
      case 'enable_zstd_custom':
        return between(message.type) ?? proved(message, claims.enableZstdCustom({ ...announced(message), sha512: message.sha512 })) ?? compressors.enableCustom(message)
      case 'disable_zstd_custom': return between(message.type) ?? proved(message, claims.disableZstdCustom({ ...message, url: theirUrl() })) ?? compressors.disable(message)
      default: {
        const wrong = answers.take(message)
        if (wrong === undefined) patience.renew()
        return wrong
      }
    }
  }

  function announced(message: Omit<EnablePreset, 'type'>): Parameters<typeof claims.enableZstdPreset>[0] {
    return { ...message, minSize: BigInt(message.minSize), url: theirUrl() }
  }

  function between(type: string): string | undefined {
    return incoming.isBetweenParts ? `${type} came between the parts of a message` : undefined
  }

  function proved({ type, authorization }: { type: string; authorization: string | undefined }, claim: Claim): string | undefined {
    const verdict: Verdict = signing.checker.checkBound(authorization, claim)
    return verdict === 'ok' ? undefined : `the authorization of ${type} is ${verdict}`
  }

  function receive(message: ReceivePart, size: number): string | undefined {
    const { head } = message
    // What the first part proves covers the bytes of all: the others may be signed in any way (section 4.7).
    if (head === undefined) return incoming.part(message, size, undefined)
    const wrong = proved(message, claims.receive({ ...head, url: theirUrl(), identifier: message.identifier, tracing: message.tracing }))
    if (wrong !== undefined) return wrong
    const compressor = head.compressor === 0 ? undefined : compressors.get(head.compressor)
    if (head.compressor !== 0 && compressor === undefined) return 'a message is compressed with what was not enabled'
    return incoming.part(message, size, compressor)
  }

  function acknowledge(identifier: Buffer, part: number | undefined): void {
    if (over.signal.aborted) return
    const about = { identifier, url: ourUrl(), tracing: NO_TRACING }
    try {
      if (part === undefined) say({ type: 'confirm_receive', ...about, subscribers: 1, authorization: signing.prove(claims.confirmReceive({ ...about, subscribers: 1 })) })
      else say({ type: 'continue_receive', ...about, part, authorization: signing.prove(claims.continueReceive({ ...about, part })) })
    } catch {
      // There is room for one byte in what is signed (section 3.4).
      drop('a part past the 256th came, whose acknowledgement cannot be signed')
    }
  }

  function room(): Promise<void> | undefined {
    return patience.bounded(wire.room())
  }

  function ask(head: Buffer, body: Buffer, answer: Expected): void {
    if (over.signal.aborted) return
    const asked = answers.expect(answer)
    patience.asked()
    wire.send(head, body, () => patience.left(asked))
  }

  return {
    over: over.signal,
    compressors,
    change(verb, { kind, bytes }, done) {
      if (over.signal.aborted) return
      const about = { url: ourUrl(), recovery: undefined, topic: bytes, glob: bytes, tracing: NO_TRACING }
      const asked = kind === 'exact' ? claims.subscribeExact(about) : claims.subscribeGlob(about)
      const authorization = signing.prove(asked)
      const message: ToBroadcaster = kind === 'exact' ? { type: `${verb}_exact`, topic: bytes, tracing: NO_TRACING, authorization } : { type: `${verb}_glob`, glob: bytes, tracing: NO_TRACING, authorization }
      const answered = kind === 'exact' ? claims.confirmSubscribeExact : claims.confirmSubscribeGlob
      ask(encodeToBroadcaster(message, form), NONE, { type: `confirm_${verb}_${kind}`, subject: bytes, size: 0, claim: ({ tracing }) => answered({ ...about, tracing }), settle: done })
    },
    prove: signing.prove,
    encode: (message) => encodeToBroadcaster(message, form),
    ask,
    room,
    drop,
    close() {
      inTime()
      patience.end()
      over.abort()
      wire.forget()
      return wire.close()
    },
  }
}
