import type { X509Certificate } from 'node:crypto'
import ipaddr from 'ipaddr.js'
import { isLoopback } from '../http/address.ts'
import { LONGEST_NAME } from '../protocol/pony-express/messages.ts'

/** An IP address in one way of writing: the short one, and IPv4 inside IPv6 as the IPv4 that it is. */
export function bareAddress(address: string): string {
  return ipaddr.isValid(address) ? ipaddr.process(address).toString() : address
}

/** What a certificate says of whose it is: its common names, and the DNS names and IP addresses among its other names. */
export function namesInside(certificate: X509Certificate): { readonly kind: 'cn' | 'dns' | 'ip'; readonly text: string }[] {
  // Typed as one text; there may be several, or none.
  const common = certificate.toLegacyObject().subject?.CN as string | readonly string[] | undefined
  const names = common === undefined ? [] : [common].flat().map((text) => ({ kind: 'cn' as const, text }))
  return [...names, ...otherNames(certificate.subjectAltName ?? '')]
}

/** One of the other names. What could be taken for two stands in quotes, as a JSON text. */
const OTHER_NAME = /(?:^|, )([^:,"]+):("(?:[^"\\]|\\.)*"|[^,]*)/g

function otherNames(text: string): { kind: 'dns' | 'ip'; text: string }[] {
  return [...text.matchAll(OTHER_NAME)].flatMap(([, label, value = '']) => {
    const kind = label === 'DNS' ? 'dns' : label === 'IP Address' ? 'ip' : undefined
    const said = value.startsWith('"') ? JSON.parse(value) as string : value
    return kind === undefined ? [] : [{ kind, text: kind === 'ip' ? bareAddress(said) : said }]
  })
}

/** A message may come through 16 hubs, and each name of a peer counts as one. */
const MOST_CARRIED = 8

/** Those of a peer's names that its messages carry with them (`via`): some of the first, as a certificate may hold thousands. */
export function carriedNames(names: readonly string[]): string[] {
  return names.filter((name) => Buffer.byteLength(name) <= LONGEST_NAME).slice(0, MOST_CARRIED)
}

/**
 * By what a peer may be known again, whichever way it comes: `cn:`, `dns:` and `ip:` of its certificate, and `ip:` of its
 * address. What everyone on a machine has in common, loopback and `localhost`, is no name where there is a certificate.
 */
export function namesOf(peer: { readonly address: string; readonly certificate: X509Certificate | undefined }): string[] {
  const address = bareAddress(peer.address)
  if (peer.certificate === undefined) return [`ip:${address}`]
  const names = namesInside(peer.certificate)
    .filter(({ kind, text }) => !(kind === 'dns' && text.toLowerCase() === 'localhost') && !(kind === 'ip' && isLoopback(text)))
    .map(({ kind, text }) => `${kind}:${kind === 'dns' ? text.toLowerCase() : text}`)
  return [...new Set(isLoopback(address) ? names : [...names, `ip:${address}`])]
}

/** What grants speak of: the common names of a certificate, and its DNS names and IP addresses. */
export function certificateNames(certificate: X509Certificate): string[] {
  return namesInside(certificate).map(({ text }) => text)
}
