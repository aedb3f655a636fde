import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { WebSocket } from 'ws'
import { createChecker } from '../../src/protocol/lonelyps/authorization.ts'
import { claims, type Claim } from '../../src/protocol/lonelyps/claims.ts'
import { connectionNonce, NONCE_SIZE, pseudoUrl } from '../../src/protocol/lonelyps/stateful/connection.ts'
import type { ConfirmNotify, MessageHead, ReceivePart, ToBroadcaster } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { encodeToBroadcaster } from '../../src/protocol/lonelyps/stateful/to-broadcaster.ts'
import { parseToSubscriber } from '../../src/protocol/lonelyps/stateful/to-subscriber.ts'
import type { SchemeName } from '../task.ts'
import { schemeOf, signer } from './lonelyps.ts'

const NONE: Buffer = Buffer.alloc(0)
/** Drawing a mask for each frame would cost the load, not the hub, which must unmask whatever it is. */
const MASK = [0x5a, 0xc3, 0x39, 0x96] as const
/** One in so many is verified as a real client would; the others are only counted, so that the load costs less than the hub. */
const VERIFIED = 64

/** What the hub announced to compress with. */
export interface Announced {
  readonly level: number
  readonly minSize: number
  readonly maxSize: bigint
  /** None: zstd alone. */
  readonly dictionary: Buffer | undefined
}

/** Something that is ready to be sent: all before the body, and the body. */
export type Ready = readonly [head: Buffer, body: Buffer]

export interface Heard {
  /** A part of a message. @param size bytes of the frame that it came in */
  received?(piece: ReceivePart, size: number): void
  confirmed?(answer: ConfirmNotify): void
  announced?(): void
}

/** One lonelyps WebSocket that is configured. */
export interface Conversation {
  /** Compressors by their number, as they are announced now. */
  readonly compressors: ReadonlyMap<number, Announced>
  /** Settles when the hub has confirmed it. */
  subscribe(topic: Buffer): Promise<void>
  /** A NOTIFY, made in advance: its signature takes no counter. */
  ready(identifier: Buffer, head: MessageHead, body: Buffer): Ready
  /** One part of a NOTIFY_STREAM, likewise. `head` is that of the message; only the first part is sent with it. */
  readyPart(identifier: Buffer, head: MessageHead, part: number, body: Buffer): Ready
  send(ready: Ready): void
  /** @param isLast whether the message is whole with this part */
  acknowledge(piece: ReceivePart, isLast: boolean): void
  close(): void
}

export interface ConversationOptions {
  readonly scheme: SchemeName
  readonly zstd: boolean
  readonly training: boolean
}

/**
 * Opens one. What is written in one turn of the event loop leaves in one system call, so that the load costs little.
 * @throws {Error} out of a socket's callback, when the hub closes it or says what nobody expects: the figures are worth nothing
 */
export async function converse(port: number, { scheme, zstd, training }: ConversationOptions, heard: Heard): Promise<Conversation> {
  const sign = signer(scheme)
  const checker = createChecker(schemeOf(scheme, 'subscribers'), { now: Date.now, lifetime: 120_000, remember: () => true })
  const compressors = new Map<number, Announced>()
  const subscribing: (() => void)[] = []
  const nonce = randomBytes(NONCE_SIZE)
  const configured = Promise.withResolvers<void>()
  let name = ''
  let [sent, received, checked] = [-1, 1, 0]
  let ours = false
  let corked = false

  const tcp = connect({ port, host: '127.0.0.1', noDelay: true })
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/websocket`, {
    createConnection: () => tcp,
    perMessageDeflate: false,
    generateMask: (mask) => mask.set(MASK),
  })
  socket.on('open', () => {
    const said = { type: 'configure', nonce, zstd, training, initialDictionary: 0, tracing: NONE } as const
    say({ ...said, authorization: sign(claims.configure(said)) })
  })
  socket.on('error', configured.reject)
  socket.on('close', () => {
    const error = new Error('the server closed a connection')
    configured.reject(error)
    if (name !== '' && !ours) throw error
  })
  socket.on('message', (frame: Buffer) => hear(frame))

  function say(message: ToBroadcaster): void {
    write([encodeToBroadcaster(message, 'minimal'), NONE])
  }

  function write([head, body]: Ready): void {
    if (!corked) {
      corked = true
      tcp.cork()
      process.nextTick(() => {
        corked = false
        tcp.uncork()
      })
    }
    socket.send(body.length === 0 ? head : Buffer.concat([head, body]))
  }

  function verify(authorization: string | undefined, claim: Claim): void {
    const verdict = checker.checkBound(authorization, claim)
    if (verdict !== 'ok') throw new Error(`the authorization of the hub is ${verdict}`)
  }

  function hear(frame: Buffer): void {
    const message = parseToSubscriber(frame)
    if (typeof message === 'string') throw new Error(`the hub sent what cannot be read: ${message}`)
    switch (message.type) {
      case 'confirm_configure':
        verify(message.authorization, claims.confirmConfigure(message))
        name = connectionNonce(nonce, message.nonce)
        return configured.resolve()
      case 'confirm_subscribe_exact': return subscribing.shift()?.()
      case 'confirm_notify': return heard.confirmed?.(message)
      case 'continue_notify': return
      case 'receive_stream': {
        const url = message.head === undefined ? '' : pseudoUrl(name, received++)
        if (message.head !== undefined && checked++ % VERIFIED === 0) verify(message.authorization, claims.receive({ url, ...message, ...message.head }))
        return heard.received?.(message, frame.length)
      }
      case 'enable_zstd_preset':
      case 'enable_zstd_custom': {
        received++
        const { level, minSize, maxSize } = message
        compressors.set(message.compressor, { level, minSize, maxSize, dictionary: message.type === 'enable_zstd_custom' ? Buffer.from(message.body) : undefined })
        return heard.announced?.()
      }
      case 'disable_zstd_custom':
        received++
        compressors.delete(message.compressor)
        return
      default: throw new Error(`the hub sent ${message.type}`)
    }
  }

  await configured.promise
  return {
    compressors,
    subscribe(topic) {
      const authorization = sign(claims.subscribeExact({ url: pseudoUrl(name, sent--), recovery: undefined, topic, tracing: NONE }))
      say({ type: 'subscribe_exact', topic, tracing: NONE, authorization })
      return new Promise((resolve) => subscribing.push(resolve))
    },
    ready(identifier, head, body) {
      const authorization = sign(claims.notify({ identifier, topic: head.topic, sha512: head.sha512, tracing: NONE }))
      return [encodeToBroadcaster({ type: 'notify', identifier, head, body, tracing: NONE, authorization }, 'minimal'), body]
    },
    readyPart(identifier, head, part, body) {
      const authorization = sign(claims.notify({ identifier, topic: head.topic, sha512: head.sha512, tracing: NONE }))
      return [encodeToBroadcaster({ type: 'notify_stream', identifier, part, head: part === 0 ? head : undefined, body, tracing: NONE, authorization }, 'minimal'), body]
    },
    send: write,
    acknowledge({ identifier, part }, isLast) {
      const url = pseudoUrl(name, sent--)
      if (isLast) say({ type: 'confirm_receive', identifier, subscribers: 1, tracing: NONE, authorization: sign(claims.confirmReceive({ url, identifier, subscribers: 1, tracing: NONE })) })
      else say({ type: 'continue_receive', identifier, part, tracing: NONE, authorization: sign(claims.continueReceive({ url, identifier, part, tracing: NONE })) })
    },
    close() {
      ours = true
      socket.terminate()
    },
  }
}
