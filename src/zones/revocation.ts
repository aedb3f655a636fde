import type { X509Certificate } from 'node:crypto'
import { blocksOf, nameOf } from './pem.ts'

/** What a file of revocation lists says. */
export interface Revocation {
  /** For OpenSSL: one list each, for it reads only the first of a text. */
  readonly lists: readonly string[]
  /** By the name of its CA: when the newest list was made, and until when it holds. */
  readonly times: ReadonlyMap<string, { readonly made: number; readonly until: number | undefined }>
  isRevoked(certificate: X509Certificate): boolean
}

/** Chains are short; one that is longer, or goes round in a circle, is not followed. */
const MOST_ISSUERS = 16

/**
 * Reads a CRL file: PEM, a list at least for each of these CAs, and more for what comes between (RFC 5280 section 5).
 * @throws {Error} with a sentence that names the file, for a list that cannot be read or that none of the CAs has signed, and for a CA without one: OpenSSL refuses all certificates of such a CA
 */
export async function readRevocation(text: string, file: string, of: { authorities: readonly X509Certificate[]; between: readonly X509Certificate[] }, authorityFile: string): Promise<Revocation> {
  const lists = blocksOf(text, /^X509 CRL$/, file, 'list of revoked certificates (X509 CRL)')
  // A hub without such a list does without these two: they cost a tenth of a second, and memory.
  await import('reflect-metadata')
  const { X509Crl, X509Certificate: Certificate } = await import('@peculiar/x509')
  const signers = [...of.authorities, ...of.between].map((authority) => ({ authority, parsed: new Certificate(authority.raw) }))
  const times = new Map<string, { made: number; until: number | undefined }>()
  const revoked = new Set<string>()
  for (const block of lists) {
    const list = await parse(() => new X509Crl(block), file)
    const name = bytesOf(list.issuerName)
    const named = signers.filter(({ parsed }) => bytesOf(parsed.subjectName).equals(name))
    if (named.length === 0) throw new Error(`${file} holds a list of ${list.issuer}, which is no CA of ${authorityFile}`)
    const signer = await firstOf(named, ({ parsed }) => list.verify({ publicKey: parsed }).catch(() => false))
    if (signer === undefined) throw new Error(`${file} holds a list that ${list.issuer} has not signed with the key that is in ${authorityFile}`)
    const { subject } = signer.authority
    for (const { serialNumber } of await parse(() => list.entries, file)) revoked.add(keyOf(subject, serialNumber))
    const [made, until] = [list.thisUpdate.getTime(), list.nextUpdate?.getTime()]
    if (made >= (times.get(subject)?.made ?? -Infinity)) times.set(subject, { made, until })
  }
  const without = of.authorities.find(({ ca, subject }) => ca && !times.has(subject))
  if (without !== undefined) throw new Error(`${file} holds no list of ${nameOf(without)}, a CA of ${authorityFile}: all its certificates would be refused`)
  return {
    lists,
    times,
    isRevoked(certificate) {
      let at: X509Certificate | undefined = certificate
      for (let i = 0; at !== undefined && i < MOST_ISSUERS; i++, at = at.issuerCertificate) {
        if (revoked.has(keyOf(at.issuer, at.serialNumber))) return true
      }
      return false
    },
  }
}

async function parse<T>(read: () => T, file: string): Promise<T> {
  try {
    return read()
  } catch (cause) {
    throw new Error(`${file} holds a list that cannot be read`, { cause })
  }
}

async function firstOf<T>(list: readonly T[], test: (one: T) => Promise<boolean>): Promise<T | undefined> {
  for (const one of list) if (await test(one)) return one
  return undefined
}

function bytesOf(name: { toArrayBuffer(): ArrayBuffer }): Buffer {
  return Buffer.from(name.toArrayBuffer())
}

/** Serial numbers are written with more or fewer zeros before them, and in either case. */
function keyOf(issuer: string, serial: string): string {
  return `${issuer}\n${serial.toLowerCase().replace(/^0+(?=.)/, '')}`
}
