import { Agent, request } from 'undici'
import { WaystationError, type ErrorCode } from '../core/errors.ts'
import { TryAgain } from './rounds.ts'

export interface Answer {
  readonly status: number
  readonly body: Buffer
}

/** The requests that go to broadcasters. */
export interface Caller {
  /** @throws {TryAgain} `unreachable` when there is no answer, or one that is far too long */
  post(url: string, authorization: string | undefined, body: Buffer | Outgoing): Promise<Answer>
  close(): Promise<void>
}

/** A body that is sent piece by piece. */
export interface Outgoing {
  readonly size: number
  read(): AsyncIterable<Uint8Array>
}

/** The longest answer holds an authorization and a tracing of 65,535 bytes each. */
const MAX_ANSWER = 262_144

/** @param times ms: `connectTimeout`; `answerTimeout` of silence once the request has been sent */
export function createCaller(times: { connectTimeout: number; answerTimeout: number }): Caller {
  const agent = new Agent({
    connect: { timeout: times.connectTimeout },
    headersTimeout: times.answerTimeout,
    bodyTimeout: times.answerTimeout,
    connections: null,
    pipelining: 1,
    keepAliveTimeout: 3_000,
  })
  return {
    async post(url, authorization, body) {
      const size = Buffer.isBuffer(body) ? body.length : body.size
      const headers = {
        'content-type': 'application/octet-stream',
        'content-length': String(size),
        ...(authorization !== undefined && { authorization }),
      }
      try {
        const sent = Buffer.isBuffer(body) ? body : body.read()
        const answer = await request(url, { dispatcher: agent, method: 'POST', headers, body: sent as Buffer })
        const pieces: Buffer[] = []
        let taken = 0
        for await (const piece of answer.body) {
          taken += (piece as Buffer).length
          if (taken > MAX_ANSWER) throw new Error(`the answer is longer than ${MAX_ANSWER} bytes`)
          pieces.push(piece as Buffer)
        }
        return { status: answer.statusCode, body: Buffer.concat(pieces) }
      } catch (error) {
        if (error instanceof WaystationError) throw error
        throw new TryAgain(new WaystationError('unreachable', (error as Error).message, error))
      }
    },
    close: () => agent.destroy(),
  }
}

const CODES: Readonly<Record<number, ErrorCode>> = { 400: 'bad_request', 401: 'forbidden', 403: 'forbidden', 413: 'message_too_large', 507: 'overloaded' }

/** What an answer that is no success means to the caller. */
export function refusal(status: number): WaystationError {
  return new WaystationError(CODES[status] ?? 'unreachable', `a broadcaster answers ${status}`)
}

/** A request other than notify: these may pass, all else is final (section 2.8). */
export function mayPass(status: number): boolean {
  return status === 502 || status === 503 || status === 504
}
