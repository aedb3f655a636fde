import ipaddr from 'ipaddr.js'
import { remembered } from './remembered.ts'

/** Where to listen: a TCP address, or the path of a UNIX socket. */
export type ListenAddress = { readonly host: string | undefined; readonly port: number } | { readonly path: string }

/**
 * Reads `host:port`, `:port` (every interface), `[v6]:port` or `/path/of/a.sock`.
 * @returns the address, or a sentence that says what is wrong
 */
export function parseAddress(text: string): ListenAddress | string {
  if (text.startsWith('/')) return { path: text }
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/.exec(text)
  if (match === null) return `"${text}" is no address: write host:port, :port, [ipv6]:port or /path/of/a/socket`
  const port = Number(match[3])
  if (port > 65_535) return `"${text}" has a port above 65535`
  const host = match[1] ?? match[2]
  return { host: host === '' ? undefined : host, port }
}

/** Whether only this machine can reach what listens there. */
export function isLocalAddress(address: ListenAddress): boolean {
  if ('path' in address) return true
  return address.host === 'localhost' || (address.host !== undefined && isLoopback(address.host))
}

/** Whether a peer's address is on this machine. IPv4 inside IPv6 counts as the IPv4 it is. */
export const isLoopback = remembered((address) => ipaddr.isValid(address) && ipaddr.process(address).range() === 'loopback')

/** A hop of `X-Forwarded-For` without the port that some proxies write; `unknown` when it is no IP address. */
export function plainAddress(hop: string): string {
  const text = hop.trim()
  const match = /^\[([^\]]*)\](?::\d+)?$|^(\d[\d.]*):\d+$/.exec(text)
  const address = match?.[1] ?? match?.[2] ?? text
  return ipaddr.isValid(address) ? address : 'unknown'
}

/** The address a limit is counted for: IPv4 as it is, IPv6 by its /64, which is what one customer gets. */
export function countedAddress(address: string): string {
  if (!ipaddr.isValid(address)) return address
  const parsed = ipaddr.process(address)
  if (parsed.kind() === 'ipv4') return parsed.toString()
  return (parsed as ipaddr.IPv6).parts.slice(0, 4).map((part) => part.toString(16)).join(':') + '::/64'
}

/** A set of addresses, stated as single ones and CIDR ranges. */
export interface AddressSet {
  has(address: string): boolean
}

/** @throws {RangeError} naming the first text that is neither an address nor a range */
export function addressSet(texts: readonly string[]): AddressSet {
  const ranges = texts.map((text) => {
    try {
      if (text.includes('/')) return ipaddr.parseCIDR(text)
      const address = ipaddr.process(text)
      return [address, address.kind() === 'ipv4' ? 32 : 128] as [ipaddr.IPv4 | ipaddr.IPv6, number]
    } catch {
      throw new RangeError(`"${text}" is neither an IP address nor a CIDR range`)
    }
  })
  return {
    has(address) {
      if (ranges.length === 0 || !ipaddr.isValid(address)) return false
      const parsed = ipaddr.process(address)
      return ranges.some(([network, bits]) => network.kind() === parsed.kind() && parsed.match(network as never, bits))
    },
  }
}
