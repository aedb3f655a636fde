import { createServer as createHttp, METHODS, STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttps, type Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { AddressSet } from './address.ts'
import type { Admission } from './admission.ts'
import { createBodyWatch } from './body-watch.ts'
import { decodePath, splitTarget, type RequestPath } from './path.ts'
import { directAddress, peerOf, type Peer } from './peer.ts'
import { rawReply, replyEmpty, replyText } from './reply.ts'
import { createRequestGuard, type RequestGuard } from './request-guard.ts'
import type { TlsPair } from './tls.ts'

/** A request that has been found whole and well-formed, and what is known of it. */
export interface Request {
  readonly message: IncomingMessage
  readonly path: RequestPath
  /** The query with its question mark, or nothing. */
  readonly query: string
  readonly peer: Peer
  /** Where the hub is mounted: what stands before `path` in the address that the client used. */
  readonly base: string
}

/** One protocol's part of the port. The first route that takes a request gets it. */
export interface Route {
  takes(request: Request): boolean
  /** Must not throw; whatever it starts must end in an answer. */
  answer(request: Request, response: ServerResponse): void
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

const badBody = new WeakMap<IncomingMessage, string>()

/** What is answered when the body of this request breaks off or is malformed. */
export function onBadBody(message: IncomingMessage, text: string): void {
  badBody.set(message, text)
}

/** The HTTP or HTTPS server of the port. Not listening yet. */
export function createPort(parts: {
  dispatch: Dispatch
  bounds: HttpBounds
  admission: Admission
  trusted: AddressSet
  tls?: TlsPair
  refused: (reason: string) => void
}): Server | TlsServer {
  const { dispatch, bounds, admission, trusted, tls, refused } = parts
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
  const guards = new WeakMap<Duplex, RequestGuard>()
  const detach = new WeakMap<Duplex, () => void>()
  const turnedAway = new WeakSet<Duplex>()
  /** The answer to the last request of a connection. Answers go out in order, so it is the last to be finished. */
  const lastAnswer = new WeakMap<Duplex, ServerResponse>()

  const bodies = createBodyWatch(bounds.requestTimeout, () => performance.now(), (message) => refuse(message.socket, 408))
  const looking = setInterval(bodies.look, Math.min(1_000, bounds.requestTimeout / 4))
  looking.unref()
  server.on('close', () => clearInterval(looking))

  function request(message: IncomingMessage, response: ServerResponse): void {
    if (turnedAway.has(message.socket)) return
    if (message.headers['content-length'] !== undefined || message.headers['transfer-encoding'] !== undefined) bodies.begin(message)
    // What came right behind a request for an upgrade that did not happen was let by unseen. Node has let it fall.
    if (guards.get(message.socket)?.unsure === true) response.shouldKeepAlive = false
    lastAnswer.set(message.socket, response)
    dispatch.request(message, response)
  }

  function admit(socket: Socket): void {
    const address = directAddress(socket)
    // A trusted proxy speaks for many; those it speaks for are counted by the transports.
    const admitted = admission.admit(trusted.has(address) ? 'unix' : address)
    if (typeof admitted === 'function') {
      socket.once('close', admitted)
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
    const last = lastAnswer.get(socket)
    const reading = last?.req.complete === false ? last.req : undefined
    const text = status === 405 ? '' : status === 400 && reading !== undefined ? badBody.get(reading) : undefined
    const unanswered = reading !== undefined && last?.headersSent === false && last.socket !== null
    if (last === undefined || last.writableFinished || unanswered) rawReply(socket, status, text)
    else socket.destroy()
  }

  /** Puts the guard between the socket and Node's parser. */
  function guard(socket: Socket): void {
    const [toParser] = socket.listeners('data')
    if (toParser === undefined) return
    const one = createRequestGuard(bounds.maxHeaderBytes, KNOWN_METHODS)
    const onData = (chunk: Buffer<ArrayBuffer>): void => {
      const passed = one.feed(chunk)
      if (typeof passed !== 'number') toParser.call(socket, passed)
      else {
        detach.get(socket)?.()
        socket.resume()
        refuse(socket, passed)
      }
    }
    socket.removeListener('data', toParser as () => void)
    socket.on('data', onData)
    guards.set(socket, one)
    detach.set(socket, () => socket.removeListener('data', onData))
  }

  server.prependListener('connection', admit)
  server.on(tls === undefined ? 'connection' : 'secureConnection', guard)
  server.on('request', request)
  server.on('checkContinue', request)
  server.on('checkExpectation', (_message, response: ServerResponse) => replyEmpty(response, 417))
  server.on('upgrade', (message: IncomingMessage, socket: Duplex, head: Buffer) => {
    detach.get(socket)?.()
    // The socket lives on for hours, and what watched over its one request must not live with it: two kilobytes each.
    detach.delete(socket)
    guards.delete(socket)
    // The answer to a request before this one would come in the middle of the WebSocket.
    if (lastAnswer.get(socket)?.writableFinished === false) socket.destroy()
    else dispatch.upgrade(message, socket, head)
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    // Without a guard it is a TLS handshake that came to nothing: there is no way to say so.
    if (error.code === 'ECONNRESET' || !socket.writable || !guards.has(socket)) socket.destroy()
    else if (error.code === 'HPE_HEADER_OVERFLOW') refuse(socket, 431)
    else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') refuse(socket, 408)
    else refuse(socket, 400)
  })
  return server
}
