import type { LostInterest, Message } from '../../../core/message.ts'
import type { Identity } from '../../../core/ports.ts'
import { topicToBytes, type Topic } from '../../../core/topic.ts'
import { clientOf } from '../../../http/body-account.ts'
import type { Unfinished } from '../../../http/websocket-connection.ts'
import { claims } from '../../../protocol/lonelyps/claims.ts'
import { connectionNonce, NONCE_SIZE } from '../../../protocol/lonelyps/stateful/connection.ts'
import type { Configure, ToBroadcaster } from '../../../protocol/lonelyps/stateful/messages.ts'
import { parseToBroadcaster } from '../../../protocol/lonelyps/stateful/to-broadcaster.ts'
import { encodeToSubscriber } from '../../../protocol/lonelyps/stateful/to-subscriber.ts'
import { createArrivals } from './arrivals.ts'
import { createChecks, type Checked } from './checks.ts'
import { createCounters } from './counters.ts'
import { Fault } from './fault.ts'
import { createInlet } from './inlet.ts'
import { whenThere, type Later } from './later.ts'
import { openConversation, type Conversation } from './conversation.ts'
import { sizeOf } from './memory.ts'
import type { SocketParts } from './parts.ts'
import { createReplies } from './replies.ts'
import type { SocketSubscriber } from './wanted.ts'
import type { Wire } from './wire.ts'
import { createWriter } from './writer.ts'

/** One lonelyps WebSocket: a subscriber and publisher that stays (lonelyps, section 4). */
export interface Session extends SocketSubscriber {
  readonly takesLarge: true
  /** A message came in. */
  receive(data: Buffer, binary: boolean): void
  /** Bytes came in; the messages that they complete were received before, and this is left. */
  arrived(unfinished: Unfinished): void
  /** What came in is no WebSocket message that may be: the connection is about to go. */
  broken(reason: string): void
  /** The connection is gone. What came before is still done. */
  gone(): void
  /** Ends it with 1000 and no reason, as the original does (section 4.16); the reason is for the log. */
  close(code: number, reason: string): void
  /** Ends it without a word. */
  destroy(): void
}

/** What has come in and is to be done. */
type Step =
  /** Before the handshake is done frames wait as they are, and what comes behind such a one does, too. */
  | { readonly frame: Buffer }
  | { readonly message: ToBroadcaster; readonly checked: Checked }
  | { readonly wrong: string }

/** The handshake is shorter than this, whatever its headers hold. */
const LONGEST_HANDSHAKE = 3 * 65_536
const NO_TRACING = Buffer.alloc(0)
/** Topics of one loss that a socket is told, each with a message of its own. */
const MOST_MISSED = 1_000

/** What has come of a message in parts is not late while it waits here. */
function mayBePart(step: Step): boolean {
  return 'frame' in step || ('message' in step && step.message.type === 'notify_stream')
}

