import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as ws from 'ws'
import type { ReaderBounds } from '../../../src/protocol/websocket/reader.ts'
import { createChance, type Chance } from '../../simulation/chance.ts'
import { conversation } from './conversation.ts'
import { line, readInPieces } from './wire.ts'

/** The receiving half of the library, which its types leave out. */
interface Receiver {
  on(event: string, listener: (first: Buffer & number, second: Buffer & boolean) => void): void
  _write(chunk: Buffer, encoding: string, done: (error?: Error) => void): void
}
const { Receiver } = ws as unknown as { Receiver: new (options: object) => Receiver }

/** What the library tells of the same bytes in the same pieces. */
function readByLibrary(bytes: Buffer, sizes: readonly number[], { maxFrameBytes, maxPieces }: ReaderBounds): string[] {
  const receiver = new Receiver({ isServer: true, maxPayload: maxFrameBytes, maxFragments: maxPieces, maxBufferedChunks: maxPieces })
  const lines: string[] = []
  let over = false
  receiver.on('message', (payload, binary) => void lines.push(line(binary ? 'binary' : 'text', payload)))
  receiver.on('ping', (payload) => void lines.push(line('ping', payload)))
  receiver.on('conclude', (code, reason) => {
    over = true
    lines.push(line(`closing ${code}`, reason))
  })
  for (let at = 0, i = 0; at < bytes.length && !over; i++) {
    const size = Math.min(sizes[Math.min(i, sizes.length - 1)] as number, bytes.length - at)
    receiver._write(Buffer.from(bytes.subarray(at, at + size)), 'buffer', (error) => {
      if (error === undefined) return
      over = true
      lines.push(`broken ${closeCode(error)}`)
    })
    at += size
  }
  return lines
}

function closeCode(error: Error): unknown {
  const symbol = Object.getOwnPropertySymbols(error).find(({ description }) => description === 'status-code')
  return symbol === undefined ? error : (error as unknown as Record<symbol, unknown>)[symbol]
}

function pieces(chance: Chance, length: number): number[] {
  const most = chance.pick([1, 2, 9, 150, 5_000, length])
  if (length > 20_000 && most < 100) return [chance.int(700, 3_000)]
  return Array.from({ length: 40 }, () => chance.int(1, most))
}

test('whatever comes, in whatever pieces, the library `ws` tells the same of it (3,000 conversations from a seed)', () => {
  const ends = new Map<string, number>()
  for (let seed = 1; seed <= 3_000; seed++) {
    const chance = createChance(seed, 'conversation')
    const bytes = Buffer.concat(conversation(chance))
    // Below 15 the library counts the pieces of a header, too.
    const bounds = { maxFrameBytes: chance.pick([125, 300, 1_000, 70_000, 1_000_000]), maxPieces: chance.pick([15, 20, 1_000, 1_000]) }
    const sizes = pieces(chance, bytes.length)
    const { lines } = readInPieces(bytes, sizes, bounds)
    assert.deepEqual(lines, readByLibrary(bytes, sizes, bounds), `seed ${seed}`)
    const end = /^(?:broken \d+|closing|\w+)/.exec(lines.at(-1) ?? 'nothing')?.[0] as string
    ends.set(end, (ends.get(end) ?? 0) + 1)
  }
  for (const end of ['text', 'binary', 'ping', 'closing', 'broken 1002', 'broken 1007', 'broken 1008', 'broken 1009']) assert.ok((ends.get(end) ?? 0) >= 30, `${end}: ${ends.get(end)}`)
})
