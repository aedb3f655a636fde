import assert from 'node:assert/strict'
import { plain } from '../../../src/protocol/etf/plain.ts'
import { decode, type DecodeOptions } from '../../../src/protocol/etf/decode.ts'
import { LIST } from '../../../src/protocol/etf/tags.ts'
import { scan } from '../../../src/protocol/etf/scan.ts'
import { EtfError, Tuple } from '../../../src/protocol/etf/term.ts'
import { writeExtension } from '../../../src/protocol/erps/extension.ts'
import { judge } from '../../../src/protocol/erps/judge.ts'
import type { Packet } from '../../../src/protocol/erps/messages.ts'
import { KEEPALIVE, writePacket } from '../../../src/protocol/erps/packet.ts'
import { errorText, openPayload, readRef, splitCall, splitReply } from '../../../src/protocol/erps/payload.ts'
import { createPacketReader, PacketError } from '../../../src/protocol/erps/reader.ts'
import { skip } from '../../../src/protocol/erps/skip.ts'
import { readRequirement } from '../../../src/protocol/erps/versions.ts'
import type { Chance } from '../../simulation/chance.ts'
import { mutate, seeds } from '../etf/mutate.ts'
import { cutUp, hex, PLAIN, vectors } from './vectors.ts'

export interface Tally {
  packets: number
  terms: number
  pairs: number
  extensions: number
  broken: number
}

