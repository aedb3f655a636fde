import type { IncomingMessage } from 'node:http'
import { isLoopback, type AddressSet } from './address.ts'

/** Who is at the other end of a request. */
export interface Peer {
  /** The client's address as far as it can be believed; `unix` for a UNIX socket. */
  readonly address: string
  /** The client is on this machine, and no proxy says that it speaks for somebody else. */
  readonly local: boolean
}

const FORWARDING = ['x-forwarded-for', 'forwarded', 'x-real-ip', 'via'] as const

/**
 * The peer of a request. `X-Forwarded-For` is believed only from a trusted proxy, and only back to the first address
 * that is not one itself. A request from this machine that carries any forwarding header is not local: it most likely
 * came through a proxy that nobody told the hub about.
 */
export function peerOf(request: IncomingMessage, trusted: AddressSet): Peer {
  const direct = request.socket.remoteAddress ?? 'unix'
  const forwarded = request.headers['x-forwarded-for']
  const viaTrusted = direct === 'unix' || trusted.has(direct)
  if (typeof forwarded === 'string' && viaTrusted) {
    const hops = forwarded.split(',').map((hop) => hop.trim())
    const client = hops.findLast((hop) => !trusted.has(hop)) ?? hops[0] ?? direct
    return { address: client, local: false }
  }
  const bare = !FORWARDING.some((name) => request.headers[name] !== undefined)
  return { address: direct, local: bare && (direct === 'unix' || isLoopback(direct)) }
}
