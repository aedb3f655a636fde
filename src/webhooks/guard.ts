import { faces, isIn, METADATA, plain, PRIVATE, readAddress, readRange, specialty, type Address } from './ranges.ts'
import type { Target } from './target.ts'

/** Where a listener of the hub itself is. Without an address, or with `0.0.0.0` or `::`, it is on every interface. */
export interface OwnListener {
  readonly address: string | undefined
  readonly port: number
}

export interface GuardOptions {
  /** IP addresses and CIDR ranges that webhooks may go to, whatever they are. */
  readonly allow: readonly string[]
  /** `yes` opens loopback, RFC 1918 and unique local addresses, and no other. */
  readonly allowPrivate: 'yes' | 'no'
  /** Asked at every check, because ports are known only once the hub listens. */
  readonly own: () => readonly OwnListener[]
  /** Where clients reach the hub, when that is not where it listens: behind a proxy, a port of a container, a cloud's address. */
  readonly publicly?: { readonly hostname: string; readonly port: number } | undefined
  /** The addresses of this machine's interfaces. */
  readonly machine: () => readonly string[]
}

/** Keeps urls that anybody may register away from the inside. */
export interface Guard {
  /** Why nothing may connect there; `undefined` when it may. What is no plain IP address is refused. */
  forbids(address: string, port: number): string | undefined
  /** Why nothing may connect to this name, whatever its addresses are: it is the hub's own. */
  forbidsName(hostname: string, port: number): string | undefined
  /** Why a url may not be registered, as far as can be said without resolving its name. What it lets by, `forbids` still judges when it connects. */
  forbidsTarget(target: Pick<Target, 'hostname' | 'port'>): string | undefined
}

// Top-level names that no public resolver may answer for: RFC 6762, RFC 8375, and what ICANN has set aside for inside use.
const INSIDE = /(?:^|\.)(?:local|localdomain|internal|home\.arpa)$/
const LOCALHOST = /(?:^|\.)localhost$/

/**
 * IPv6 forms that carry an IPv4 address (mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP) are refused as a
 * whole, whatever they carry: no real subscriber needs them. `allow` opens them like any other range, and an
 * IPv4-mapped address counts as its IPv4 when `allow` names that. Metadata addresses of clouds open only when `allow`
 * names the very address: a range that happens to hold one does not. The hub's own listeners are never open, since a
 * message that comes back to the hub would go round for ever.
 * @throws {RangeError} naming the first text of `allow` that is neither an address nor a range
 */
export function createGuard({ allow, allowPrivate, own, machine, publicly }: GuardOptions): Guard {
  const open = allow.map((text) => readRange(text))
  const openSingles = open.filter(([network, bits]) => bits === (network.kind() === 'ipv4' ? 32 : 128))

  const publicAddress = readAddress(publicly?.hostname ?? '')
  const publicName = nameOf(publicly?.hostname ?? '')

  function isOwn(address: Address, port: number): boolean {
    if (publicAddress !== undefined && publicly?.port === port && faces(address).some((face) => same(publicAddress, face))) return true
    const listeners = own().filter((listener) => listener.port === port)
    return listeners.length > 0 && faces(address).some((face) => isUnspecified(face) || listeners.some((listener) => reaches(face, listener)))
  }

  function reaches(face: Address, listener: OwnListener): boolean {
    const at = addressOf(listener.address ?? '')
    if (at !== undefined && !isUnspecified(at)) return same(at, face)
    return isLoopback(face) || machine().some((text) => same(addressOf(text), face))
  }

  function judge(address: Address, port: number): string | undefined {
    if (isOwn(address, port)) return 'the hub itself'
    const named = (ranges: typeof open): boolean => ranges.some((range) => isIn(address, range) || isIn(plain(address), range))
    if (faces(address).some((face) => METADATA.some((range) => isIn(face, range)))) return named(openSingles) ? undefined : 'a metadata address of a cloud'
    if (named(open)) return undefined
    const inside = PRIVATE.find(([, range]) => isIn(address, range))
    if (inside !== undefined) return allowPrivate === 'yes' ? undefined : inside[0]
    return specialty(address)
  }

  function forbids(text: string, port: number): string | undefined {
    const address = readAddress(text)
    const what = address === undefined ? 'no plain IP address' : judge(address, port)
    return what === undefined ? undefined : `${text} port ${port} is ${what}`
  }

  function forbidsName(hostname: string, port: number): string | undefined {
    const isPublic = publicly !== undefined && nameOf(hostname) === publicName && port === publicly.port
    return isPublic ? `${publicName} port ${port} is the hub itself` : undefined
  }

  return {
    forbids,
    forbidsName,
    forbidsTarget({ hostname, port }) {
      if (readAddress(hostname) !== undefined) return forbids(hostname, port)
      const name = nameOf(hostname)
      const own = forbidsName(hostname, port)
      if (own !== undefined) return own
      if (LOCALHOST.test(name)) {
        const ways = [HERE_4, HERE_6]
        if (ways.some((address) => isOwn(address, port))) return `${name} port ${port} is the hub itself`
        return ways.every((address) => judge(address, port) !== undefined) ? `${name} is this machine` : undefined
      }
      // Where the operator has opened anything, such a name may well stand for it.
      const closed = allowPrivate === 'no' && open.length === 0
      return closed && INSIDE.test(name) ? `${name} is a name of the inside` : undefined
    },
  }
}

function nameOf(hostname: string): string {
  return hostname.toLowerCase().replace(/\.+$/, '')
}

const HERE_4 = readAddress('127.0.0.1') as Address
const HERE_6 = readAddress('::1') as Address
const LOOPBACK_4 = readRange('127.0.0.0/8')

function isLoopback(address: Address): boolean {
  return isIn(address, LOOPBACK_4) || same(address, HERE_6)
}

function isUnspecified(address: Address): boolean {
  return address.toByteArray().every((byte) => byte === 0)
}

function same(a: Address | undefined, b: Address): boolean {
  return a !== undefined && plain(a).toString() === plain(b).toString()
}

/** An address as the system states it, which for link-local ones has a scope. */
function addressOf(text: string): Address | undefined {
  return readAddress(text.replace(/%.*$/, ''))
}
