import { createServer as createHttp, METHODS, STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttps, type Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { AddressSet } from './address.ts'
import type { Admission } from './admission.ts'
import { createBodyWatch } from './body-watch.ts'
import { decodePath, splitTarget, type RequestPath } from './path.ts'
import { directAddress, peerOf, type Peer } from './peer.ts'
import { createQuickLane, type QuickAnswer, type RequestHead } from './quick-lane.ts'
import { rawReply, replyEmpty, replyText } from './reply.ts'
import { createRequestGuard, type RequestGuard } from './request-guard.ts'
import type { TlsPair } from './tls.ts'

/** What a request asks for, in either lane. */
export interface Asked {
  readonly message: RequestHead
  readonly path: RequestPath
  /** The query with its question mark, or nothing. */
  readonly query: string
  readonly peer: Peer
  /** Where the hub is mounted: what stands before `path` in the address that the client used. */
  readonly base: string
}

/** A request that has been found whole and well-formed, and what is known of it. */
export interface Request extends Asked {
  readonly message: IncomingMessage
}

/** One protocol's part of the port. The first route that takes a request gets it. */
export interface Route {
  readonly takes: (request: Asked) => boolean
  /** Must not throw; whatever it starts must end in an answer. */
  answer(request: Request, response: ServerResponse): void
  /**
   * Answers a POST to a plain path whose body is here, as `answer` would, if that can be said at once. Where it cannot,
   * nothing MUST have happened: the request goes to `answer`.
   */
  quick?(asked: Asked, body: Buffer): QuickAnswer | undefined
  /** Whether the connection is to leave HTTP. Where not, the request goes to `answer`. */
  upgrades?(request: Request): boolean
  upgrade?(request: Request, socket: Duplex, head: Buffer): void
}

export interface HttpBounds {
  readonly maxHeaderBytes: number
  readonly headerTimeout: number
  readonly requestTimeout: number
  readonly keepAliveTimeout: number
}

// CONNECT would take the connection out of HTTP.
const KNOWN_METHODS: ReadonlySet<string> = new Set(METHODS.filter((method) => method !== 'CONNECT'))

/** Answers requests by routes; knows nothing of listening. */
export interface Dispatch {
  /** Whether there is a route for it; also true of what is answered because it is malformed. */
  takes(message: IncomingMessage, base?: string): boolean
  request(message: IncomingMessage, response: ServerResponse, base?: string): void
  /** What a simple request asks for. */
  asked(head: RequestHead): Asked
  /** `request` for a simple one, where its route can say at once: without an answer nothing has happened. */
  quick(asked: Asked, body: Buffer): QuickAnswer | undefined
  upgrades(message: IncomingMessage, base?: string): boolean
  upgrade(message: IncomingMessage, socket: Duplex, head: Buffer, base?: string): void
}

/** @param failed told of an error that a route should not have thrown: one request ends with it, never the process */
export function createDispatch(routes: readonly Route[], trusted: AddressSet, failed: (error: unknown) => void): Dispatch {
  /** The request and its route, or the status that refuses it. */
  function find(message: IncomingMessage, base: string): { request: Request; route: Route } | number {
    const flaw = flawOf(message)
    if (flaw !== undefined) return flaw
    const target = splitTarget(message.url ?? '/')
    const path = decodePath(target.raw.slice(base.length))
    if (path === undefined) return 400
    const request = { message, path, query: target.query, peer: peerOf(message, trusted), base }
    const route = routes.find((one) => one.takes(request))
    return route === undefined ? 404 : { request, route }
  }

  return {
    takes: (message, base = '') => find(message, base) !== 404,
    request(message, response, base = '') {
      if (message.method === 'OPTIONS' && message.url === '*') return replyEmpty(response, 200)
      const found = find(message, base)
      if (typeof found === 'number') {
        if (found === 404) return replyText(response, 404, 'Not Found\n')
        return replyText(response, found, `${found} ${STATUS_CODES[found]}`, { Connection: 'close' })
      }
      try {
        found.route.answer(found.request, response)
      } catch (error) {
        failed(error)
        if (response.headersSent) response.destroy()
        else replyText(response, 500, 'Internal Server Error\n')
      }
    },
    // Its path is plain: it stands for itself, and for nothing else.
    asked: (head) => ({ message: head, path: { text: head.url, canonical: undefined }, query: '', peer: peerOf(head, trusted), base: '' }),
    quick(asked, body) {
      for (const route of routes) {
        if (!route.takes(asked)) continue
        try {
          return route.quick?.(asked, body)
        } catch (error) {
          failed(error)
          return { status: 500, text: 'Internal Server Error\n', headers: {} }
        }
      }
      return undefined
    },
    upgrades(message, base = '') {
      const found = find(message, base)
      return typeof found !== 'number' && found.route.upgrades?.(found.request) === true
    },
    upgrade(message, socket, head, base = '') {
      const found = find(message, base)
      // Asked again, because an older server under an attached hub hands over every request for an upgrade unasked.
      const good = typeof found !== 'number' && found.route.upgrades?.(found.request) === true
      if (!good || found.route.upgrade === undefined) return rawReply(socket, 400)
      try {
        found.route.upgrade(found.request, socket, head)
      } catch (error) {
        failed(error)
        socket.destroy()
      }
    },
  }
}

/** What Node's parser lets pass and should not: each is a way to make two readers of one stream disagree. */
function flawOf(message: IncomingMessage): number | undefined {
  if (message.httpVersionMajor !== 1) return 505
  // A fragment never travels: one reader would cut it off, another take it for a part of the path.
  if (message.url?.includes('#') === true) return 400
  const coding = message.headers['transfer-encoding']
  if (message.httpVersion === '1.0' && coding !== undefined) return 400
  // The parser asks only that `chunked` comes last; what is wrapped in it would be taken for the message.
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return 501
  let hosts = 0
  const raw = message.rawHeaders
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts > 1 ? 400 : undefined
}

const BAD_BODY = Symbol('what is answered to a bad body')
type Marked = IncomingMessage & { [BAD_BODY]?: string }

/** What is answered when the body of this request breaks off or is malformed. */
export function onBadBody(message: IncomingMessage, text: string): void {
  ;(message as Marked)[BAD_BODY] = text
}

/** What is known of a connection for as long as it speaks HTTP. */
interface Connection {
  readonly guard: RequestGuard
  readonly turnedAway: boolean
  /** Takes the guard away. */
  readonly detach: () => void
  /** Requests that Node's parser has handed over. */
  handed: number
  /** The answer to the last of them. Answers go out in order, so it is the last to be finished. */
  last: ServerResponse | undefined
}

/** The HTTP or HTTPS server of the port. Not listening yet. */
export function createPort(parts: {
  dispatch: Dispatch
  bounds: HttpBounds
  admission: Admission
  trusted: AddressSet
  tls?: TlsPair
  refused: (reason: string) => void
  /** Both, when not stated: what is simple goes past Node's parser. */
  lanes?: 'both' | 'slow'
}): Server | TlsServer {
  const { dispatch, bounds, admission, trusted, tls, refused, lanes } = parts
  const options = {
    maxHeaderSize: bounds.maxHeaderBytes,
    headersTimeout: bounds.headerTimeout,
    // The time of bodies is kept by the watch below.
    requestTimeout: 0,
    keepAliveTimeout: bounds.keepAliveTimeout,
    connectionsCheckingInterval: Math.min(1_000, bounds.headerTimeout / 4),
    noDelay: true,
    shouldUpgradeCallback: (message: IncomingMessage) => dispatch.upgrades(message),
  }
  const server = tls === undefined ? createHttp(options) : createHttps({ ...options, ...tls, minVersion: 'TLSv1.2', handshakeTimeout: bounds.headerTimeout })
  // They are bounded by their bytes. Some versions of Node leave out what is past a number of them, and do not say so.
  server.maxHeadersCount = 0
  const connections = new WeakMap<Duplex, Connection>()
  const turnedAway = new WeakSet<Duplex>()
  const quickLane = lanes === 'slow' ? undefined : createQuickLane(dispatch, bounds)

  const bodies = createBodyWatch(bounds.requestTimeout, () => performance.now(), (message) => refuse(message.socket, 408))
  const looking = setInterval(bodies.look, Math.min(1_000, bounds.requestTimeout / 4))
  looking.unref()
  server.on('close', () => clearInterval(looking))

  function request(message: IncomingMessage, response: ServerResponse): void {
    const connection = connections.get(message.socket)
    if (connection !== undefined) {
      if (connection.turnedAway) return
      connection.handed++
      connection.last = response
      // What came right behind a request for an upgrade that did not happen was let by unseen. Node has let it fall.
      if (connection.guard.unsure) response.shouldKeepAlive = false
    }
    // Where nothing more is to come of any request, there is nothing to wait for.
    if (connection?.guard.between !== true && (message.headers['content-length'] !== undefined || message.headers['transfer-encoding'] !== undefined)) bodies.begin(message)
    dispatch.request(message, response)
  }

  function admit(socket: Socket): void {
    const address = directAddress(socket)
    // A trusted proxy speaks for many; those it speaks for are counted by the transports.
    const admitted = admission.admit(trusted.has(address) ? 'unix' : address)
    if (typeof admitted === 'function') {
      socket.on('close', admitted)
      admission.seen?.(socket)
      return
    }
    refused(admitted)
    turnedAway.add(socket)
    socket.on('error', () => {})
    if (tls === undefined) rawReply(socket, admitted === 'too_many_connections' ? 503 : 429)
    else socket.destroy()
  }

  /** Ends a connection with an answer, unless that would come in the middle of another one. */
  function refuse(socket: Duplex, status: number): void {
    const last = connections.get(socket)?.last
    const reading = last?.req.complete === false ? last.req : undefined
    const text = status === 405 ? '' : status === 400 ? (reading as Marked | undefined)?.[BAD_BODY] : undefined
    const unanswered = reading !== undefined && last?.headersSent === false && last.socket !== null
    if (last === undefined || last.writableFinished || unanswered) rawReply(socket, status, text)
    else socket.destroy()
  }

  /** Puts the guard between the socket and Node's parser. */
  function guard(socket: Socket): void {
    const [toParser] = socket.listeners('data')
    if (toParser === undefined) return
    const one = createRequestGuard(bounds.maxHeaderBytes, KNOWN_METHODS)
    const quick = quickLane?.(socket)
    const onData = (chunk: Buffer<ArrayBuffer>): void => {
      const rest = quick !== undefined && isQuiet(connection, socket) ? quick(chunk) : chunk
      if (rest === undefined) return
      const passed = one.feed(rest)
      if (typeof passed !== 'number') toParser.call(socket, passed)
      else {
        connection.detach()
        socket.resume()
        refuse(socket, passed)
      }
    }
    const connection: Connection = { guard: one, turnedAway: turnedAway.has(socket), detach: () => void socket.removeListener('data', onData), handed: 0, last: undefined }
    socket.removeListener('data', toParser as () => void)
    socket.on('data', onData)
    connections.set(socket, connection)
  }

  server.prependListener('connection', admit)
  server.on(tls === undefined ? 'connection' : 'secureConnection', guard)
  server.on('request', request)
  server.on('checkContinue', request)
  server.on('checkExpectation', (_message, response: ServerResponse) => replyEmpty(response, 417))
  server.on('upgrade', (message: IncomingMessage, socket: Duplex, head: Buffer) => {
    const connection = connections.get(socket)
    connection?.detach()
    // The socket lives on for hours, and what watched over its one request must not live with it: two kilobytes each.
    connections.delete(socket)
    // The answer to a request before this one would come in the middle of the WebSocket.
    if (connection?.last?.writableFinished === false) socket.destroy()
    else dispatch.upgrade(message, socket, head)
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    // Without a guard it is a TLS handshake that came to nothing: there is no way to say so.
    if (error.code === 'ECONNRESET' || !socket.writable || !connections.has(socket)) socket.destroy()
    else if (error.code === 'HPE_HEADER_OVERFLOW') refuse(socket, 431)
    else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') refuse(socket, 408)
    else refuse(socket, 400)
  })
  return server
}

/**
 * Whether nothing is on its way on this connection, and Node has had a request of it, so that its times run as between two
 * requests. Each request that the guard has seen must have come out of the parser: where the two do not agree, or the
 * parser has answered for itself, the connection stays with the parser.
 */
function isQuiet({ guard, handed, last, turnedAway }: Connection, socket: Socket): boolean {
  return guard.between && last !== undefined && last.closed && guard.requests === handed && socket.writableLength === 0 && socket.writable && !turnedAway
}
