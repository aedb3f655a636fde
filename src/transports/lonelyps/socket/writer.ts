import type { Flushable, Turn } from '../../../core/turn.ts'
import { BINARY, frameHeader, fragmentHeader, type FragmentPlace } from '../../../protocol/websocket/frame.ts'
import type { Pieces } from './pieces.ts'
import type { Wire } from './wire.ts'

/** Puts messages on one connection, in order: those of one turn of the event loop with one write. */
export interface Writer extends Flushable {
  /** Bytes that are not on the network yet, as far as is known. */
  readonly pendingBytes: number
  /** One whole message, in two pieces. */
  send(head: Buffer, body?: Buffer): void
  /** A whole frame that was made before. */
  raw(frame: Buffer): void
  /**
   * One message of `size` bytes behind its head, piece by piece. All others wait until it is out. Rejects when the
   * connection or the source fails.
   */
  stream(head: Buffer, size: number, pieces: Pieces): Promise<void>
}

/** Small enough that copying is cheaper than one more piece for the system. */
const COPIED = 65_536
const NOTHING = Buffer.alloc(0)

/** @param progressed called whenever the connection has taken something of a long message */
export function createWriter(wire: Wire, turn: Turn, progressed: () => void): Writer {
  let chunks: Buffer[] = []
  let bytes = 0
  let streaming = false

  function put(...more: Buffer[]): void {
    if (chunks.length === 0 && !streaming) turn.add(writer)
    for (const chunk of more) {
      chunks.push(chunk)
      bytes += chunk.length
    }
  }

  function flush(): void {
    if (chunks.length === 0 || streaming) return
    const [all, size] = [chunks, bytes]
    chunks = []
    bytes = 0
    wire.writeAll(size <= COPIED && all.length > 1 ? [Buffer.concat(all, size)] : all)
  }

  async function fragment(place: FragmentPlace, payload: Buffer): Promise<void> {
    wire.writeAll([fragmentHeader(place, payload.length), payload])
    progressed()
    await wire.room()
  }

  const writer: Writer = {
    get pendingBytes() { return wire.pendingBytes + bytes },
    send(head, body = NOTHING) {
      const header = frameHeader(BINARY, head.length + body.length)
      if (body.length === 0) put(header, head)
      else put(header, head, body)
    },
    raw: put,
    async stream(head, size, pieces) {
      flush()
      streaming = true
      try {
        await fragment('first', head)
        for (let left = size; left > 0; ) {
          const piece = await pieces.next(left)
          left -= piece.length
          await fragment(left === 0 ? 'last' : 'middle', piece)
        }
        if (size === 0) await fragment('last', NOTHING)
      } finally {
        streaming = false
        flush()
      }
    },
    flush,
  }
  return writer
}
