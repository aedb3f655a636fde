import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import type { Kind } from './issue.ts'

/** Days that a certificate and a CA hold: 13 months, and ten years. */
export const [LEAF_DAYS, CA_DAYS] = [397, 3_653]
/** What a CA is called when nobody says. */
export const CA_NAME = 'Waystation links CA'

/** What somebody wants a certificate for. */
export interface LeafWish {
  readonly kind: Kind
  readonly name: string
  readonly ips: readonly string[]
  readonly dns: readonly string[]
  readonly days: number
}

/** The common name of X.509 has room for so many; and so it fits into the name of a file. */
const MOST_NAME = 64
const MOST_DAYS = 36_500
const LABEL = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?'
const DNS_NAME = new RegExp(`^(?:\\*\\.)?${LABEL}(?:\\.${LABEL})*$`)

/** Why this cannot be the name of a certificate and of its files; nothing when it can. */
export function faultOfName(name: string): string | undefined {
  if (name === '') return 'must not be empty'
  if (/[\p{Cc}\p{Cs}]/u.test(name)) return 'must not hold control characters'
  if (/[/\\]/.test(name)) return 'must not hold a slash: files are called by it'
  if (name.startsWith('.')) return 'must not begin with a dot: files are called by it'
  if (['ca', 'crl'].includes(name.toLowerCase())) return `must not be ${name}: a file of the CA is called so`
  return Buffer.byteLength(name) > MOST_NAME ? `must not be longer than ${MOST_NAME} bytes` : undefined
}

/** Why this cannot be what a CA is called; nothing when it can. */
export function faultOfAuthorityName(name: string): string | undefined {
  if (name === '') return 'must not be empty'
  if (/[\p{Cc}\p{Cs}]/u.test(name)) return 'must not hold control characters'
  return Buffer.byteLength(name) > MOST_NAME ? `must not be longer than ${MOST_NAME} bytes` : undefined
}

/** Why this is no IP address for a certificate; nothing when it is one. */
export function faultOfIp(text: string): string | undefined {
  return isIP(text) === 0 || text.includes('%') ? `is no IP address: ${JSON.stringify(text)}${faultOfDns(text) === undefined ? '; a name is stated with --dns' : ''}` : undefined
}

/** Why this is no DNS name for a certificate; nothing when it is one. An address written as a name is one: some check that. */
export function faultOfDns(text: string): string | undefined {
  const ascii = domainToASCII(text)
  if (DNS_NAME.test(text.toLowerCase()) && text.length <= 253) return undefined
  return `is no DNS name: ${JSON.stringify(text)}${ascii !== '' && ascii !== text && DNS_NAME.test(ascii) ? `; in certificates it is written ${ascii}` : ''}`
}

/** Days as somebody has typed them; `undefined` when they are none. */
export function readDays(text: string): number | undefined {
  const days = Number(text)
  return /^\d{1,5}$/.test(text) && days >= 1 && days <= MOST_DAYS ? days : undefined
}
