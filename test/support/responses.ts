import type { NetConnectOpts } from 'node:net'
import type { TestContext } from 'node:test'
import { raw, type Raw } from './raw.ts'

/** One HTTP answer as it stood on the wire. */
export interface WireResponse {
  readonly status: number
  /** By lower-case name; the values of a repeated header are joined by a comma. */
  readonly headers: ReadonlyMap<string, string>
  /** The names as they were written, in their order. */
  readonly names: readonly string[]
  /** Each byte a character. */
  readonly body: string
}

/** Reads one answer off the front; `undefined` when it is not whole yet. The answer to a HEAD has no body, whatever it declares. */
export function readResponse(bytes: Buffer, toHead = false): { response: WireResponse; size: number } | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const [line = '', ...fields] = bytes.toString('latin1', 0, end).split('\r\n')
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1]
  if (status === undefined) throw new Error(`no status line: ${line}`)
  const headers = new Map<string, string>()
  const names: string[] = []
  for (const field of fields) {
    const at = field.indexOf(':')
    const name = field.slice(0, at)
    const before = headers.get(name.toLowerCase())
    const value = field.slice(at + 1).trim()
    names.push(name)
    headers.set(name.toLowerCase(), before === undefined ? value : `${before}, ${value}`)
  }
  const after = bytes.toString('latin1', end + 4)
  const body = toHead || status.startsWith('1') ? { text: '', size: 0 } : readBody(after, headers)
  return body && { response: { status: Number(status), headers, names, body: body.text }, size: end + 4 + body.size }
}

function readBody(after: string, headers: ReadonlyMap<string, string>): { text: string; size: number } | undefined {
  if (headers.get('transfer-encoding') === 'chunked') return readChunks(after)
  const size = Number(headers.get('content-length') ?? 0)
  return after.length < size ? undefined : { text: after.slice(0, size), size }
}

function readChunks(after: string): { text: string; size: number } | undefined {
  let text = ''
  for (let at = 0; ;) {
    const end = after.indexOf('\r\n', at)
    const size = Number.parseInt(after.slice(at, end), 16)
    const next = end + 2 + size + 2
    if (end === -1 || after.length < next) return undefined
    text += after.slice(end + 2, end + 2 + size)
    if (size === 0) return { text, size: next }
    at = next
  }
}

/** A bare connection on which answers are taken one by one. */
export interface WireConnection {
  readonly raw: Raw
  /** A string is sent as Latin-1, so that it can hold any byte. */
  send(data: string | Uint8Array): void
  /** The next whole answer. */
  answer(options?: { toHead?: boolean }): Promise<WireResponse>
}

export async function openWire(t: TestContext, to: number | NetConnectOpts): Promise<WireConnection> {
  const connection = await raw(t, to)
  let taken = 0
  return {
    raw: connection,
    send: (data) => connection.send(typeof data === 'string' ? Buffer.from(data, 'latin1') : data),
    async answer({ toHead = false } = {}) {
      let found: ReturnType<typeof readResponse>
      await connection.until((received) => {
        found = readResponse(received.subarray(taken), toHead)
        if (found === undefined && connection.socket.destroyed) throw new Error(`closed after ${JSON.stringify(received.toString('latin1', taken))}`)
        return found !== undefined
      })
      const { response, size } = found as NonNullable<typeof found>
      taken += size
      return response
    },
  }
}

/** Sends one request on a connection of its own and gives its answer. */
export async function ask(t: TestContext, to: number | NetConnectOpts, request: string | Uint8Array): Promise<WireResponse> {
  const connection = await openWire(t, to)
  connection.send(request)
  const answer = await connection.answer({ toHead: typeof request === 'string' && request.startsWith('HEAD ') })
  connection.raw.socket.destroy()
  return answer
}

/** A request as text: `GET /a`, with Host, the further headers and the body, whose length it declares. */
export function request(line: string, { headers = {}, body = '', version = '1.1' }: { headers?: Record<string, string>; body?: string; version?: string } = {}): string {
  const length = body === '' ? {} : { 'Content-Length': String(body.length) }
  const all: Record<string, string> = { Host: '127.0.0.1', ...length, ...headers }
  return `${line} HTTP/${version}\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`
}
