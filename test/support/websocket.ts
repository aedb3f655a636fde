import type { TestContext } from 'node:test'
import WebSocket from 'ws'
import { createInbox, type Inbox } from './events.ts'

export interface Frame {
  readonly data: string
  readonly bytes: Buffer
  readonly binary: boolean
}

export interface TestSocket {
  readonly ws: WebSocket
  readonly inbox: Inbox<Frame>
  /** The text of the next message. */
  next(ms?: number): Promise<string>
  send(data: string | Uint8Array): void
  /** How it ended. */
  readonly closed: Promise<{ code: number; reason: string }>
}

/** Opens a WebSocket and resolves when it has its 101. Rejects with the status when it is refused. */
export function connect(t: TestContext, url: string, options: WebSocket.ClientOptions = {}): Promise<TestSocket> {
  const ws = new WebSocket(url, { perMessageDeflate: false, ...options })
  t.after(() => ws.terminate())
  const inbox = createInbox<Frame>(`message on ${url}`)
  ws.on('message', (data: Buffer, binary) => inbox.push({ data: data.toString(), bytes: data, binary }))
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.on('close', (code, reason) => {
      inbox.end(new Error(`closed with ${code} ${reason.toString()}`))
      resolve({ code, reason: reason.toString() })
    })
  })
  return new Promise((resolve, reject) => {
    ws.on('error', reject)
    ws.on('unexpected-response', (_request, response) => {
      reject(Object.assign(new Error(`refused with ${response.statusCode}`), { status: response.statusCode, headers: response.headers }))
      response.resume()
    })
    ws.on('open', () => {
      resolve({ ws, inbox, closed, next: async (ms) => (await inbox.next(ms)).data, send: (data) => ws.send(data) })
    })
  })
}
