import 'reflect-metadata'
import { createPrivateKey, createPublicKey, generateKeyPair, randomBytes, X509Certificate, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import {
  AuthorityKeyIdentifierExtension, BasicConstraintsExtension, ExtendedKeyUsageExtension, KeyUsageFlags, KeyUsagesExtension, SubjectAlternativeNameExtension, SubjectKeyIdentifierExtension,
  X509Certificate as Certificate, X509CertificateGenerator, X509CrlGenerator, type Extension,
} from '@peculiar/x509'
import type { TlsFiles } from '../../src/zones/ports.ts'
import { temporaryFolder } from './certificates.ts'

export const USES = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2', code: '1.3.6.1.5.5.7.3.3', any: '2.5.29.37.0' } as const

export type KeyKind = 'P-256' | 'P-384' | 'Ed25519' | `RSA-${number}`

/** A certificate and its key, PEM. */
export interface Made {
  readonly cert: string
  readonly key: string
  readonly certificate: X509Certificate
}

/** What a certificate shall be; without anything, a good one for both ends. */
export interface MakeWish {
  /** Who has signed it; itself when it says `self`. */
  readonly by: Made | 'self'
  /** No name at all when it is empty. */
  readonly cn?: string
  readonly ips?: readonly string[]
  readonly dns?: readonly string[]
  readonly kind?: KeyKind
  /** The key, where it is that of another one. */
  readonly key?: string
  /** ms from now. */
  readonly from?: number
  readonly until?: number
  /** May issue others: so many below it, or any number. */
  readonly ca?: number | 'any'
  /** Extended key usage; without it when the list is empty. */
  readonly uses?: readonly string[]
  readonly keyUsage?: number
  readonly serial?: string
  readonly hash?: 'SHA-1' | 'SHA-256' | 'SHA-384'
  /** Without the identifiers of keys, by which a CA is told from another one of the same name. */
  readonly keyIds?: 'none'
  readonly more?: readonly Extension[]
}

const HOUR = 3_600_000
/** ms: longer than what is told to be near its end. */
const LONG = 30 * 24 * HOUR
const generate = promisify(generateKeyPair) as (kind: string, options?: object) => Promise<{ publicKey: KeyObject; privateKey: KeyObject }>

/** Makes one certificate, right or wrong. */
export async function make(wish: MakeWish): Promise<Made> {
  const { by, cn = 'somebody', ips = [], dns = [], from = -HOUR, until = LONG, ca, uses = [], serial = `4${randomBytes(15).toString('hex')}`, hash = 'SHA-256', keyIds, more = [] } = wish
  const privateKey = wish.key === undefined ? await newKey(wish.kind ?? 'P-256') : createPrivateKey(wish.key)
  const publicKey = await webKey(createPublicKey(privateKey), hash)
  const issuer = by === 'self' ? undefined : new Certificate(by.cert)
  const signer = by === 'self' ? privateKey : createPrivateKey(by.key)
  const subject = cn === '' ? [] : [{ CN: [cn] }]
  const names = [...ips.map((value) => ({ type: 'ip' as const, value })), ...dns.map((value) => ({ type: 'dns' as const, value }))]
  const keyUsage = wish.keyUsage ?? (ca === undefined ? undefined : KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign)
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial, subject, issuer: issuer?.subjectName ?? subject, notBefore: wholeSeconds(from), notAfter: wholeSeconds(until),
    publicKey, signingKey: await webKey(signer, hash), signingAlgorithm: algorithm(signer, hash),
    extensions: [
      ...(ca === undefined ? [] : [new BasicConstraintsExtension(true, ca === 'any' ? undefined : ca, true)]),
      ...(keyUsage === undefined ? [] : [new KeyUsagesExtension(keyUsage, true)]),
      ...(uses.length === 0 ? [] : [new ExtendedKeyUsageExtension([...uses])]),
      ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names, subject.length === 0)]),
      ...(keyIds === 'none' ? [] : [await SubjectKeyIdentifierExtension.create(publicKey)]),
      ...(issuer === undefined || keyIds === 'none' ? [] : [await AuthorityKeyIdentifierExtension.create(issuer.publicKey)]),
      ...more,
    ],
  })
  const cert = pem('CERTIFICATE', certificate)
  return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), certificate: new X509Certificate(cert) }
}

