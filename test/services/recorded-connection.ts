import { TYPES, type Packet, type PacketType } from '../../src/protocol/erps/messages.ts'
import { decode } from '../../src/protocol/etf/decode.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { Atom, Tuple, type Term } from '../../src/protocol/etf/term.ts'
import type { Bare, Connection, Ending } from '../../src/services/ports.ts'

/** A connection without a network: what is sent is kept as terms, and how it was ended. */
export interface RecordedConnection extends Connection {
  isWaystation: boolean
  /** `[type, term]` of each packet, since it was last asked for. */
  sent(): [string, Term][]
  /** Why it was dropped, or `closed`. */
  readonly over: readonly string[]
}

/** @param ended told once, as a connection tells it */
export function recordConnection(peer: 'erps' | 'waystation', ended: (why: Ending, detail: string) => void = () => {}): RecordedConnection {
  let sent: [string, Term][] = []
  const over: string[] = []
  const end = (why: Ending, detail: string, said: string): void => {
    if (over.length > 0) return
    over.push(said)
    ended(why, detail)
  }
  return {
    peer: { address: '192.0.2.1', local: false, names: ['cn:edge'], certificateNames: ['edge'] },
    isWaystation: peer === 'waystation',
    pendingBytes: 0,
    get isOver() { return over.length > 0 },
    over,
    send(type, parts) {
      if (over.length === 0) sent.push([type, decode(Buffer.concat(parts), { opaque: 'kept', binaries: 'text' }).term])
      return { hasLeft: true, withdraw: () => false }
    },
    answered() {}, keepalive() {}, pause() {}, resume() {},
    drop: (why, detail) => end(why, detail, why),
    async close() { end('stopped', '', 'closed') },
    sent() {
      const all = sent
      sent = []
      return all
    },
  }
}

/** A packet as a connection hands it on. */
export function packetOf(type: PacketType, payload: Buffer, identifier = ''): Packet {
  return {
    type, payload,
    identifier: Buffer.from(identifier),
    version: { major: 1, minor: 2, patch: 3 },
    key: Buffer.alloc(16), signature: Buffer.alloc(32),
    bytes: Buffer.concat([Buffer.of(TYPES[type]), payload]),
  }
}

export function callOf(ref: Term, request: Term, identifier?: string): Packet {
  return packetOf('call', encode(new Tuple(ref, request)), identifier)
}

export const atom = (name: string): Atom => new Atom(name)

/** As it stands inside another term. */
export function bare(term: Term): Bare {
  return encode(term).subarray(1)
}

export function unbare(term: Bare): Term {
  return decode(Buffer.concat([Buffer.of(131), term]), { opaque: 'kept', binaries: 'text' }).term
}
