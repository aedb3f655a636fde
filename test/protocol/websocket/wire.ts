import assert from 'node:assert/strict'
import { BINARY, headerSize, TEXT, writeHeader } from '../../../src/protocol/websocket/frame.ts'
import { readFrames, type FrameHandler, type ReaderBounds, type UnfinishedMessage } from '../../../src/protocol/websocket/reader.ts'

/** Whatever a client may say, right or wrong. */
export interface Sent {
  readonly opcode: number
  readonly payload: Uint8Array
  readonly fin?: 'last' | 'more'
  readonly rsv?: number
  /** The mask; `undefined` where the frame has none. */
  readonly key?: number | undefined
  /** How the length is written; the shortest form when it is not said. */
  readonly form?: 2 | 4 | 10 | undefined
}

export function clientBytes({ opcode, payload, fin = 'last', rsv = 0, key, form = headerSize(payload.length) as 2 | 4 | 10 }: Sent): Buffer {
  const { length } = payload
  const bytes = Buffer.alloc(form + (key === undefined ? 0 : 4) + length)
  const mask = key === undefined ? 0 : 0x80
  bytes[0] = (fin === 'last' ? 0x80 : 0) | (rsv << 4) | opcode
  bytes[1] = mask | (form === 2 ? length : form === 4 ? 126 : 127)
  if (form === 4) bytes.writeUInt16BE(length, 2)
  if (form === 10) bytes.writeBigUInt64BE(BigInt(length), 2)
  if (key !== undefined) bytes.writeInt32BE(key | 0, form)
  const begin = bytes.length - length
  for (let i = 0; i < length; i++) bytes[begin + i] = (payload[i] as number) ^ (key === undefined ? 0 : bytes[form + (i & 3)] as number)
  return bytes
}

export interface Told {
  /** What was told, a line each, payloads byte by byte. */
  readonly lines: string[]
  /** Messages with the memory that they stand in. */
  readonly messages: Buffer[]
  /** Why it was broken. */
  why: string
}

/** Notes what it is told. Fails when a message does not stand behind the header that a server sends. */
export function notingHandler(): { told: Told; handler: FrameHandler; over(): boolean } {
  const told: Told = { lines: [], messages: [], why: '' }
  let over = false
  return {
    told,
    over: () => over,
    handler: {
      message(payload, binary) {
        told.lines.push(line(binary ? 'binary' : 'text', payload))
        told.messages.push(payload)
        const header = Buffer.alloc(headerSize(payload.length))
        writeHeader(header, 0, binary ? BINARY : TEXT, payload.length)
        assert.deepEqual(Buffer.from(payload.buffer, payload.byteOffset - header.length, header.length), header)
      },
      ping: (payload) => void told.lines.push(line('ping', payload)),
      closing(code, reason) {
        over = true
        told.lines.push(line(`closing ${code}`, reason))
      },
      broken(code, why) {
        over = true
        told.lines.push(`broken ${code}`)
        told.why = why
      },
    },
  }
}

export function line(what: string, payload: Buffer): string {
  return `${what} ${payload.toString('latin1')}`
}

export const ROOMY: ReaderBounds = { maxFrameBytes: 1_000_000, maxPieces: 1_000_000 }

const GUARD = 5
/** The most that may be kept beside twice of what has come. */
const KEPT_ALWAYS = 2_048

/**
 * Reads bytes that come in pieces of these sizes, the last one again and again. Fails when a byte beside a chunk is written,
 * when a chunk is needed after its time, or when more is kept than has come.
 */
export function readInPieces(bytes: Buffer, sizes: readonly number[], bounds: ReaderBounds): Told {
  const { told, handler, over } = notingHandler()
  let unfinished: UnfinishedMessage | undefined
  for (let at = 0, i = 0; at < bytes.length && !over(); i++) {
    const size = Math.min(sizes[Math.min(i, sizes.length - 1)] as number, bytes.length - at)
    const memory = Buffer.alloc(size + 2 * GUARD, 0xaa)
    const chunk = memory.subarray(GUARD, GUARD + size)
    bytes.copy(chunk, 0, at, at + size)
    const before = unfinished
    unfinished = readFrames(chunk, unfinished, bounds, handler)
    assert.ok(!over() || unfinished === undefined, 'something is left behind the end')
    assert.ok(before === undefined || before.number === 0)
    assert.ok(memory.subarray(0, GUARD).every(isGuard) && memory.subarray(GUARD + size).every(isGuard), 'a byte beside the chunk')
    // Whole messages stand in the chunk, and are noted as lines by now.
    chunk.fill(0xee)
    at += size
    if (unfinished === undefined) continue
    assert.ok(unfinished.bytes > 0 && !unfinished.ended)
    assert.ok(unfinished.kept <= 2 * unfinished.bytes + KEPT_ALWAYS, `${unfinished.kept} bytes kept of ${unfinished.bytes}`)
  }
  return told
}

function isGuard(byte: number): boolean {
  return byte === 0xaa
}
