import { deflateSync } from 'node:zlib'
import { encode } from '../../../src/protocol/etf/encode.ts'
import type { Chance } from '../../simulation/chance.ts'
import { drawTerm } from './draw.ts'
import { vectors } from './vectors.ts'

const TAGS = [97, 98, 110, 111, 70, 99, 119, 118, 100, 115, 104, 105, 106, 107, 108, 109, 77, 116, 88, 103, 90, 114, 101, 89, 120, 102, 113, 112, 82, 80, 131, 35, 0, 255]
const LENGTHS = [0, 1, 2, 255, 256, 65_535, 65_536, 0x00ff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff]
const HEADS = ['6c00000001', '6801', '6900000001', '740000000161017400000001', '7400000001', '6c00000000', '74000000026a6a', '680274', '6b0001016c00000002']
const LONGEST = 4_096

/** Inputs to begin with: all vectors that are not large, and terms that are drawn. */
export function seeds(chance: Chance): Buffer[] {
  const written = [
    ...[...vectors.encode, ...vectors.identifiers, ...vectors.decode_only, ...vectors.invalid, ...vectors.safe.cases, ...vectors.compressed.edges].map(({ hex }) => hex),
    ...vectors.compressed.cases.map((each) => each.default),
  ]
  const short = written.filter((hex) => hex !== undefined && hex.length <= 2 * LONGEST).map((hex) => Buffer.from(hex as string, 'hex'))
  return [...short, ...Array.from({ length: 1_000 }, () => encode(drawTerm(chance, 3))).filter((bytes) => bytes.length <= LONGEST)]
}

/** An input that was changed in up to four places. */
export function mutate(chance: Chance, corpus: readonly Buffer[]): Buffer {
  let bytes = Buffer.from(pick(chance, corpus))
  const changes = chance.int(1, 4)
  for (let change = 0; change < changes; change++) bytes = Buffer.from(changed(chance, bytes, corpus))
  return bytes
}

function changed(chance: Chance, bytes: Buffer, corpus: readonly Buffer[]): Buffer {
  const at = chance.int(0, Math.max(0, bytes.length - 1))
  const kind = chance.int(0, 40)
  if (kind < 8) return set(bytes, at, (bytes[at] ?? 0) ^ (1 << chance.int(0, 7)))
  if (kind < 14) return set(bytes, at, pick(chance, TAGS))
  if (kind < 18) return swapTag(chance, bytes, at)
  if (kind < 21) return bytes.subarray(0, at)
  if (kind < 25) return lie(chance, bytes, at)
  if (kind < 29) return splice(chance, bytes, at, pick(chance, corpus))
  if (kind < 32) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + chance.int(1, 9)))])
  if (kind < 36) return nest(chance, bytes)
  if (kind < 40) return pair(chance, bytes, pick(chance, corpus))
  return compress(chance, bytes)
}

function set(bytes: Buffer, at: number, value: number): Buffer {
  if (at < bytes.length) bytes[at] = value
  return bytes
}

/** The next byte that could be a tag becomes another one. */
function swapTag(chance: Chance, bytes: Buffer, at: number): Buffer {
  for (let index = at; index < bytes.length; index++) if (TAGS.includes(bytes[index] as number)) return set(bytes, index, pick(chance, TAGS))
  return bytes
}

function lie(chance: Chance, bytes: Buffer, at: number): Buffer {
  if (at + 4 > bytes.length) return bytes
  bytes.writeUInt32BE(chance.odds(0.3) ? chance.int(0, bytes.length) : pick(chance, LENGTHS), at)
  return bytes
}

function splice(chance: Chance, bytes: Buffer, at: number, other: Buffer): Buffer {
  const from = chance.int(0, other.length)
  return Buffer.concat([bytes.subarray(0, at), other.subarray(from, chance.int(from, other.length)), bytes.subarray(chance.odds(0.5) ? at : Math.min(bytes.length, at + 4))]).subarray(0, LONGEST)
}

function nest(chance: Chance, bytes: Buffer): Buffer {
  const head = Buffer.from(pick(chance, HEADS), 'hex')
  const levels = chance.odds(0.05) ? chance.int(50, 300) : chance.int(1, 3)
  return Buffer.concat([Buffer.of(131), ...Array.from({ length: levels }, () => head), bytes.subarray(1), Buffer.alloc(chance.int(0, levels), 106)])
}

/** A map of two keys, or of one twice. */
function pair(chance: Chance, bytes: Buffer, other: Buffer): Buffer {
  const key = chance.odds(0.5) ? bytes : other
  return Buffer.concat([Buffer.of(131, 116, 0, 0, 0, 2), bytes.subarray(1), Buffer.of(106), key.subarray(1), Buffer.of(106)]).subarray(0, 2 * LONGEST)
}

function compress(chance: Chance, bytes: Buffer): Buffer {
  const head = Buffer.alloc(6)
  head.writeUInt16BE(0x8350)
  head.writeUInt32BE(chance.odds(0.8) ? Math.max(0, bytes.length - 1) : pick(chance, LENGTHS), 2)
  return Buffer.concat([head, deflateSync(bytes.subarray(1), { level: chance.int(0, 2) })])
}

function pick<T>(chance: Chance, values: readonly T[]): T {
  return values[chance.int(0, values.length - 1)] as T
}
