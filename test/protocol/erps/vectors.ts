import { readFileSync } from 'node:fs'
import type { DecodeOptions } from '../../../src/protocol/etf/decode.ts'
import { encode } from '../../../src/protocol/etf/encode.ts'
import { EtfError } from '../../../src/protocol/etf/term.ts'
import { judge } from '../../../src/protocol/erps/judge.ts'
import { createHead, writePacket } from '../../../src/protocol/erps/packet.ts'
import type { Packet, PacketType, Version } from '../../../src/protocol/erps/messages.ts'
import { openPayload } from '../../../src/protocol/erps/payload.ts'
import { createPacketReader, PacketError, type PacketReader } from '../../../src/protocol/erps/reader.ts'
import { readRequirement, readVersion } from '../../../src/protocol/erps/versions.ts'
import { termFrom, type Notation } from '../etf/vectors.ts'

/** A packet, in full or by its beginning and its SHA-256. */
export interface Written {
  readonly name: string
  readonly type: PacketType
  readonly version?: string
  readonly identifier?: string
  readonly hmac_key?: string
  readonly signature?: string
  readonly payload?: Notation
  readonly compressed?: unknown
  readonly payload_size?: number
  readonly total_len?: number
  readonly hex?: string
  readonly hex_len?: number
  readonly hex_sha256?: string
  readonly hex_latin1_atoms?: string
  readonly hex_latin1_atoms_sha256?: string
}

export interface DecodeCase {
  readonly name: string
  readonly options: { readonly identifier?: string; readonly versions?: string; readonly safe?: boolean | null }
  readonly after_preamble_hex: string
  readonly ok: boolean
  readonly type?: PacketType
  readonly version?: string
  readonly identifier?: string
  readonly payload?: Notation
  readonly error?: 'text' | 'badarg' | 'einval' | 'raises'
  readonly text?: string
}

interface Vectors {
  readonly packets: readonly Written[]
  readonly decode: { readonly cases: readonly DecodeCase[] }
  readonly version_rules: readonly { readonly version: string; readonly requirement: string; readonly match?: boolean; readonly invalid?: string }[]
  readonly reference_framing: { readonly cases: readonly { readonly name: string; readonly chunks: readonly string[]; readonly get_data_calls: readonly { readonly result: string }[] }[] }
  readonly stream_for_ports: { readonly cases: readonly { readonly name: string; readonly chunks: readonly string[]; readonly packets: readonly string[] }[] }
  readonly sessions: readonly { readonly name: string; readonly packets: readonly (Written & { readonly from: 'client' | 'server' })[] }[]
}

export const vectors = JSON.parse(readFileSync(new URL('../../vectors/erps.json', import.meta.url), 'utf8')) as Vectors

export const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
export const reader = (maxBytes = 1_000_000): PacketReader => createPacketReader({ maxBytes })
export const all = (one: PacketReader, chunks: readonly Buffer[]): Packet[] => chunks.flatMap((chunk) => [...one.push(chunk)])
export const ANYONE = { version: { major: 0, minor: 0, patch: 0 }, identifier: Buffer.alloc(0) }
export const PLAIN = createHead(ANYONE)

/** The one packet that these bytes are. */
export function packetOf(bytes: Buffer): Packet {
  const [packet, ...more] = all(reader(), [bytes])
  if (packet === undefined || more.length > 0) throw new Error(`${more.length} packets more than one`)
  return packet
}

/** Cuts bytes into pieces of the sizes that `next` gives. */
export function cutUp(bytes: Buffer, next: () => number): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const to = Math.min(bytes.length, at + next())
    pieces.push(bytes.subarray(at, to))
    at = to
  }
  return pieces
}

/** A packet as our encoder writes it from the words of the vectors. */
export function written({ type, version = '0.0.0', identifier = '', payload }: Written): Buffer {
  const sender = { version: readVersion(version) as Version, identifier: Buffer.from(identifier) }
  return writePacket(createHead(sender), type, [encode(termFrom(payload as Notation))])
}

/** The same packet with its atoms as OTP 25 writes them: tag 100 and two bytes of length, where ours is 119 and one. */
export function inOldForm(packet: Buffer, notation: Notation): Buffer {
  let payload = packet.subarray(96)
  for (const name of atomsOf(notation)) {
    const [ours, theirs] = [Buffer.from(`w${String.fromCharCode(name.length)}${name}`), Buffer.from(`d\0${String.fromCharCode(name.length)}${name}`)]
    const at = payload.indexOf(ours)
    payload = Buffer.concat([payload.subarray(0, at), theirs, payload.subarray(at + ours.length)])
  }
  const old = Buffer.concat([packet.subarray(0, 96), payload])
  old.writeUInt32BE(payload.length, 4)
  return old
}

function atomsOf({ atom, tuple, list, map }: Notation): string[] {
  return [...(atom === undefined ? [] : [atom]), ...(tuple ?? []).flatMap(atomsOf), ...(list ?? []).flatMap(atomsOf), ...(map ?? []).flat().flatMap(atomsOf)]
}

export const versionText = ({ major, minor, patch }: Version): string => `${major}.${minor}.${patch}`

/** Of the short packets of the framing cases: `keepalive`, or `cast 1`. */
export function label(packet: Packet): string {
  return packet.type === 'keepalive' ? 'keepalive' : `${packet.type} ${packet.payload[2]}`
}

/** What a server with these options makes of a packet without its first 8 bytes: it, or the word of its refusal. */
export function decoded({ options, after_preamble_hex }: DecodeCase, known: DecodeOptions): { readonly packet: Packet; readonly term: Buffer } | string {
  const rest = hex(after_preamble_hex)
  const head = hex('65727073 00000000')
  head.writeUInt32BE(Math.max(0, rest.length - 88), 4)
  try {
    const packet = packetOf(Buffer.concat([head, rest]))
    const refusal = judge(packet, {
      identifier: options.identifier === undefined ? undefined : Buffer.from(options.identifier),
      requirement: options.versions === undefined ? undefined : readRequirement(options.versions),
      signed: 'refused',
    })
    if (refusal !== undefined) return refusal
    if (packet.bytes.length < 96) return { packet, term: Buffer.alloc(0) }
    return { packet, term: openPayload(packet.payload, options.safe === false ? { opaque: 'kept' } : known).term }
  } catch (error) {
    if (error instanceof PacketError) return 'einval'
    if (error instanceof EtfError) return 'badarg'
    throw error
  }
}
