import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { OPCODE, readFrames } from './frames.ts'
import { handshake } from './raw.ts'
import { request } from './responses.ts'

export type Kind = 'websocket' | 'sse'

/** One of many subscribers: a bare socket and what came over it, so that a thousand of them cost next to nothing. */
export interface Member {
  readonly kind: Kind
  readonly path: string
  readonly socket: Socket
  /** How the text of each message begins, in the order it came. */
  readonly got: string[]
  /** The cursors that came with them; event streams only. */
  readonly ids: string[]
  /** The code and reason of the Close, or the last comment of an event stream. */
  readonly goodbye: string | undefined
  readonly closed: boolean
}

/** Bytes of each message that are kept: with a thousand members the whole of large ones would be too much. */
const KEPT = 64

class Subscriber implements Member {
  readonly kind: Kind
  readonly path: string
  readonly socket: Socket
  readonly got: string[] = []
  readonly ids: string[] = []
  goodbye: string | undefined = undefined
  closed = false
  #rest: Buffer = Buffer.alloc(0)
  #opened: (() => void) | undefined

  constructor(port: number, kind: Kind, path: string, opened: () => void, failed: (error: Error) => void) {
    this.kind = kind
    this.path = path
    this.#opened = opened
    this.socket = connect(port, '127.0.0.1', () => {
      this.socket.write(kind === 'websocket' ? handshake(path) : request(`GET ${path}`, { headers: { Accept: 'text/event-stream' } }))
    })
    this.socket.on('error', () => {})
    this.socket.on('data', (chunk: Buffer) => this.#read(chunk))
    this.socket.on('close', () => {
      this.closed = true
      failed(new Error(`${kind} ${path} was closed before it was open`))
    })
  }

  #read(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    if (this.#opened !== undefined) this.#open()
    if (this.#opened === undefined) (this.kind === 'websocket' ? this.#frames : this.#events).call(this)
  }

  #open(): void {
    // An event stream is open when its first block has come: it has joined by then.
    const end = this.#rest.indexOf(this.kind === 'websocket' ? '\r\n\r\n' : '\n\n')
    if (end === -1) return
    if (!/^HTTP\/1\.1 (101|200) /.test(this.#rest.toString('latin1', 0, 13))) {
      this.socket.destroy(new Error(this.#rest.toString('latin1', 0, end)))
      return
    }
    this.#rest = this.#rest.subarray(end + (this.kind === 'websocket' ? 4 : 2))
    this.#opened?.()
    this.#opened = undefined
  }

  #frames(): void {
    const { frames, rest } = readFrames(this.#rest)
    this.#rest = rest
    for (const { opcode, payload } of frames) {
      if (opcode === OPCODE.text) this.got.push(payload.toString('utf8', 0, KEPT))
      if (opcode !== OPCODE.close) continue
      this.goodbye = `${payload.readUInt16BE(0)} ${payload.toString('utf8', 2)}`
      this.socket.end()
    }
  }

  #events(): void {
    const end = this.#rest.lastIndexOf('\n\n')
    if (end === -1) return
    for (let at = 0, next = 0; at < end; at = next + 1) {
      next = this.#rest.indexOf('\n', at)
      const line = this.#rest.toString('utf8', at, Math.min(next, at + KEPT))
      if (line.startsWith('data: ')) this.got.push(line.slice(6))
      else if (line.startsWith('id: ')) this.ids.push(line.slice(4))
      else if (line.startsWith(': ')) this.goodbye = line.slice(2)
    }
    this.#rest = this.#rest.subarray(end + 2)
  }
}

/** Opens one; settles when it has joined. The test's end closes it. */
export function openMember(t: TestContext, port: number, kind: Kind, path: string): Promise<Member> {
  return new Promise((resolve, reject) => {
    const member = new Subscriber(port, kind, path, () => resolve(member), reject)
    t.after(() => member.socket.destroy())
  })
}

/** Opens many, some at a time: `what(i)` says of which kind and where the next one is. */
export async function openCrowd(t: TestContext, port: number, count: number, what: (i: number) => { kind: Kind; path: string }): Promise<Member[]> {
  const crowd: Member[] = []
  while (crowd.length < count) {
    const some = Array.from({ length: Math.min(100, count - crowd.length) }, (_, i) => what(crowd.length + i))
    crowd.push(...(await Promise.all(some.map(({ kind, path }) => openMember(t, port, kind, path)))))
  }
  return crowd
}
