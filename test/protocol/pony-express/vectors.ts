import { readFileSync } from 'node:fs'
import { HEADER_BYTES } from '../../../src/protocol/pony-express/frame.ts'

interface Notation {
  readonly tuple?: readonly Notation[]
  readonly atom?: string
  readonly binary?: string
  readonly binary_repeat?: { readonly byte: number; readonly count: number }
}

/** One frame, in full or by its beginning and its SHA-256. */
export interface Packet {
  readonly name?: string
  readonly from?: 'client' | 'server'
  readonly term: Notation
  readonly hex?: string
  readonly hex_latin1_atoms?: string
  readonly hex_prefix?: string
  readonly hex_len?: number
  readonly hex_sha256?: string
  readonly hex_latin1_atoms_prefix?: string
  readonly hex_latin1_atoms_len?: number
  readonly hex_latin1_atoms_sha256?: string
}

interface FramingCase {
  readonly name: string
  readonly chunks: readonly string[]
  readonly get_data_calls: readonly {
    readonly returned: 'ok' | 'error' | 'raises'
    readonly error?: string
    readonly term?: Notation
    readonly buffer_after?: string
    readonly reads: number
  }[]
}

const vectors = JSON.parse(readFileSync(new URL('../../vectors/pony-express.json', import.meta.url), 'utf8')) as {
  readonly packets: readonly Packet[]
  readonly reference_framing: { readonly cases: readonly FramingCase[] }
  readonly sessions: readonly { readonly name: string; readonly packets: readonly Packet[] }[]
}

export const packets = vectors.packets
export const sessionPackets = vectors.sessions.flatMap(({ name, packets: those }) => those.map((packet, i) => ({ ...packet, name: `${name} ${i}` })))

/** The frame in one of its two forms. */
export function frameOf(packet: Packet, form: 'utf8' | 'latin1'): Buffer | undefined {
  const [hex, prefix, length] = form === 'utf8'
    ? [packet.hex, packet.hex_prefix, packet.hex_len]
    : [packet.hex_latin1_atoms, packet.hex_latin1_atoms_prefix, packet.hex_latin1_atoms_len]
  if (hex !== undefined) return Buffer.from(hex, 'hex')
  if (prefix === undefined || length === undefined) return undefined
  // The rest is the binary of the term, which is the same byte throughout, or its length's last bytes.
  const { count = 0 } = packet.term.tuple?.[1]?.binary_repeat ?? {}
  const frame = Buffer.alloc(length)
  frame.write(prefix, 'hex')
  frame.writeUInt32BE(count, length - count - 4)
  return frame
}

export function payloadOf(frame: Buffer): Buffer {
  return frame.subarray(HEADER_BYTES)
}

export type Outcome = 'taken' | 'ignored' | 'refused'

/** Where this port does something else than the reference's reader (`pony-express.md`, section 5), and why. */
const DIFFERENT: Readonly<Record<string, { readonly why: string; readonly frames: readonly Outcome[]; readonly broken: 'bad_cookie' | 'too_large' }>> = {
  garbage_8_or_more: { why: 'junk ends the connection, where the reference drops it', frames: [], broken: 'bad_cookie' },
  garbage_then_packet: { why: 'junk ends the connection, so the frame behind it is not read', frames: [], broken: 'bad_cookie' },
  garbage_and_packet_one_chunk: { why: 'junk ends the connection; the reference drops the good frame with it', frames: [], broken: 'bad_cookie' },
  garbage_5_then_packet: { why: 'junk ends the connection at its first byte; the reference lets it spoil the next frame', frames: [], broken: 'bad_cookie' },
  packet_then_garbage_one_chunk: { why: 'the frame before the junk is taken, and the junk ends the connection', frames: ['taken'], broken: 'bad_cookie' },
  size_ffffffff: { why: 'a length above the bound ends the connection, where the reference waits for ever', frames: [], broken: 'too_large' },
}

export interface Here {
  readonly name: string
  readonly chunks: readonly Buffer[]
  readonly why: string
  /** What becomes of each frame. */
  readonly frames: readonly Outcome[]
  readonly broken?: 'bad_cookie' | 'too_large' | undefined
  /** Bytes of a frame that has begun. */
  readonly buffered: number
}

/** Each case of the reference's reader, with what is to come of it here. */
export function framingCases(): readonly Here[] {
  return vectors.reference_framing.cases.map(({ name, chunks, get_data_calls: calls }) => {
    const bytes = chunks.filter((chunk) => chunk !== '(closed)').map((chunk) => Buffer.from(chunk, 'hex'))
    const different = DIFFERENT[name]
    if (different !== undefined) return { name, chunks: bytes, ...different, buffered: 0 }
    const frames: Outcome[] = []
    let left = ''
    for (const call of calls) {
      // What was taken out of the buffer without a read was a frame.
      if (call.reads === 0) frames.push(call.returned !== 'ok' ? 'refused' : call.term?.atom === 'nil' ? 'ignored' : 'taken')
      if (call.buffer_after !== undefined) left = call.buffer_after
    }
    const refused = frames.includes('refused')
    return { name, chunks: bytes, why: 'the same as the reference', frames, buffered: refused ? 0 : left.length / 2 }
  })
}