export function createSession(parts: SocketParts, wire: Wire, identity: Identity): Session {
  const { kit, bodies, memory, prover } = parts
  const { limits, wheel } = kit
  const account = clientOf(identity.address)
  let open: { readonly check: (message: ToBroadcaster) => Checked; readonly conversation: Conversation } | undefined
  /** 'leaving': the peer has gone, and what it said before is still to be done. */
  let state: 'here' | 'leaving' | 'over' = 'here'
  let greeted = false
  /** Frames that wait as they are. What comes behind them is read after them: what it is signed with hangs on them. */
  let raw = 0
  const since = wheel.now
  let progressAt = since
  let roomComes: Promise<void> | undefined

  const writer = createWriter(wire, kit.turn, progressed)
  const replies = createReplies(() => inlet.look())
  const arrivals = createArrivals({
    now: () => wheel.now,
    span: limits.requestTimeout,
    take: (bytes) => bodies.take(account, bytes),
    give: (bytes) => bodies.give(account, bytes),
    inParts: () => open?.conversation.inParts,
    sooner: lookInTime,
  })
  const inlet = createInlet<Step>({
    act: (step) => (mayBePart(step) ? whenThere(act(step), arrivals.partDone) : act(step)),
    failed,
    idle() {
      if (state === 'leaving') finish()
    },
    wire: {
      pause() {
        arrivals.pause()
        wire.pause()
      },
      resume() {
        progressed()
        arrivals.resume()
        wire.resume()
      },
    },
    others: () => replies.open,
    unread,
    maxWaiting: limits.maxUnanswered,
  })

  function progressed(): void {
    progressAt = wheel.now
  }

  /** Answers that nobody reads would fill the memory: who reads none may ask for no more. */
  function unread(): boolean {
    if (state !== 'here' || writer.pendingBytes <= limits.maxPendingBytes) return false
    // Asked for once: a second promise would reject with nobody there.
    if (roomComes !== undefined) return true
    writer.flush()
    const room = wire.room()
    if (room === undefined) return false
    roomComes = room.then(() => {
      roomComes = undefined
      inlet.look()
    }, () => {})
    return true
  }

  function act(step: Step): Later<void> {
    if ('wrong' in step) throw new Fault(step.wrong)
    if ('frame' in step) {
      raw--
      return open === undefined ? handshake(step.frame) : act(read(step.frame, open.check))
    }
    const { message, checked } = step
    return whenThere(checked.verdict, (verdict) => {
      // It was ended meanwhile: what it would book now nobody gave back.
      if (state === 'over') return
      if (verdict !== 'ok') throw new Fault(`the authorization of ${message.type} is ${verdict}`)
      return open?.conversation.request(message, checked.url)
    })
  }

  function read(frame: Buffer, check: (message: ToBroadcaster) => Checked): Step {
    const message = parseToBroadcaster(frame)
    return typeof message === 'string' ? { wrong: message } : { message, checked: check(message) }
  }

  function handshake(frame: Buffer): Later<void> {
    const message = parseToBroadcaster(frame)
    if (typeof message === 'string') throw new Fault(message)
    if (message.type !== 'configure') throw new Fault(`${message.type} before CONFIGURE`)
    const { initialDictionary } = message
    return whenThere(parts.checker.check(message.authorization, claims.configure(message)), (verdict) => {
      if (verdict !== 'ok') throw new Fault(`the authorization of CONFIGURE is ${verdict}`)
      if (state !== 'here') return
      if (message.zstd && initialDictionary > 1 && parts.compression.allowed === 'yes' && !parts.compression.presets.has(initialDictionary)) throw new Fault(`there is no dictionary ${initialDictionary}`)
      begin(message)
    })
  }

  function begin(configure: Configure): void {
    // A copy: what chance gives is shared.
    const nonce = Buffer.from(parts.randomBytes(NONCE_SIZE))
    const counters = createCounters(connectionNonce(configure.nonce, nonce))
    const authorization = prover(claims.confirmConfigure({ nonce, tracing: NO_TRACING }))
    writer.send(encodeToSubscriber({ type: 'confirm_configure', nonce, authorization, tracing: NO_TRACING }, parts.form))
    const conversation = openConversation({ parts, identity, configure, counters, writer, replies, wire, session: () => session, progressed, failed })
    open = { check: createChecks(parts.checker, counters), conversation }
    progressed()
  }

  function failed(error: unknown): void {
    if (!(error instanceof Fault)) parts.failed(error)
    end(error instanceof Fault ? error.message : 'something went wrong here')
  }

  function end(reason: string): void {
    if (state === 'over') return
    const before = state
    finish()
    if (before === 'leaving') return
    parts.ended(identity.address, reason)
    writer.flush()
    wire.close(1000, '')
  }

  /** Nothing more is done, and nothing is left. */
  function finish(): void {
    state = 'over'
    wheel.remove(watch)
    inlet.drop()
    open?.conversation.close()
  }

  /** Step by step: it may have many subscriptions, and many sockets may be told. */
  function* tell(conversation: Conversation, lost: LostInterest): Generator<void, void> {
    const told = new Set<Topic>()
    kit.meter.gap('lonelyps')
    for (const topic of conversation.touched(lost)) {
      if (state !== 'here') return
      // It comes back and subscribes again, and so it knows.
      if (topic === 'any') return end('something that it wants is lost, and nobody knows its topic')
      if (topic !== undefined && !told.has(topic)) {
        if (told.size === MOST_MISSED) return end('more topics that it wants are lost than it can be told')
        told.add(topic)
        session.missed(topic)
      }
      yield
    }
  }

  /** Looks at whoever is silent. */
  const watch = {
    wheelSlot: undefined as Parameters<typeof wheel.add>[0]['wheelSlot'],
    tick(now: number): number {
      const reason = silent(now)
      if (reason !== undefined) {
        end(reason)
        return 0
      }
      lookAt = Math.min(progressAt + limits.acknowledgeTimeout, arrivals.due)
      return Math.max(1, lookAt - now)
    },
  }
  let lookAt = since + limits.configureTimeout
  wheel.add(watch, limits.configureTimeout)

  function silent(now: number): string | undefined {
    if (open === undefined) return 'it never said who it is'
    // What it says is not heard while nothing is read.
    if (open.conversation.unacknowledged === 0 || inlet.waiting > 0 || inlet.paused) progressed()
    if (now - progressAt >= limits.acknowledgeTimeout) return 'it acknowledges nothing'
    return arrivals.isLate(now) ? 'a message it began does not come' : undefined
  }

  function lookInTime(): void {
    // A handshake has its own time.
    if (state === 'over' || open === undefined || arrivals.due >= lookAt) return
    lookAt = arrivals.due
    wheel.add(watch, Math.max(1, lookAt - wheel.now))
  }

  const session: Session = {
    count: 1,
    takesLarge: true,
    deliver(message: Message) {
      if (state !== 'here' || open === undefined) return
      const { conversation } = open
      if (conversation.waiting < limits.maxSocketQueue && memory.take(conversation.bytes, sizeOf(message))) return conversation.deliver(message)
      kit.meter.slow('lonelyps', message.topic)
      end('too much waits for it')
    },
    gap(_from, _to, lost) {
      // A message on disk, which it takes, is no gap to it: only a loss is told.
      if (state === 'here' && open !== undefined && lost !== undefined) parts.tellings.add(tell(open.conversation, lost))
    },
    receive(data, binary) {
      greeted = true
      arrivals.cameWhole()
      if (state !== 'here') return
      if (!binary) return inlet.push({ wrong: 'a text message' }, 0)
      const step = open === undefined || raw > 0 ? { frame: data } : read(data, open.check)
      if ('frame' in step) raw++
      if (mayBePart(step)) arrivals.partWaits()
      inlet.push(step, data.length)
    },
    arrived(unfinished) {
      if (state !== 'here') return
      if (!greeted && Math.max(unfinished.announced, unfinished.kept) > LONGEST_HANDSHAKE) return end('a long message before CONFIGURE')
      if (!arrivals.arrived(unfinished)) end('too much is on its way')
    },
    broken(reason) {
      if (state !== 'here') return
      parts.ended(identity.address, reason)
      session.gone()
    },
    gone() {
      // Not before: until then what has come of a message is there.
      arrivals.close()
      if (state !== 'here') return
      state = 'leaving'
      open?.conversation.leave()
      if (inlet.waiting === 0) finish()
    },
    missed(topic) {
      if (state !== 'here' || open === undefined) return
      if (open.conversation.waiting < limits.maxSocketQueue) open.conversation.missed(topicToBytes(topic))
      else end('too much waits for it')
    },
    close: (_code, reason) => end(reason),
    destroy: () => wire.destroy(),
  }
  return session
}
