import { STATUS_CODES, type OutgoingHttpHeaders, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

const PLAIN = 'text/plain; charset=utf-8'

/** A short text answer. An error is never to be read as anything else, hence nosniff. */
export function replyText(response: ServerResponse, status: number, text: string, headers: OutgoingHttpHeaders = {}): void {
  const safety = status >= 400 ? { 'X-Content-Type-Options': 'nosniff' } : undefined
  response.writeHead(status, { 'Content-Type': PLAIN, 'Content-Length': Buffer.byteLength(text), ...safety, ...headers })
  response.end(text)
}

/** An answer without a body. */
export function replyEmpty(response: ServerResponse, status: number, headers: OutgoingHttpHeaders = {}): void {
  response.writeHead(status, status === 204 ? headers : { 'Content-Length': 0, ...headers })
  response.end()
}

/** An answer where no response object exists any more, or none yet: written by hand, and the connection ends. */
export function rawReply(socket: Duplex, status: number, text = `${status} ${STATUS_CODES[status] ?? ''}`): void {
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
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${text}`)
}