/** A list of revoked certificates of a CA; times are ms from now. */
export async function makeList(by: Made, { revoked = [], from = -HOUR, until = LONG }: { revoked?: readonly Made[]; from?: number; until?: number } = {}): Promise<string> {
  const issuer = new Certificate(by.cert)
  const signer = createPrivateKey(by.key)
  return pem('X509 CRL', await X509CrlGenerator.create({
    issuer: issuer.subjectName, thisUpdate: wholeSeconds(from), nextUpdate: wholeSeconds(until), signingKey: await webKey(signer, 'SHA-256'), signingAlgorithm: algorithm(signer, 'SHA-256'),
    entries: revoked.map(({ certificate }) => ({ serialNumber: certificate.serialNumber, revocationDate: wholeSeconds(-HOUR) })),
    extensions: [await AuthorityKeyIdentifierExtension.create(issuer.publicKey)],
  }))
}

/** A private CA for one test, in a folder that is kept when the test fails. */
export async function testAuthority(t: TestContext) {
  const folder = temporaryFolder(t)
  const ca = await make({ by: 'self', cn: 'test CA', ca: 'any' })
  let count = 0
  /** Writes what one end of a link needs. */
  const write = (parts: { ca?: string; cert: string; key: string; crl?: string }, name = `end${++count}`): TlsFiles => {
    const file = (what: string, text: string): string => {
      const path = join(folder, `${name}${what}`)
      writeFileSync(path, text)
      return path
    }
    return {
      cacertfile: file('.ca.pem', parts.ca ?? ca.cert), certfile: file('.pem', parts.cert), keyfile: file('.key', parts.key),
      ...(parts.crl !== undefined && { crlfile: file('.crl.pem', parts.crl) }),
    }
  }
  return {
    folder, ca, write,
    /** For a daemon on 127.0.0.1. */
    server: (wish: Partial<MakeWish> = {}) => make({ by: ca, cn: 'hub', ips: ['127.0.0.1'], uses: [USES.server], ...wish }),
    client: (wish: Partial<MakeWish> = {}) => make({ by: ca, cn: 'edge', uses: [USES.client], ...wish }),
    list: (revoked: readonly Made[] = [], times: { from?: number; until?: number } = {}) => makeList(ca, { revoked, ...times }),
  }
}

async function newKey(kind: KeyKind): Promise<KeyObject> {
  if (kind === 'Ed25519') return (await generate('ed25519')).privateKey
  if (kind.startsWith('RSA-')) return (await generate('rsa', { modulusLength: Number(kind.slice(4)) })).privateKey
  return (await generate('ec', { namedCurve: kind })).privateKey
}

function algorithm(key: KeyObject, hash: string): { name: string; hash: string; namedCurve?: string } {
  switch (key.asymmetricKeyType) {
    case 'ec': return { name: 'ECDSA', hash, namedCurve: key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'P-384' : 'P-256' }
    case 'rsa': return { name: 'RSASSA-PKCS1-v1_5', hash }
    default: return { name: 'Ed25519', hash }
  }
}

async function webKey(key: KeyObject, hash: string): Promise<CryptoKey> {
  return key.toCryptoKey(algorithm(key, hash), true, [key.type === 'private' ? 'sign' : 'verify'])
}

function wholeSeconds(fromNow: number): Date {
  return new Date(Math.floor((Date.now() + fromNow) / 1_000) * 1_000)
}

function pem(label: string, { rawData }: { readonly rawData: ArrayBuffer }): string {
  return `-----BEGIN ${label}-----\n${Buffer.from(rawData).toString('base64').replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`
}
