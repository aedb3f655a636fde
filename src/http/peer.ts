import type { IncomingMessage } from 'node:http'
import type { Server, Socket } from 'node:net'
import { isLoopback, plainAddress, type AddressSet } from './address.ts'
import { remembered } from './remembered.ts'

/** Who is at the other end of a request. */
export interface Peer {
  /** The client's address as far as it can be believed; `unix` for a UNIX socket. */
  readonly address: string
  /** The client is on this machine, and no proxy says that it speaks for somebody else. */
  readonly local: boolean
}

/** What proxies and the edges of content networks add. */
const FORWARDING = [
  'x-forwarded-for', 'forwarded', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-port', 'x-real-ip', 'via',
  'x-client-ip', 'true-client-ip', 'cf-connecting-ip', 'fly-client-ip',
] as const

/**
 * The address at the other end of a connection: `unix` for a UNIX socket. A TCP connection that was reset before anyone
 * looked has no address any more, though its bytes are still read; it is `gone`, and must not pass for a UNIX socket.
 */
export function directAddress(socket: Socket): string {
  if (socket.remoteAddress !== undefined) return socket.remoteAddress
  const { server } = socket as Socket & { server?: Server }
  return typeof server?.address() === 'string' ? 'unix' : 'gone'
}

/**
 * The peer of a request. `X-Forwarded-For` is believed only from a trusted proxy, and only back to the first address
 * that is not one itself. A request from this machine that carries any forwarding header is not local: it most likely
 * came through a proxy that nobody told the hub about. Nor is one that a browser here sends for a page from elsewhere;
 * where such a page has had its own name point to this machine (DNS rebinding), the name in `Host` gives it away.
 */
export function peerOf(request: Pick<IncomingMessage, 'socket' | 'headers'>, trusted: AddressSet): Peer {
  const direct = directAddress(request.socket)
  const forwarded = request.headers['x-forwarded-for']
  const viaTrusted = direct === 'unix' || trusted.has(direct)
  if (typeof forwarded === 'string' && viaTrusted) {
    const hops = forwarded.split(',').map(plainAddress)
    const client = hops.findLast((hop) => !trusted.has(hop)) ?? hops[0] ?? direct
    return { address: client, local: false }
  }
  const bare = !FORWARDING.some((name) => request.headers[name] !== undefined)
  return { address: direct, local: bare && fromHere(request.headers.origin) && (direct === 'unix' || (isLoopback(direct) && askedHere(request.headers.host))) }
}

/** Whether no page speaks, or one that was served on this machine. */
function fromHere(origin: string | undefined): boolean {
  return origin === undefined || isHere(origin)
}

/** Whether the client asked for this machine by a name or address that can mean no other. */
function askedHere(host: string | undefined): boolean {
  return host === undefined || isHere(`http://${host}`)
}

const isHere = remembered((url) => {
  if (!URL.canParse(url)) return false
  const { hostname } = new URL(url)
  return hostname === 'localhost' || isLoopback(hostname.replace(/^\[|\]$/g, ''))
})
