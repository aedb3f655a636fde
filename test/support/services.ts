import { duplexPair, type Duplex } from 'node:stream'
import { limitsWith, type LimitName } from '../../src/core/limits.ts'
import { judge } from '../../src/protocol/erps/judge.ts'
import type { Extension, Packet, PacketType } from '../../src/protocol/erps/messages.ts'
import { createHead, writePacket } from '../../src/protocol/erps/packet.ts'
import { openPayload, TERM, tuple2, writeRef, writeText } from '../../src/protocol/erps/payload.ts'
import { createPacketReader } from '../../src/protocol/erps/reader.ts'
import { writeExtension } from '../../src/protocol/erps/extension.ts'
import { openConnection, type ConnectionParts } from '../../src/services/connection.ts'
import type { Connection, Ending, Peer } from '../../src/services/ports.ts'
import { createManualClock, type ManualClock } from '../../src/testing/manual-clock.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'

export const PEER: Peer = { address: '127.0.0.1', local: true, names: [], certificateNames: [] }
/** How an original server over TCP is called. */
export const TCP_BRAKE = { gap: 20, calls: 'one' } as const
/** How an original client over TCP is answered. */
export const REPLY_BRAKE = { gap: 120, calls: 'many' } as const
export const NO_BRAKE = { gap: 0, calls: 'many' } as const
export const NIL = Buffer.of(106)
/** What a header of the original holds where nothing is declared. */
export const HEAD = createHead({ version: { major: 0, minor: 0, patch: 0 }, identifier: Buffer.alloc(0) })

export interface EndOptions extends Partial<Pick<ConnectionParts, 'brake' | 'sender' | 'judge' | 'decode' | 'signing' | 'work' | 'clock' | 'unfinished'>> {
  readonly limits?: Partial<Record<LimitName, number>>
}

/** One end of a connection, and all that it has told. */
export interface End {
  readonly connection: Connection
  readonly packets: { readonly packet: Packet; readonly extension: Extension | undefined }[]
  /** In the order in which it was told; one at most. */
  readonly endings: { readonly why: Ending; readonly detail: string }[]
  /** What workers offer; `client` for one that offers nothing. */
  readonly shown: string[]
  readonly dropped: string[]
  /** What the owner does with a packet. */
  heard: (packet: Packet, extension: Extension | undefined) => void
  /** Is told before the packets of the end itself. */
  ended: (why: Ending, detail: string) => void
}

let seeds = 0

/** An end on a stream. */
export function openEnd(stream: Duplex, role: 'connector' | 'acceptor', clock: ManualClock, options: EndOptions = {}): End {
  const { limits = {}, ...more } = options
  const random = createSeededRandom(++seeds)
  const events = {
    packets: [] as End['packets'], endings: [] as End['endings'], shown: [] as string[], dropped: [] as string[],
    heard: (): void => {},
    ended: (): void => {},
  } satisfies Omit<End, 'connection'>
  const connection = openConnection({
    stream, role, clock,
    peer: PEER,
    brake: role === 'connector' ? TCP_BRAKE : REPLY_BRAKE,
    sender: { version: { major: 0, minor: 0, patch: 0 }, identifier: Buffer.alloc(0) },
    judge: (packet) => judge(packet, { signed: options.signing === undefined ? 'refused' : 'required' }),
    decode: {},
    randomBytes: (size) => Buffer.from(Array.from({ length: size }, () => random.below(256))),
    limits: limitsWith(limits),
    ...more,
  }, {
    packet(packet, extension) {
      end.packets.push({ packet, extension })
      end.heard(packet, extension)
    },
    shown: (work) => void events.shown.push(work === undefined ? 'client' : `${work.service} ${work.slots}`),
    dropped: (detail) => void events.dropped.push(detail),
    ended(why, detail) {
      events.endings.push({ why, detail })
      end.ended(why, detail)
    },
  })
  const end: End = Object.assign(events, { connection })
  return end
}

/** The other end of a stream, that does only what a test says. */
export interface Raw {
  readonly stream: Duplex
  /** Each write of the other side, and when it came. */
  readonly chunks: { readonly at: number; readonly bytes: Buffer }[]
  readonly packets: { readonly at: number; readonly packet: Packet }[]
  /** What became of the stream. */
  isEnded: boolean
  send(type: PacketType, parts: readonly Buffer[], extension?: Extension): void
  write(bytes: Buffer): void
  /** What stands behind the term of a packet that came. */
  extensions(): (Extension | undefined)[]
  heard: (packet: Packet) => void
}

export function openRaw(stream: Duplex, clock: ManualClock): Raw {
  const reader = createPacketReader({ maxBytes: 64 << 20 })
  const raw: Raw = {
    stream,
    chunks: [], packets: [],
    isEnded: false,
    send: (type, parts, extension) => void stream.write(bytesOf(type, parts, extension)),
    write: (bytes) => void stream.write(bytes),
    extensions: () => raw.packets.map(({ packet }) => (packet.payload.length === 0 ? undefined : openPayload(packet.payload, {}).extension)),
    heard: () => {},
  }
  stream.on('data', (bytes: Buffer) => {
    const at = clock.monotonic()
    raw.chunks.push({ at, bytes })
    for (const packet of reader.push(bytes)) {
      raw.packets.push({ at, packet })
      raw.heard(packet)
    }
  })
  stream.on('error', () => {})
  for (const event of ['end', 'close']) {
    stream.on(event, () => {
      raw.isEnded = true
    })
  }
  return raw
}

export function bytesOf(type: PacketType, parts: readonly Buffer[], extension?: Extension): Buffer {
  return writePacket(HEAD, type, extension === undefined ? parts : [...parts, writeExtension(extension)])
}

export interface World {
  readonly clock: ManualClock
  /** Lets so many ms pass, step by step, so that what is written arrives before more time passes. */
  pass(ms: number, step?: number): Promise<void>
}

function worldOf(clock: ManualClock): World {
  return {
    clock,
    async pass(ms, step = 10) {
      await clock.settle()
      for (let left = ms; left > 0; left -= step) {
        clock.advance(Math.min(step, left))
        await clock.settle()
      }
    },
  }
}

/** An end, and a scripted other side. */
export function openAgainst(role: 'connector' | 'acceptor', options: EndOptions = {}, streams = duplexPair()): World & { readonly end: End; readonly raw: Raw } {
  const clock = createManualClock()
  return { ...worldOf(clock), end: openEnd(streams[0], role, clock, options), raw: openRaw(streams[1], clock) }
}

/** Two ends of ours, on one clock. */
export function openPair(connector: EndOptions = {}, acceptor: EndOptions = {}): World & { readonly connector: End; readonly acceptor: End } {
  const clock = createManualClock()
  const [near, far] = duplexPair()
  return { ...worldOf(clock), acceptor: openEnd(far, 'acceptor', clock, acceptor), connector: openEnd(near, 'connector', clock, connector) }
}

/** The bare term of a packet that was told. */
export function bareOf(packet: Packet): Buffer {
  return packet.payload.subarray(TERM.length)
}

export function callOf(ref: number, text: string): Buffer[] {
  return tuple2(writeRef(ref), writeText(text))
}

export function replyOf(text: string, ref: number): Buffer[] {
  return tuple2(writeText(text), writeRef(ref))
}

export function castOf(text: string): Buffer[] {
  return [TERM, writeText(text)]
}
