import type { CallOutcome } from '../../core/calls.ts'
import { WaystationError } from '../../core/errors.ts'
import type { Identity } from '../../core/ports.ts'
import { clientOf } from '../../http/body-account.ts'
import type { Leaving } from '../../http/goodbye.ts'
import type { Unfinished } from '../../http/websocket-connection.ts'
import { CLOSE, type WebSocketConnection } from '../../http/websocket-connection.ts'
import { frame, TEXT } from '../../protocol/websocket/frame.ts'
import { createArrivals } from './arrivals.ts'
import type { CallsParts } from './parts.ts'
import { problemOf } from './problem.ts'
import { isJson, readFrame, type Asked, type Id } from './socket-frame.ts'
import { jsonOfAnswer, termOfJson, whole } from './terms.ts'

/** One WebSocket that calls. */
export interface Session extends Leaving {
  /** Calls and casts that are not answered yet. */
  readonly unanswered: number
  receive(data: Buffer, binary: boolean): void
  arrived(unfinished: Unfinished): void
  /** Nobody is there any more: its calls are abandoned. */
  gone(): void
}

export type SessionConnection = Pick<WebSocketConnection, 'open' | 'pendingBytes' | 'close' | 'evict' | 'destroy'> & { writeAll(chunks: readonly Buffer[]): void }

/** Close codes beside those that all WebSockets here have (RFC 6455, section 7.4.1). */
const [NOT_A_TEXT, OWN_FAULT] = [1003, 1011]

export function createSession(parts: CallsParts, connection: SessionConnection, by: Identity): Session {
  const { kit, port, bodies, bounds, failed } = parts
  const { limits, meter, wheel } = kit
  /** By what the client knows them by. */
  const calls = new Map<string, () => void>()
  let casts = 0
  let waiting: Buffer[] = []
  let farewell: { readonly code: number; readonly reason: string } | undefined
  const arrivals = createArrivals({
    wheel, bodies,
    account: clientOf(by.address),
    time: limits.requestTimeout,
    ended: (why) => (why === 'too_slow' ? end(CLOSE.forbidden, 'a frame that was begun does not come') : end(CLOSE.tryLater, 'too much is on its way')),
  })

  function write(pieces: readonly (string | Buffer)[]): void {
    const text = Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece)))
    // What is answered in one turn goes out together.
    if (waiting.push(frame(TEXT, text)) === 1) kit.turn.add({ flush })
  }

  function flush(): void {
    const frames = waiting
    waiting = []
    if (frames.length === 0 || !connection.open) return
    if (connection.pendingBytes <= limits.maxServicePendingBytes) return connection.writeAll(frames)
    meter.slow('calls', '')
    connection.evict()
  }

  function end(code: number, reason: string): void {
    flush()
    connection.close(code, reason)
  }

  function say(id: Id | undefined, name: string, json: string): void {
    write(id === undefined ? [`{"${name}":${json}}`] : ['{"id":', id.json, `,"${name}":${json}}`])
  }

  function fail(id: Id | undefined, error: unknown): void {
    if (!(error instanceof WaystationError)) failed(error)
    say(id, 'error', JSON.stringify(problemOf(error)))
  }

  function settle(id: Id, outcome: CallOutcome): void {
    if (!connection.open) return
    try {
      if (outcome.kind === 'failed') return fail(id, outcome.error)
      const json = jsonOfAnswer(outcome.term)
      // What has no JSON comes as it is: the call is done, and its answer would be lost.
      if (json === undefined) say(id, 'term', JSON.stringify(whole(outcome.term).toString('base64')))
      else say(id, 'answer', json)
    } catch (error) {
      fail(id, error)
    }
  }

  /** A call or a cast has ended. */
  function ended(): void {
    if (farewell !== undefined && calls.size + casts === 0) end(farewell.code, farewell.reason)
  }

  function call({ id, service, terms }: Extract<Asked, { kind: 'call' }>, request: Buffer): void {
    const abandon = port.call(service, { ...terms, request }, by, (outcome) => {
      calls.delete(id.value)
      settle(id, outcome)
      ended()
    })
    calls.set(id.value, abandon)
  }

  async function cast({ id, service, key }: Extract<Asked, { kind: 'cast' }>, request: Buffer): Promise<void> {
    casts++
    try {
      // What is taken at once is sent on before the next frame is read.
      await port.cast(service, { request, key }, by)
      if (id !== undefined) say(id, 'accepted', 'true')
    } catch (error) {
      fail(id, error)
    } finally {
      casts--
      ended()
    }
  }

  function take(asked: Asked): void {
    if (!parts.isOpen() || farewell !== undefined) throw new WaystationError('stopped')
    if (calls.size + casts >= limits.maxUnanswered) throw new WaystationError('too_many_calls', `${limits.maxUnanswered} of one connection`)
    const request = termOfJson(asked.request, bounds)
    if (asked.kind === 'call') call(asked, request)
    else void cast(asked, request)
  }

  function handle(text: string): void {
    const asked = readFrame(text, limits)
    const { id } = asked
    // To the id the answer of the call that has it is still to come; an error with it would be taken for that.
    if (id !== undefined && calls.has(id.value)) return fail(undefined, new WaystationError('bad_request', `the id ${id.value} belongs to a call that is not answered yet`))
    let error: unknown
    try {
      if (asked.kind !== 'fault') return take(asked)
      error = asked.error
    } catch (thrown) {
      error = thrown
    }
    fail(id, error)
    const isFrame = !(error instanceof WaystationError) || error.code !== 'bad_request'
    if (!isFrame && !isJson(text)) end(CLOSE.notText, 'a frame is JSON')
  }

  return {
    get unanswered() { return calls.size + casts },
    receive(data, binary) {
      if (binary) return end(NOT_A_TEXT, 'frames are JSON as text')
      try {
        handle(data.toString('utf8'))
      } catch (error) {
        failed(error)
        end(OWN_FAULT, 'the frame could not be handled')
      }
    },
    arrived: arrivals.arrived,
    gone() {
      arrivals.end()
      for (const abandon of calls.values()) abandon()
      calls.clear()
    },
    close(code, reason) {
      farewell ??= { code, reason }
      ended()
    },
    destroy: () => connection.destroy(),
  }
}
