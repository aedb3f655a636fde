import assert from 'node:assert/strict'
import { decode, type DecodeOptions } from '../../../src/protocol/etf/decode.ts'
import { encode } from '../../../src/protocol/etf/encode.ts'
import { scan } from '../../../src/protocol/etf/scan.ts'
import { EtfError, type Term } from '../../../src/protocol/etf/term.ts'

export interface Tally {
  taken: number
  refused: number
  /** Taken by scanning, and too much memory to build. */
  heavy: number
}

const BASE = 65_536
const OPTIONS: readonly DecodeOptions[] = [
  { maxBytes: 1_048_576, opaque: 'kept' },
  { maxBytes: 65_536, atoms: new Set(['a', 'b', 'a@b.c']), maxDepth: 64, binaries: 'text' },
]

type Outcome = { readonly code: 'ok'; readonly end: number; readonly term: Term } | { readonly code: EtfError['code'] }

function attempt(run: () => { end: number; term: Term }): Outcome {
  try {
    return { code: 'ok', ...run() }
  } catch (error) {
    if (error instanceof EtfError) return { code: error.code }
    throw error
  }
}

/**
 * What must hold of any bytes: scanning and decoding say the same and throw nothing but their own error, and what is taken
 * can be written and read again. Memory is bounded by four times the input.
 */
export function judge(bytes: Buffer, tally: Tally): void {
  for (const options of OPTIONS) {
    const bounded = { ...options, maxMemory: 4 * bytes.length + BASE }
    const scanned = attempt(() => ({ end: scan(bytes, options), term: null }))
    let decoded = attempt(() => decode(bytes, bounded))
    if (scanned.code === 'ok' && decoded.code === 'too_large') {
      tally.heavy++
      decoded = attempt(() => decode(bytes, options))
    }
    if (decoded.code === 'too_large' && scanned.code !== 'ok') decoded = attempt(() => decode(bytes, options))
    assert.equal(decoded.code, scanned.code)
    if (decoded.code !== 'ok' || scanned.code !== 'ok') {
      tally.refused++
      continue
    }
    tally.taken++
    assert.equal(decoded.end, scanned.end)
    assert.ok(decoded.end <= bytes.length)
    const again = encode(decoded.term)
    const { term, end } = decode(again, { opaque: 'kept' })
    assert.equal(end, again.length)
    assert.ok(encode(term).equals(again), 'what was read, written and read is another term')
  }
}

/** Runs `judge`, and tells the bytes where something does not hold. */
export function judgeAll(inputs: Iterable<Buffer>, tally: Tally, origin: string): void {
  for (const bytes of inputs) {
    try {
      judge(bytes, tally)
    } catch (error) {
      throw new Error(`${origin}: ${bytes.toString('hex')}`, { cause: error })
    }
  }
}

/** The heap that decoding these bytes takes is no more than was accounted for. Needs `gc`. */
export function weigh(bytes: Buffer, gc: () => void): { readonly real: number } {
  const taken = attempt(() => decode(bytes, OPTIONS[0]))
  if (taken.code !== 'ok') return { real: 0 }
  const held: unknown[] = [taken]
  gc()
  const before = process.memoryUsage()
  for (let time = 0; time < 4; time++) held.push(decode(bytes, OPTIONS[0]))
  gc()
  const after = process.memoryUsage()
  // Buffers outside of the heap are given back later than they are counted.
  const real = Math.max(0, after.heapUsed - before.heapUsed) / 4
  assert.equal(held.length, 5)
  const accounted = attempt(() => decode(bytes, { ...OPTIONS[0], maxMemory: Math.floor(real * 0.9) - BASE }))
  if (real > BASE * 2) assert.equal(accounted.code, 'too_large', `${Math.round(real)} bytes were not accounted for`)
  return { real }
}

/** A large input of many equal or similar terms, so that what is not accounted for shows. */
export function enlarge(parts: readonly Buffer[], size: number): Buffer {
  const bodies: Buffer[] = []
  let held = 0
  for (let index = 0; held < size; index++) {
    const body = (parts[index % parts.length] as Buffer).subarray(1)
    bodies.push(body)
    held += body.length + 1
  }
  const head = Buffer.from([131, 108, 0, 0, 0, 0])
  head.writeUInt32BE(bodies.length, 2)
  return Buffer.concat([head, ...bodies, Buffer.of(106)])
}
