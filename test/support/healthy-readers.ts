import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { OPCODE } from './frames.ts'
import { clientFrame, handshake } from './raw.ts'

/** Many who read all there is, and somebody who publishes: one process, so that there is one clock. */
export interface HealthyReaders {
  /** Publishes so many messages a second for so long. */
  publish(rate: number, seconds: number): Promise<void>
  /** Whether everybody has everything. */
  readonly complete: boolean
  /** Deliveries that have not come. */
  readonly missing: number
  /** Messages that came at the wrong place. */
  readonly disorder: number
  /** Ms from publish to arrival, of all deliveries. */
  latency(share: number): number
  /** How late the publisher itself was at most, in ms: what a busy machine adds. */
  readonly publisherLate: number
  /** From here on latency is counted anew. */
  forgetLatency(): void
}

type Reader = (socket: Socket, bytes: Buffer, length: number) => void

const NUMBER = 8
const MOST_MS = 60_000
/** All read into one buffer: what comes is looked at before the next read. */
const shared = Buffer.alloc(1_048_576)

/** @param size bytes of each message */
export async function openHealthyReaders(parts: { port: number; path: string; count: number; size: number; secure: boolean }): Promise<HealthyReaders> {
  const sentAt: number[] = []
  /** Deliveries by their tenths of a millisecond. */
  const histogram = new Uint32Array(MOST_MS * 10 + 1)
  let arrived = 0
  let disorder = 0
  let published = 0
  let counted = 0
  let publisherLate = 0

  function reader(): Reader {
    let rest: Buffer | undefined
    let expected = 0
    return (socket, chunk, length) => {
      const now = performance.now()
      const bytes = rest === undefined ? chunk.subarray(0, length) : Buffer.concat([rest, chunk.subarray(0, length)])
      let at = 0
      while (bytes.length - at >= 2) {
        const short = bytes[at + 1] as number
        if (bytes.length - at < 10 && short >= 126) break
        const head = short < 126 ? 2 : short === 126 ? 4 : 10
        const size = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2))
        if (bytes.length - at < head + size) break
        if (bytes[at] === 0x89) socket.write(clientFrame(OPCODE.pong, bytes.subarray(at + head, at + head + size)))
        if (bytes[at] === 0x81) {
          const n = Number(bytes.toString('latin1', at + head, at + head + NUMBER))
          if (n !== expected) disorder++
          expected = n + 1
          arrived++
          const tenth = Math.min(histogram.length - 1, Math.floor((now - (sentAt[n] as number)) * 10))
          histogram[tenth] = (histogram[tenth] as number) + 1
          counted++
        }
        at += head + size
      }
      rest = at === bytes.length ? undefined : Buffer.from(bytes.subarray(at))
    }
  }

  const sockets: Socket[] = []
  for (let i = 0; i <= parts.count; i++) sockets.push(await openReader(parts.port, i === parts.count ? `${parts.path}?role=publisher` : parts.path, parts.secure, reader()))
  const publisher = sockets.pop() as Socket
  const filling = 'x'.repeat(parts.size - NUMBER)
  const missing = (): number => published * parts.count - arrived

  return {
    async publish(rate, seconds) {
      const [begin, before] = [performance.now(), published]
      while (published - before < rate * seconds) {
        const due = before + Math.min(rate * seconds, Math.floor((performance.now() - begin) / 1000 * rate))
        publisherLate = Math.max(publisherLate, (due - published - 1) * 1000 / rate)
        if (publisher.destroyed) throw new Error('the publisher was let go')
        for (; published < due; published++) {
          sentAt[published] = performance.now()
          publisher.write(clientFrame(OPCODE.text, String(published).padStart(NUMBER, '0') + filling))
        }
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    },
    get complete() { return missing() === 0 },
    get missing() { return missing() },
    get disorder() { return disorder },
    get publisherLate() { return publisherLate },
    latency(share) {
      let seen = 0
      for (let tenth = 0; tenth < histogram.length; tenth++) {
        seen += histogram[tenth] as number
        if (seen >= share * counted && seen > 0) return tenth / 10
      }
      return 0
    },
    forgetLatency() {
      histogram.fill(0)
      counted = 0
      publisherLate = 0
    },
  }
}

function openReader(port: number, path: string, secure: boolean, read: Reader): Promise<Socket> {
  return new Promise((resolve, reject) => {
    let head: string | undefined = ''
    const take = (bytes: Buffer, length: number): boolean => {
      if (head === undefined) {
        read(socket, bytes, length)
        return true
      }
      head += bytes.toString('latin1', 0, length)
      const end = head.indexOf('\r\n\r\n')
      if (end === -1) return true
      if (!head.startsWith('HTTP/1.1 101 ')) reject(new Error(head))
      const behind = Buffer.from(head.slice(end + 4), 'latin1')
      head = undefined
      read(socket, behind, behind.length)
      resolve(socket)
      return true
    }
    const onread = { buffer: shared, callback: (length: number): boolean => take(shared, length) }
    const socket: Socket = secure
      ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => begin()).on('data', (chunk: Buffer) => take(chunk, chunk.length))
      : connectTcp({ port, host: '127.0.0.1', noDelay: true, onread }, () => begin())
    const begin = (): void => void socket.write(handshake(path))
    socket.on('error', reject)
  })
}
