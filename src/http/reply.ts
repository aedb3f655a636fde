import { STATUS_CODES, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

/** The type of every short text answer. */
export const PLAIN = 'text/plain; charset=utf-8'

/** A short text answer. An error is never to be read as anything else, hence nosniff. */
export function replyText(response: ServerResponse, status: number, text: string, headers: OutgoingHttpHeaders = {}): void {
  const safety = status >= 400 ? { 'X-Content-Type-Options': 'nosniff' } : undefined
  response.writeHead(status, { 'Content-Type': PLAIN, 'Content-Length': Buffer.byteLength(text), ...safety, ...headers })
  response.end(text)
}

const LINGER_MS = 2_000

/**
 * A text answer to a request whose body is not wanted, and the connection ends. What still comes is read away first, because
 * closing on unread bytes takes the answer back from a client that is still sending. A client that sends nothing
 * more is waited for two seconds; one that never stops is ended by the request time.
 */
export function replyUnread(request: IncomingMessage, response: ServerResponse, status: number, text: string | Buffer, headers: OutgoingHttpHeaders = {}): void {
  const safety = { 'Content-Type': PLAIN, 'X-Content-Type-Options': 'nosniff', 'Content-Length': Buffer.byteLength(text) }
  response.writeHead(status, { ...safety, ...headers, Connection: 'close' })
  response.write(text)
  readAway(request, response)
}

/** The same without a text or a type. */
export function replyEmptyUnread(request: IncomingMessage, response: ServerResponse, status: number): void {
  if (request.complete) return replyEmpty(response, status)
  response.writeHead(status, { 'Content-Length': 0, Connection: 'close' })
  response.flushHeaders()
  readAway(request, response)
}

function readAway(request: IncomingMessage, response: ServerResponse): void {
  // Whoever has begun to read and gave up would keep the rest from flowing.
  request.removeAllListeners('readable').removeAllListeners('data')
  request.on('end', () => response.end())
  request.socket.setTimeout(LINGER_MS)
  request.resume()
}

/** An answer without a body. */
export function replyEmpty(response: ServerResponse, status: number, headers: OutgoingHttpHeaders = {}): void {
  response.writeHead(status, status === 204 ? headers : { 'Content-Length': 0, ...headers })
  response.end()
}

/** An answer where no response object exists any more, or none yet: written by hand, and the connection ends. */
export function rawReply(socket: Duplex, status: number, text = `${status} ${STATUS_CODES[status] ?? ''}`, headers: Readonly<Record<string, string>> = {}): void {
  // Node has let go of the socket after an upgrade: without a listener, a peer that resets it would end the process.
  socket.on('error', () => {})
  if (!socket.writable) {
    socket.destroy()
    return
  }
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    `Date: ${new Date().toUTCString()}`,
    `Content-Type: ${PLAIN}`,
    'X-Content-Type-Options: nosniff',
    `Content-Length: ${Buffer.byteLength(text)}`,
    'Connection: close',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${text}`)
  // Node has let go of some of these sockets: a peer that does not close in turn would keep its half for good.
  const cut = setTimeout(() => socket.destroy(), LINGER_MS)
  cut.unref()
  socket.once('close', () => clearTimeout(cut))
}
