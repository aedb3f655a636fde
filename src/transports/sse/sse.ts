import type { ServerResponse } from 'node:http'
import { parseCursor, type Cursor } from '../../core/cursor.ts'
import { WaystationError } from '../../core/errors.ts'
import type { Encoder } from '../../core/fan-out.ts'
import { createFanOuts } from '../../core/fan-outs.ts'
import { exactly, interestIn, type Interest } from '../../core/interest.ts'
import type { HubPort, Identity, Transport } from '../../core/ports.ts'
import { createReplay } from '../../core/replay.ts'
import { topicFromText } from '../../core/topic.ts'
import type { TransportKit } from '../../core/transport-kit.ts'
import { sayGoodbye } from '../../http/goodbye.ts'
import { corsHeaders, isPreflight, PREFLIGHT, type Origins } from '../../http/origin.ts'
import { replyEmpty, replyText } from '../../http/reply.ts'
import type { Asked, Request, Route } from '../../http/server.ts'
import { json, named, opening, plain } from './encode.ts'
import { EventStream } from './event-stream.ts'
import { createPatternBudget } from './pattern-budget.ts'

export interface SseOptions {
  readonly kit: TransportKit
  readonly origins: Origins
  readonly admit: (request: Request) => (() => void) | number
  readonly identify: (request: Request) => Identity
  /** The path for streams of several topics. */
  readonly path: string
}

/** What a stream asks for. */
interface Wish {
  readonly interest: Interest
  readonly encoder: Encoder
  readonly after: Cursor | undefined
}

/** A cursor that no log has ever given: what an event id of somebody else's stands for. */
const FOREIGN: Cursor = { epoch: '0', offset: 0 }

/** Server-sent events: a channel path with `Accept: text/event-stream`, or several topics and globs on `path`. */
export function createSse(options: SseOptions): Transport & { readonly route: Route; readonly streams: number } {
  const { kit, origins, admit, identify, path } = options
  const { limits, meter } = kit
  const fanOuts = createFanOuts(kit, 'sse')
  const streams = new Set<EventStream>()
  const budget = createPatternBudget({ total: limits.maxPatterns, perAddress: limits.maxPatternsPerAddress })
  let hub: HubPort | undefined

  function takes(request: Asked): boolean {
    if (request.path.text === path) return true
    // The rest of this space is for those who run the hub; nothing there is a channel.
    if (request.path.text?.startsWith('/_/') === true) return false
    if (isPreflight(origins, request.message)) return true
    return request.message.method === 'GET' && (request.message.headers.accept ?? '').includes('text/event-stream')
  }

  function answer(request: Request, response: ServerResponse): void {
    const cors = corsHeaders(origins, request.message.headers.origin)
    try {
      if (isPreflight(origins, request.message)) return replyEmpty(response, 204, { ...cors, ...PREFLIGHT })
      if (request.message.method !== 'GET') return replyEmpty(response, 405, { Allow: 'GET', ...cors })
      if (request.path.canonical !== undefined) {
        return replyEmpty(response, 301, { Location: request.base + request.path.canonical + request.query, ...cors })
      }
      // The stream takes the connection over, so it cannot wait in line behind the answer to an earlier request.
      if (response.socket === null) throw new WaystationError('bad_request', 'an event stream needs a connection without unanswered requests')
      open(request, response, wish(request), cors)
    } catch (error) {
      if (!(error instanceof WaystationError)) throw error
      replyText(response, error.status, `Error: ${error.code}. ${error.message}.\n`, cors)
    }
  }

  function open(request: Request, response: ServerResponse, { interest, encoder, after }: Wish, cors: Record<string, string>): void {
    const port = hub
    if (port === undefined) throw new WaystationError('stopped')
    if (!port.maySubscribe(interest, identify(request))) throw new WaystationError('forbidden')
    const patterns = budget.take(request.peer.address, interest.patterns.map((pattern) => pattern.source))
    if (patterns === undefined) throw new WaystationError('too_many_patterns')
    const place = admit(request)
    if (typeof place === 'number') patterns()
    if (typeof place === 'number') return replyEmpty(response, place, { 'Retry-After': '10', ...cors })
    let leave = (): void => {}
    const stream: EventStream = new EventStream(response, cors, limits, kit.wheel, () => {
      streams.delete(stream)
      leave()
      patterns()
      place()
    })
    streams.add(stream)
    stream.write(opening(limits.retry, after === undefined ? port.cursor : undefined))
    if (after === undefined) {
      leave = fanOuts.join(port, interest, encoder, stream)
      return
    }
    const replay = createReplay({ member: stream, encoder, clock: kit.clock })
    leave = port.resume(interest, after, {
      count: 1,
      deliver: replay.deliver,
      room: replay.room,
      gap(from, to) {
        meter.gap('sse')
        replay.flush()
        stream.write(encoder.gap(from, to) as Buffer)
      },
      live() {
        replay.flush()
        leave = fanOuts.join(port, interest, encoder, stream)
      },
    })
  }

  /** @throws {WaystationError} `bad_request`, `bad_cursor`, `bad_pattern`, `too_many_topics` */
  function wish(request: Request): Wish {
    const query = new URLSearchParams(request.query)
    const many = request.path.text === path
    const encoder = query.get('format') === 'json' ? json : many ? named : plain
    return { interest: many ? interestOf(query) : channelInterest(request), encoder, after: resumesFrom(request, query) }
  }

  function interestOf(query: URLSearchParams): Interest {
    const sources = query.getAll('topic')
    if (sources.length === 0) throw new WaystationError('bad_request', 'name at least one ?topic=')
    if (sources.length > limits.maxTopicsPerStream) throw new WaystationError('too_many_topics', `${limits.maxTopicsPerStream} at most`)
    const long = sources.find((source) => [...source].length > limits.maxPathLength)
    if (long !== undefined) throw new WaystationError('bad_pattern', `longer than ${limits.maxPathLength} characters`)
    return interestIn(sources)
  }

  function channelInterest(request: Request): Interest {
    const { text } = request.path
    if (text === undefined) throw new WaystationError('bad_request', 'the path must be valid UTF-8')
    if ([...text].length > limits.maxPathLength) throw new WaystationError('bad_request', `the path may have ${limits.maxPathLength} characters`)
    return exactly(topicFromText(text.slice(1)))
  }

  function resumesFrom(request: Request, query: URLSearchParams): Cursor | undefined {
    const header = request.message.headers['last-event-id']
    // A browser sends back what it was given last, from whomever; it cannot be blamed for it, only told of the gap.
    if (typeof header === 'string' && header !== '') return parseCursor(header) ?? FOREIGN
    const text = query.get('last_event_id') ?? query.get('since')
    if (text === null) return undefined
    const cursor = parseCursor(text)
    if (cursor === undefined) throw new WaystationError('bad_cursor', 'in ?last_event_id=')
    return cursor
  }

  return {
    name: 'sse',
    get streams() { return streams.size },
    route: { takes, answer },
    async start(port) {
      hub = port
    },
    async stop(deadline) {
      hub = undefined
      await sayGoodbye(streams, limits.drainTime * 0.8, deadline, kit.clock.after)
    },
  }
}
