import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { PLAIN } from './reply.ts'
import { readQuickRequest } from './quick-request.ts'

/** What is known of a request before its body: the same in both lanes. */
export type RequestHead = Pick<IncomingMessage, 'method' | 'url' | 'headers' | 'socket'>

/** A short text answer, as `replyText` takes it. */
export interface QuickAnswer {
  readonly status: number
  readonly text: string
  /** Beside those that every text answer has. */
  readonly headers: Readonly<Record<string, string | number>>
}

/** Finds what a simple request asks for; whoever answers it does so at once, or not at all: then nothing has happened. */
export interface QuickDispatch<A> {
  asked(head: RequestHead): A
  quick(asked: A, body: Buffer): QuickAnswer | undefined
}

/**
 * Answers simple requests without Node's parser: see docs/decisions/quick-lane.md. It looks at one read of a connection on
 * which nothing is on its way, neither a request nor an answer.
 * @returns the bytes that it has not answered, for the guard and the parser; `undefined` when there are none
 */
export type QuickLane = (chunk: Buffer<ArrayBuffer>) => Buffer<ArrayBuffer> | undefined

/** What a head means is found out once, where a connection sends the same bytes again. */
interface Known<A> {
  readonly head: Buffer
  readonly asked: A
  readonly length: number
}

/** Bytes of a head that is remembered: one for each connection. */
const MOST_REMEMBERED = 512

/** A copy in memory of its own: one in Node's pool would keep 64 KiB for as long as its connection lives. */
function apart(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  copy.set(bytes)
  return copy
}

/** @param bounds of head bytes, and of milliseconds that an idle connection stays */
export function createQuickLane<A>(dispatch: QuickDispatch<A>, bounds: { readonly maxHeaderBytes: number; readonly keepAliveTimeout: number }): (socket: Socket) => QuickLane {
  const stays = `Connection: keep-alive\r\n${bounds.keepAliveTimeout > 0 ? `Keep-Alive: timeout=${Math.floor(bounds.keepAliveTimeout / 1000)}\r\n` : ''}\r\n`
  let second = 0
  let date = ''

  function dateNow(): string {
    const now = Date.now()
    if (now - second >= 1000 || now < second) {
      second = now - (now % 1000)
      date = new Date(now).toUTCString()
    }
    return date
  }

  /** The bytes that `replyText` has Node write. */
  function written({ status, text, headers }: QuickAnswer): string {
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: ${PLAIN}\r\nContent-Length: ${Buffer.byteLength(text)}\r\n`
    if (status >= 400) head += 'X-Content-Type-Options: nosniff\r\n'
    for (const name in headers) head += `${name}: ${headers[name]}\r\n`
    return `${head}Date: ${dateNow()}\r\n${stays}${text}`
  }

  return (socket) => {
    let known: Known<A> | undefined

    /** Gives the same as before where the same bytes stand there. */
    function look(chunk: Buffer, at: number): Known<A> | 'cut' | 'other' {
      if (known !== undefined) {
        const { head, length } = known
        const bodyAt = at + head.length
        if (chunk.length - bodyAt >= length && chunk.compare(head, 0, head.length, at, bodyAt) === 0) return known
      }
      const request = readQuickRequest(chunk, at, bounds.maxHeaderBytes)
      if (typeof request === 'string') return request
      const { target, headers, bodyAt, end } = request
      const head = chunk.subarray(at, bodyAt)
      const found = { head, asked: dispatch.asked({ method: 'POST', url: target, headers, socket }), length: end - bodyAt }
      if (head.length <= MOST_REMEMBERED) known = { ...found, head: apart(head) }
      return found
    }

    /** The simple requests that the chunk begins with; none where anything else comes behind them than the first part of one more. */
    function read(chunk: Buffer): readonly Known<A>[] {
      const requests: Known<A>[] = []
      for (let at = 0; at < chunk.length;) {
        const request = look(chunk, at)
        if (request === 'cut') break
        // Whatever is wrong in a chunk is judged with what stands before it, as without this lane.
        if (request === 'other') return []
        requests.push(request)
        at += request.head.length + request.length
      }
      return requests
    }

    return (chunk) => {
      let answers = ''
      let done = 0
      for (const { head, asked, length } of read(chunk)) {
        const bodyAt = done + head.length
        const answer = dispatch.quick(asked, chunk.subarray(bodyAt, bodyAt + length))
        if (answer === undefined) break
        answers += written(answer)
        done = bodyAt + length
      }
      if (done > 0) socket.write(answers)
      return done === chunk.length ? undefined : done === 0 ? chunk : chunk.subarray(done)
    }
  }
}