const MAX_BYTES = 65_536
const OPTIONS: readonly DecodeOptions[] = [{ maxBytes: MAX_BYTES, opaque: 'kept' }, { maxBytes: MAX_BYTES, atoms: new Set(['a', 'b', 'ping']), maxDepth: 8 }]
const WANTED = { identifier: Buffer.from('my_api'), requirement: readRequirement('~> 0.2'), signed: 'refused' } as const
const SIZES = [0, 1, 2, 3, 88, 255, 256, 65_536, 65_537, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
const nonce = Buffer.alloc(16, 'n')
const EXTENSIONS = [
  writeExtension({ kind: 'hello', nonce, work: { service: 'pool', slots: 8 } }), writeExtension({ kind: 'welcome', nonce }), writeExtension({ kind: 'terms', deadline: 5_000, times: 'once', key: undefined }),
  writeExtension({ kind: 'drain' }), writeExtension({ kind: 'cancel' }),
]

export interface Corpus {
  readonly packets: readonly Buffer[]
  readonly terms: readonly Buffer[]
}

export function createCorpus(chance: Chance): Corpus {
  const written = [...vectors.packets, ...vectors.sessions.flatMap(({ packets }) => packets)].flatMap((each) => [each.hex, each.hex_latin1_atoms])
  return { packets: [KEEPALIVE, ...written.flatMap((text) => (text === undefined ? [] : [hex(text)]))], terms: seeds(chance) }
}

/** A stream of one to four packets, most of them broken in one way or two. */
export function drawStream(chance: Chance, corpus: Corpus): Buffer {
  const packets = Array.from({ length: chance.int(1, 4) }, () => drawPacket(chance, corpus))
  const stream = Buffer.concat(packets)
  if (chance.odds(0.7)) return stream
  const at = chance.int(0, Math.max(0, stream.length - 1))
  const kind = chance.int(0, 3)
  if (kind === 0) return stream.subarray(0, at)
  if (kind === 1) return Buffer.concat([stream.subarray(0, at), stream.subarray(Math.min(stream.length, at + chance.int(1, 9)))])
  if (kind === 2) return Buffer.concat([stream.subarray(0, at), Buffer.alloc(chance.int(1, 9), chance.int(0, 255)), stream.subarray(at)])
  stream[at] = chance.int(0, 255)
  return stream
}

function drawPacket(chance: Chance, { packets, terms }: Corpus): Buffer {
  if (chance.odds(0.3)) {
    const packet = Buffer.from(pick(chance, packets))
    if (packet.length > 8 && chance.odds(0.1)) packet.writeUInt32BE(pick(chance, SIZES), 4)
    if (chance.odds(0.3)) packet[chance.int(0, packet.length - 1)] = chance.int(0, 255)
    return packet
  }
  const term = chance.odds(0.7) ? mutate(chance, terms) : pick(chance, terms)
  const inner = chance.odds(0.5) ? [term] : [Buffer.of(131, 104, 2), term.subarray(1), pick(chance, terms).subarray(1)]
  const behind = chance.odds(0.3) ? [Buffer.from(pick(chance, EXTENSIONS))] : []
  if (behind[0] !== undefined && chance.odds(0.3)) behind[0][chance.int(0, behind[0].length - 1)] = chance.int(0, 255)
  return writePacket(PLAIN, pick(chance, ['keepalive', 'error', 'reply', 'push', 'call', 'cast']), [...inner, ...behind])
}

interface Read {
  readonly packets: Packet[]
  readonly broken: string | undefined
  readonly buffered: number
}

function read(pieces: readonly Buffer[]): Read {
  const reader = createPacketReader({ maxBytes: MAX_BYTES })
  const packets: Packet[] = []
  try {
    for (const piece of pieces) for (const packet of reader.push(piece)) packets.push(packet)
  } catch (error) {
    assert.ok(error instanceof PacketError, String(error))
    return { packets, broken: error.message, buffered: reader.buffered }
  }
  return { packets, broken: undefined, buffered: reader.buffered }
}

/**
 * What must hold of any stream: it is the same packets however it is cut, nothing but what is not whole is left, and
 * whatever is looked at throws nothing but its own error. Payloads are taken exactly where `scan` takes them.
 */
export function judgeStream(stream: Buffer, chance: Chance, tally: Tally): void {
  const whole = read([stream])
  const cut = read(cutUp(stream, () => chance.int(1, chance.odds(0.5) ? 9 : 200)))
  assert.equal(cut.broken, whole.broken)
  assert.equal(cut.packets.length, whole.packets.length)
  assert.equal(cut.buffered, whole.buffered)
  const taken = whole.packets.reduce((sum, { bytes }) => sum + bytes.length, 0)
  if (whole.broken === undefined) assert.equal(taken + whole.buffered, stream.length)
  else tally.broken++
  for (const [index, packet] of whole.packets.entries()) {
    tally.packets++
    assert.deepEqual({ ...cut.packets[index], bytes: undefined, payload: undefined }, { ...packet, bytes: undefined, payload: undefined })
    assert.ok(cut.packets[index]?.bytes.equals(packet.bytes))
    judge(packet, WANTED)
    for (const options of OPTIONS) judgePayload(packet.payload, options, tally)
  }
}

function attempt<T>(run: () => T): T | string {
  try {
    return run()
  } catch (error) {
    if (error instanceof EtfError) return error.code
    throw error
  }
}

function judgePayload(payload: Buffer, options: DecodeOptions, tally: Tally): void {
  const end = attempt(() => scan(payload, options))
  const opened = attempt(() => openPayload(payload, options))
  if (typeof opened === 'string' || typeof end === 'string') {
    assert.equal(opened, end)
    return
  }
  tally.terms++
  const { term, bare, extension } = opened
  assert.ok(term.equals(plain(payload, options)))
  assert.ok(bare.equals(term.subarray(1)))
  assert.equal(skip(bare, 0), bare.length)
  if (extension !== undefined) {
    tally.extensions++
    assert.ok(writeExtension(extension).equals(payload.subarray(end)))
  }
  // A list of nothing is its tail, be that a number or a tuple. Nobody writes it, so it is no ref and no call here.
  const isHollow = bare[0] === LIST && bare.readUInt32BE(1) === 0
  const value = isHollow ? null : decode(term, { opaque: 'kept' }).term
  const [call, reply] = [splitCall(bare), splitReply(bare)]
  assert.equal(call !== undefined, value instanceof Tuple && value.elements.length === 2)
  assert.equal(reply !== undefined, call !== undefined)
  errorText(bare)
  assert.equal(readRef(bare), typeof value === 'number' && value >= 0 ? value : undefined)
  if (call === undefined || reply === undefined) return
  tally.pairs++
  assert.ok(call.ref.equals(reply.term) && call.term.equals(reply.ref))
  const size = call.ref.length + call.term.length
  assert.ok(Buffer.concat([call.ref, call.term]).equals(bare.subarray(bare.length - size)))
  assert.equal(skip(call.ref, 0), call.ref.length)
  assert.equal(skip(call.term, 0), call.term.length)
}

function pick<T>(chance: Chance, values: readonly T[]): T {
  return values[chance.int(0, values.length - 1)] as T
}
