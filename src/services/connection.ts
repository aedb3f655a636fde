import type { Duplex } from 'node:stream'
import type { Limits } from '../core/limits.ts'
import type { Clock, RandomBytes } from '../core/ports.ts'
import { clientOf, type BodyAccount } from '../http/body-account.ts'
import { HEAD_BYTES, type Packet, type PacketType, type RefusalText, type Sender, type Work } from '../protocol/erps/messages.ts'
import { createHead, KEEPALIVE, writePacket, type Head } from '../protocol/erps/packet.ts'
import { errorText, openPayload, TERM, writeText, type Opened } from '../protocol/erps/payload.ts'
import { writeExtension } from '../protocol/erps/extension.ts'
import { PacketError } from '../protocol/erps/reader.ts'
import type { Direction } from '../protocol/erps/signature.ts'
import type { DecodeOptions } from '../protocol/etf/decode.ts'
import { EtfError } from '../protocol/etf/term.ts'
import { createNegotiation } from './negotiation.ts'
import { createOutbox, NEVER, type Outgoing } from './pacing.ts'
import type { Brake, Connection, ConnectionEvents, Ending, Peer, Sent } from './ports.ts'
import { createReading } from './reading.ts'
import type { SigningOptions } from './signing.ts'

export interface ConnectionParts {
  readonly stream: Duplex
  readonly peer: Peer
  readonly role: Direction
  /** Holds until the other end has shown itself to be a Waystation. */
  readonly brake: Brake
  /** What stands in the headers of what is sent. */
  readonly sender: Sender
  /** Whether the header of a long-form packet that came is good: see `judge` of `protocol/erps/judge.ts`. Whether a signature is right is found out here. */
  readonly judge: (packet: Packet) => RefusalText | undefined
  /** Which terms are taken. `maxBytes` and `maxDepth` are those of the limits where they are not stated. */
  readonly decode: DecodeOptions
  readonly signing?: SigningOptions | undefined
  /** This end connects and answers: a worker, that offers this. */
  readonly work?: Work | undefined
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  readonly limits: Limits
  /** What packets that are on their way keep, of all connections together; only their own size bounds them where it is not stated. */
  readonly unfinished?: BodyAccount | undefined
}

/** Texts of errors that say that the other end wants nothing from here. `filtered` is of one request, nobody knows which. */
const REFUSALS: ReadonlySet<string> = new Set<RefusalText>(['wrong identifier', 'incompatible version', 'authentication provided', 'authentication required', 'wrong signature'])
/** ms that whoever is refused has to read why: an original looks every 100 ms (`erps.md`, 6.2). */
const REFUSED_LINGER = 1_000
/** ms that an original needs to read what was sent last, before it sees the end. */
const READ_LINGER = 150
/** ms that the other end has for its goodbye. */
const GOODBYE = 1_000
/** Faults of the other end: it gets an orderly end, and what it still says is thrown away. */
const ORDERLY: ReadonlySet<Ending> = new Set<Ending>(['bad_packet', 'bad_term', 'too_large', 'timeout', 'refused'])

/**
 * One connection of Erps (`erps.md`, sections 2 to 7 and 15), whichever end, from its handshake to its end. Whoever is refused
 * by 6.1 gets the error packet, nothing more is read from him, and the connection is closed a second later: reading on
 * would be friendlier to a client that mixes identifiers, but its other calls would end by their deadlines only.
 */
