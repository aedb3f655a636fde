import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

export type Address = ipaddr.IPv4 | ipaddr.IPv6
export type Range = readonly [network: Address, bits: number]

/** @returns `undefined` for everything but a plain IP address: names, scope ids, `0x7f.1` */
export function readAddress(text: string): Address | undefined {
  const family = text.includes('%') ? 0 : isIP(text)
  if (family === 4) return ipaddr.IPv4.parse(text)
  // Through WHATWG first, which writes it without dots: ipaddr.js takes ::127.0.0.1 for ::ffff:127.0.0.1, and the kernel does not.
  return family === 6 ? ipaddr.IPv6.parse(new URL(`http://[${text}]/`).hostname.slice(1, -1)) : undefined
}

/** Reads an address or a CIDR range. @throws {RangeError} naming a text that is neither */
export function readRange(text: string): Range {
  const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text)
  const network = match === null ? undefined : readAddress(match[1] as string)
  const most = network?.kind() === 'ipv4' ? 32 : 128
  const bits = Number(match?.[2] ?? most)
  if (network === undefined || bits > most) throw new RangeError(`"${text}" is neither an IP address nor a CIDR range`)
  return [network, bits]
}

export function isIn(address: Address, [network, bits]: Range): boolean {
  return address.kind() === network.kind() && address.match(network as never, bits)
}

/** What allowPrivate opens. */
export const PRIVATE = table({
  'a loopback address': ['127.0.0.0/8', '::1'],
  'a private address': ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'],
  'a unique local address': ['fc00::/7'],
})

/** What is not a host on the open internet: the registries of IANA for special purposes (RFC 6890), and what was retired from them. */
export const SPECIAL = table({
  'an unspecified address': ['0.0.0.0', '::'],
  'an address of "this network"': ['0.0.0.0/8'],
  'a shared address': ['100.64.0.0/10'],
  'a link-local address': ['169.254.0.0/16', 'fe80::/10'],
  'a site-local address': ['fec0::/10'],
  'a documentation address': ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/32', '3fff::/20'],
  'a benchmarking address': ['198.18.0.0/15', '2001:2::/48'],
  'a multicast address': ['224.0.0.0/4', 'ff00::/8'],
  'the broadcast address': ['255.255.255.255'],
  'a reserved address': ['240.0.0.0/4', '192.0.0.0/24'],
  'an address of a service of the network': ['192.31.196.0/24', '192.52.193.0/24', '192.175.48.0/24', '2620:4f:8000::/48'],
  'an IPv4-mapped address': ['::ffff:0:0/96'],
  'an IPv4-translated address': ['::ffff:0:0:0/96'],
  'an IPv4-compatible address': ['::/96'],
  'a NAT64 address': ['64:ff9b::/96', '64:ff9b:1::/48'],
  'a 6to4 address': ['2002::/16', '192.88.99.0/24'],
  'a Teredo address': ['2001::/32'],
  'an ORCHID address': ['2001:10::/28', '2001:20::/28'],
  'a discard address': ['100::/64'],
  'an address of the IETF': ['2001::/23'],
})

/** Where clouds hand credentials to whoever asks from within. Some lie in ranges that an operator may open as a whole, one in the open internet. */
export const METADATA = [
  '169.254.169.254', 'fd00:ec2::254', 'fd20:ce::254',
  '169.254.170.2', '169.254.170.23', 'fd00:ec2::23',
  '100.100.100.200', '168.63.129.16', '192.0.0.192',
  '169.254.42.42', 'fd00:42::42',
].map((text) => readRange(text))

const GLOBAL = readRange('2000::/3')

/** What a special address is, in words; `undefined` for one on the open internet. */
export function specialty(address: Address): string | undefined {
  const row = SPECIAL.find(([, range]) => isIn(address, range))
  if (row !== undefined) return row[0]
  if (address.kind() === 'ipv4') return undefined
  if (isIsatap(address as ipaddr.IPv6)) return 'an ISATAP address'
  return isIn(address, GLOBAL) ? undefined : 'no global unicast address'
}

/** An IPv4-mapped address as the IPv4 address it is to the kernel; every other as it is. */
export function plain(address: Address): Address {
  return address.kind() === 'ipv6' && (address as ipaddr.IPv6).isIPv4MappedAddress() ? (address as ipaddr.IPv6).toIPv4Address() : address
}

/** The address, and every IPv4 address that some gateway might read out of it. */
export function faces(address: Address): readonly Address[] {
  if (address.kind() === 'ipv4') return [address]
  const bytes = address.toByteArray()
  const v4 = (...at: readonly [number, number, number, number]): Address => new ipaddr.IPv4(at.map((i) => bytes[i] as number))
  const last = v4(12, 13, 14, 15)
  const all: Address[] = [address]
  if (EMBED_LAST.some((range) => isIn(address, range)) || isIsatap(address as ipaddr.IPv6)) all.push(last)
  if (isIn(address, NAT64_LOCAL)) all.push(v4(6, 7, 9, 10))
  if (isIn(address, SIX_TO_FOUR)) all.push(v4(2, 3, 4, 5))
  if (isIn(address, TEREDO)) all.push(v4(4, 5, 6, 7), new ipaddr.IPv4(last.toByteArray().map((byte) => byte ^ 0xff)))
  return all
}

const NAT64_LOCAL = readRange('64:ff9b:1::/48')
const SIX_TO_FOUR = readRange('2002::/16')
const TEREDO = readRange('2001::/32')
const EMBED_LAST = ['::/96', '::ffff:0:0/96', '::ffff:0:0:0/96', '64:ff9b::/96', '64:ff9b:1::/48'].map((text) => readRange(text))

/** RFC 5214: the lower half names an IPv4 address of the same site, whatever the prefix. */
function isIsatap({ parts }: ipaddr.IPv6): boolean {
  return parts[5] === 0x5efe && ((parts[4] as number) & 0xfdff) === 0
}

function table(rows: Readonly<Record<string, readonly string[]>>): readonly (readonly [what: string, range: Range])[] {
  return Object.entries(rows).flatMap(([what, texts]) => texts.map((text) => [what, readRange(text)] as const))
}
