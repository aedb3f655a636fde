import type { NetConnectOpts } from 'node:net'
import type { TestContext } from 'node:test'
import { createInbox, type Inbox } from './events.ts'
import { clientFrame, handshake, raw, type Raw } from './raw.ts'

/** A frame as it stood on the wire. */
export interface WireFrame {
  readonly fin: boolean
  readonly rsv: number
  readonly opcode: number
  readonly masked: boolean
  readonly payload: Buffer
}

/** A WebSocket whose frames are seen one by one, as no client library shows them. */
export interface FrameSocket {
  readonly raw: Raw
  /** The head of the answer to the handshake, as it came. */
  readonly head: string
  readonly frames: Inbox<WireFrame>
  send(opcode: number, payload: string | Uint8Array, options?: Parameters<typeof clientFrame>[2]): void
  /** The text of the next frame. Fails when it is anything but one whole, plain, unmasked text frame. */
  text(ms?: number): Promise<string>
  /** The next Close: its code (undefined when the payload is empty) and reason. Frames before it are passed over. */
  close(ms?: number): Promise<{ code: number | undefined; reason: string }>
  /** Settles when the server has closed the TCP connection. */
  readonly ended: Promise<unknown>
}

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** Takes whole frames off the front. */
export function readFrames(bytes: Buffer): { frames: WireFrame[]; rest: Buffer } {
  const frames: WireFrame[] = []
  let at = 0
  for (;;) {
    if (bytes.length - at < 2) break
    const [first, second] = [bytes[at] as number, bytes[at + 1] as number]
    const short = second & 0x7f
    const head = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + (second & 0x80 ? 4 : 0)
    if (bytes.length - at < head) break
    const length = short === 126 ? bytes.readUInt16BE(at + 2) : short === 127 ? Number(bytes.readBigUInt64BE(at + 2)) : short
    if (bytes.length - at < head + length) break
    const payload = bytes.subarray(at + head, at + head + length)
    frames.push({ fin: (first & 0x80) !== 0, rsv: (first >> 4) & 7, opcode: first & 15, masked: (second & 0x80) !== 0, payload })
    at += head + length
  }
  return { frames, rest: bytes.subarray(at) }
}

/**
 * Opens a WebSocket over a bare connection. Rejects with the head of the answer when that is no 101.
 * @param first sent in one segment with the handshake
 */
export async function openFrames(
  t: TestContext,
  to: number | NetConnectOpts,
  path: string,
  { headers = {}, first = Buffer.alloc(0) }: { headers?: Record<string, string>; first?: Uint8Array } = {},
): Promise<FrameSocket> {
  const connection = await raw(t, to)
  const frames = createInbox<WireFrame>(`frame on ${path}`)
  let rest: Buffer | undefined = Buffer.alloc(0)
  let open = false
  const opened = new Promise<string>((resolve, reject) => {
    connection.socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest as Buffer, chunk])
      if (!open) {
        const end = rest.indexOf('\r\n\r\n')
        if (end === -1) return
        const head = rest.toString('latin1', 0, end + 4)
        if (!head.startsWith('HTTP/1.1 101 ')) return reject(new Error(head))
        open = true
        rest = rest.subarray(end + 4)
        resolve(head)
      }
      const read = readFrames(rest)
      rest = read.rest
      for (const frame of read.frames) frames.push(frame)
    })
    void connection.ended.then((all) => {
      frames.end(new Error('the connection was closed'))
      reject(new Error(`closed without a 101: ${all.toString('latin1')}`))
    })
  })
  connection.send(Buffer.concat([Buffer.from(handshake(path, headers), 'latin1'), first]))
  const head = await opened
  return {
    raw: connection,
    head,
    frames,
    ended: connection.ended,
    send: (opcode, payload, options) => connection.send(clientFrame(opcode, payload, options)),
    async text(ms) {
      const frame = await frames.next(ms)
      const plain = frame.fin && frame.rsv === 0 && frame.opcode === OPCODE.text && !frame.masked
      if (!plain) throw new Error(`not a plain text frame: ${JSON.stringify(frame)}`)
      return frame.payload.toString('utf8')
    },
    async close(ms) {
      for (;;) {
        const { opcode, payload } = await frames.next(ms)
        if (opcode !== OPCODE.close) continue
        return { code: payload.length < 2 ? undefined : payload.readUInt16BE(0), reason: payload.toString('utf8', 2) }
      }
    },
  }
}