export function openConnection(parts: ConnectionParts, events: ConnectionEvents): Connection {
  const { stream, peer, role, brake, clock, limits } = parts
  const decode: DecodeOptions = { maxBytes: limits.maxPacketBytes, maxDepth: limits.maxTermDepth, ...parts.decode }
  const ownHead = createHead(parts.sender)
  let otherHead: { readonly identifier: Buffer; readonly head: Head } | undefined
  let isOver = false
  let isClosing = false
  let isPeerWorker = false
  let lastSign: Sent | undefined
  const gone = stream.closed ? Promise.resolve() : new Promise<void>((resolve) => void stream.once('close', resolve))

  const outbox = createOutbox({
    stream, brake, clock, pack,
    writeTimeout: limits.writeTimeout,
    stalled() {
      drop('stalled', `it does not take what it is sent within ${limits.writeTimeout} ms`)
      stream.destroy()
    },
  })
  const reading = createReading({ stream, clock, maxBytes: limits.maxPacketBytes, packetTimeout: limits.packetTimeout, book: parts.unfinished && booking(parts.unfinished, peer) }, {
    packet: take,
    bad: (error) => drop(endingOf(error), (error as Error).message),
    crowded: () => drop('too_large', 'too much is on its way, from here and from others'),
    late: () => drop('timeout', `a packet has not ended within ${limits.packetTimeout} ms`),
  })
  if (parts.signing !== undefined) outbox.hold()
  const negotiation = createNegotiation({ ...parts, work: parts.work, signing: parts.signing }, {
    say: (type, payload, extension) => void outbox.add({ type, head: ownHead, parts: payload, extension }, sizeOf(payload), 'first'),
    beat: keepalive,
    shown(work) {
      isPeerWorker = work !== undefined
      outbox.unbrake()
      outbox.release()
      events.shown?.(work)
    },
    late: () => drop('timeout', `the other end has not said within ${limits.serviceHandshakeTimeout} ms that it is a Waystation`),
    silent: () => drop('silent', `nothing has come for ${limits.serviceDeadline} ms`),
    silence: reading.silence,
  })

  function pack({ type, head, parts: payload, extension }: Outgoing): Buffer {
    if (type === 'sign') return KEEPALIVE
    const behind = negotiation.behind(extension)
    return writePacket(head, type, behind === undefined ? payload : [...payload, writeExtension(behind)], negotiation.signature())
  }

  function take(packet: Packet): void {
    events.seen?.()
    if (isOver || (packet.type === 'keepalive' && packet.payload.length === 0)) return
    // One that refuses us cannot always sign it.
    if (refusedBy(packet, packet.payload.subarray(TERM.length))) return
    const refusal = parts.judge(packet) ?? negotiation.check(packet)
    if (refusal !== undefined) return refuse(refusal)
    const opened = open(packet)
    if (opened === undefined || refusedBy(packet, opened.bare)) return
    const extension = negotiation.heard(opened.extension)
    if (isOver || (role === 'connector' && opened.extension?.kind === 'welcome')) return
    if (!mayCome(packet.type)) return drop('bad_packet', `a ${packet.type} to one that ${answers() ? 'answers' : 'calls'}`)
    if (packet.type === 'keepalive' && extension === undefined) return
    events.packet(opened.term === packet.payload ? packet : { ...packet, payload: opened.term }, extension)
  }

  /** Whether this end takes calls, and not answers. */
  function answers(): boolean {
    return role === 'acceptor' ? !isPeerWorker : parts.work !== undefined
  }

  function mayCome(type: PacketType): boolean {
    switch (type) {
      case 'call': case 'cast': return answers()
      case 'reply': case 'push': case 'error': return !answers()
      case 'keepalive': return true
      default: return type satisfies never
    }
  }

  function open(packet: Packet): Opened | undefined {
    try {
      return openPayload(packet.payload, decode)
    } catch (error) {
      unusable(endingOf(error), `a ${packet.type} whose term is not taken: ${(error as Error).message}`)
      return undefined
    }
  }

  /** An original server may send what nobody here knows, and means no harm: the connection goes on (section 15). */
  function unusable(why: Ending, detail: string): void {
    if (role === 'connector' && !negotiation.isWaystation && parts.signing === undefined) events.dropped?.(detail)
    else drop(why, detail)
  }

  function refusedBy({ type }: Packet, bare: Buffer): boolean {
    if (type !== 'error' || (role === 'acceptor' && !isPeerWorker)) return false
    const text = errorText(bare)
    // A worker has asked for nothing but to be taken.
    if (text === undefined || (parts.work === undefined && !REFUSALS.has(text))) return false
    drop('refused', text)
    return true
  }

  function refuse(text: RefusalText): void {
    if (!answers()) return unusable('refused', text)
    isOver = true
    negotiation.stop()
    reading.stop()
    outbox.clear()
    const payload = [TERM, writeText(text)]
    outbox.add({ type: 'error', head: ownHead, parts: payload }, sizeOf(payload), 'first')
    outbox.whenEmpty(REFUSED_LINGER, goodbye)
    events.ended('refused', text)
  }

  function keepalive(): void {
    // An original client ends where it gets one.
    if (isOver || (role === 'acceptor' && !negotiation.isWaystation)) return
    if (lastSign === undefined || lastSign.hasLeft) lastSign = outbox.add({ type: 'sign', head: ownHead, parts: [] }, KEEPALIVE.length)
  }

  function headOf(identifier: Buffer | undefined): Head {
    if (identifier === undefined) return ownHead
    if (otherHead?.identifier.equals(identifier) !== true) otherHead = { identifier, head: createHead({ ...parts.sender, identifier }) }
    return otherHead.head
  }

  /** Nothing is told from here on. Gives whether it was not over before. */
  function finish(): boolean {
    if (isOver) return false
    isOver = true
    negotiation.stop()
    reading.stop()
    outbox.stop()
    return true
  }

  function goodbye(): void {
    outbox.stop()
    stream.end()
    const uncut = clock.after(GOODBYE, () => void stream.destroy())
    stream.once('close', uncut)
  }

  function drop(why: Ending, detail: string): void {
    if (!finish()) return
    if (ORDERLY.has(why)) goodbye()
    else stream.destroy()
    events.ended(isClosing && why === 'lost' ? 'stopped' : why, detail)
  }

  function lost(detail: string): void {
    // Whoever was refused and goes has read why.
    if (isOver) stream.destroy()
    drop('lost', detail)
  }

  // It may have broken since its handshake, with nobody there to be told.
  if (stream.destroyed) clock.after(0, () => lost(stream.errored?.message ?? 'the connection has broken'))
  stream.on('error', (error) => lost(error.message))
  stream.on('end', () => lost('the other end has closed the connection'))
  stream.on('close', () => {
    outbox.stop()
    lost('the connection has broken')
  })
  negotiation.begin()

  return {
    peer,
    get isWaystation() { return negotiation.isWaystation },
    get pendingBytes() { return outbox.pendingBytes },
    get isOver() { return isOver },
    send(type, payload, { extension, identifier } = {}) {
      const isOurs = type === 'call' || type === 'cast' || type === 'keepalive'
      // Originals: a client ends where it gets one of these, and a long keepalive means nothing to a server.
      if (isOver || (isOurs && !negotiation.isWaystation && (role === 'acceptor' || type === 'keepalive'))) return NEVER
      const size = sizeOf(payload)
      if (outbox.pendingBytes > 0 && outbox.pendingBytes + size > limits.maxServicePendingBytes) {
        drop('slow_consumer', `${outbox.pendingBytes} bytes wait, ${limits.maxServicePendingBytes} at most`)
        return NEVER
      }
      return outbox.add({ type, head: headOf(identifier), parts: payload, extension }, size)
    },
    answered: outbox.answered,
    keepalive,
    pause: reading.pause,
    resume: reading.resume,
    drop,
    close(deadline) {
      const cut = (): void => {
        const wasOver = !finish()
        stream.destroy()
        if (!wasOver) events.ended('stopped', '')
      }
      if (!isOver) {
        isClosing = true
        outbox.whenEmpty(negotiation.isWaystation || brake.gap === 0 ? 0 : READ_LINGER, () => {
          if (!finish()) return
          goodbye()
          events.ended('stopped', '')
        })
      }
      if (deadline.aborted) cut()
      else deadline.addEventListener('abort', cut, { once: true })
      return gone.finally(() => deadline.removeEventListener('abort', cut))
    },
  }
}

function booking(account: BodyAccount, { address }: Peer): (more: number) => boolean {
  const client = clientOf(address)
  return (more) => {
    if (more > 0) return account.take(client, more)
    account.give(client, -more)
    return true
  }
}

function sizeOf(payload: readonly Buffer[]): number {
  let size = HEAD_BYTES
  for (const part of payload) size += part.length
  return size
}

function endingOf(error: unknown): Ending {
  if (error instanceof PacketError) return error.code === 'too_large' ? 'too_large' : 'bad_packet'
  if (error instanceof EtfError) return error.code === 'too_large' ? 'too_large' : 'bad_term'
  return 'failed'
}
