import 'reflect-metadata'
import { createPrivateKey, generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension, BasicConstraintsExtension, ExtendedKeyUsage, ExtendedKeyUsageExtension, Extension, KeyUsageFlags, KeyUsagesExtension, SubjectAlternativeNameExtension, SubjectKeyIdentifierExtension,
  X509Certificate as Certificate, X509CertificateGenerator, X509Crl, X509CrlGenerator, Name, type JsonGeneralNames,
} from '@peculiar/x509'

/** What a certificate may be used for: by a daemon, by a taker, or by one that is both. */
export type Kind = 'server' | 'client' | 'both'

/** From when to when, in ms since 1970. */
export interface Span {
  readonly from: number
  readonly until: number
}

/** A certificate with its key. */
export interface Issued {
  /** PEM. */
  readonly cert: string
  /** PEM, PKCS #8. */
  readonly key: string
}

/** What stands in a certificate for one end of a link. */
export interface Leaf {
  readonly kind: Kind
  readonly name: string
  readonly ips: readonly string[]
  readonly dns: readonly string[]
  readonly serial: string
  readonly span: Span
}

/** A certificate that counts no more. */
export interface Revoked {
  readonly serial: string
  /** ms since 1970. */
  readonly at: number
}

const CRL_NUMBER = '2.5.29.20'
const USAGES: Readonly<Record<Kind, ExtendedKeyUsage[]>> = {
  server: [ExtendedKeyUsage.serverAuth],
  client: [ExtendedKeyUsage.clientAuth],
  both: [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth],
}

/** A CA that issues certificates for links and nothing between (RFC 5280 section 4.2.1.9: path length 0), ECDSA P-256. */
export async function makeAuthority({ name, serial, span }: { name: string; serial: string; span: Span }): Promise<Issued> {
  const { publicKey, privateKey } = await newKeys()
  const certificate = await X509CertificateGenerator.create({
    ...common(serial, span), subject: named(name), issuer: named(name), publicKey: publicKey.webKey, signingKey: privateKey.webKey, signingAlgorithm: algorithmOf(privateKey.key),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(publicKey.webKey),
    ],
  })
  return { cert: pem('CERTIFICATE', certificate), key: privateKey.key.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

/** A certificate for one end of a link, issued by this CA, with a key of its own. */
export async function issueLeaf(authority: Issued, { kind, name, ips, dns, serial, span }: Leaf): Promise<Issued> {
  const { publicKey, privateKey } = await newKeys()
  const issuer = new Certificate(authority.cert)
  const signer = createPrivateKey(authority.key)
  const names: JsonGeneralNames = [...ips.map((value) => ({ type: 'ip' as const, value })), ...dns.map((value) => ({ type: 'dns' as const, value }))]
  const certificate = await X509CertificateGenerator.create({
    ...common(serial, span), subject: named(name), issuer: issuer.subjectName, publicKey: publicKey.webKey, signingKey: await webKeyOf(signer), signingAlgorithm: algorithmOf(signer),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension(USAGES[kind]),
      ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
      await SubjectKeyIdentifierExtension.create(publicKey.webKey),
      await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  })
  return { cert: pem('CERTIFICATE', certificate), key: privateKey.key.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

/**
 * The list of the revoked, signed by this CA (RFC 5280 section 5).
 * @param number rises from list to list
 */
export async function makeList(authority: Issued, { revoked, number, span }: { revoked: readonly Revoked[]; number: number; span: Span }): Promise<string> {
  const issuer = new Certificate(authority.cert)
  const signer = createPrivateKey(authority.key)
  const list = await X509CrlGenerator.create({
    issuer: issuer.subjectName, thisUpdate: dateOf(span.from), nextUpdate: dateOf(span.until), signingKey: await webKeyOf(signer), signingAlgorithm: algorithmOf(signer),
    entries: revoked.map(({ serial, at }) => ({ serialNumber: serial, revocationDate: dateOf(at) })),
    extensions: [await AuthorityKeyIdentifierExtension.create(issuer.publicKey), new Extension(CRL_NUMBER, false, integer(number))],
  })
  return pem('X509 CRL', list)
}

/** What a list says, when it is one of this CA. @throws {Error} with a sentence, when it is not */
export async function readList(authority: Issued, text: string): Promise<{ revoked: Revoked[]; made: number; number: number }> {
  const list = new X509Crl(text)
  if (!(await list.verify({ publicKey: new Certificate(authority.cert) }))) throw new Error('it is not signed by the CA')
  const number = list.extensions.find(({ type }) => type === CRL_NUMBER)
  return {
    revoked: list.entries.map(({ serialNumber, revocationDate }) => ({ serial: serialNumber, at: revocationDate.getTime() })),
    made: list.thisUpdate.getTime(),
    number: number === undefined ? 0 : Number(`0x${Buffer.from(number.value).subarray(2).toString('hex')}`),
  }
}

/** Sixteen random bytes as a serial number: positive, and never shorter. */
export function serialOf(bytes: Buffer): string {
  const first = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return Buffer.concat([Buffer.from([first]), bytes.subarray(1)]).toString('hex')
}

/** What a certificate is for, by its extended key usage. */
export function kindOf(certificate: X509Certificate): Kind {
  const usages: readonly string[] = certificate.keyUsage ?? Object.values(ExtendedKeyUsage)
  const [server, client] = [usages.includes(ExtendedKeyUsage.serverAuth), usages.includes(ExtendedKeyUsage.clientAuth)]
  return server && client ? 'both' : server ? 'server' : 'client'
}

interface Half {
  readonly key: KeyObject
  readonly webKey: CryptoKey
}

async function newKeys(): Promise<{ publicKey: Half; privateKey: Half }> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  return { publicKey: { key: publicKey, webKey: await webKeyOf(publicKey) }, privateKey: { key: privateKey, webKey: await webKeyOf(privateKey) } }
}

const CURVES: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }

async function webKeyOf(key: KeyObject): Promise<CryptoKey> {
  return key.toCryptoKey(algorithmOf(key), true, [key.type === 'private' ? 'sign' : 'verify'])
}

/** How a key signs: a CA that was not made here may have another kind of key. */
function algorithmOf(key: KeyObject): { name: string; hash: string; namedCurve?: string } {
  const { namedCurve = '' } = key.asymmetricKeyDetails ?? {}
  switch (key.asymmetricKeyType) {
    case 'ec': return { name: 'ECDSA', hash: 'SHA-256', namedCurve: CURVES[namedCurve] ?? namedCurve }
    case 'rsa': return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
    case 'ed25519': return { name: 'Ed25519', hash: 'SHA-512' }
    default: throw new Error(`a key of the kind ${key.asymmetricKeyType} cannot sign certificates here`)
  }
}

function common(serial: string, { from, until }: Span): { serialNumber: string; notBefore: Date; notAfter: Date } {
  return { serialNumber: serial, notBefore: dateOf(from), notAfter: dateOf(until) }
}

/** As it is: a text would be read as a name with escapes and quotes. */
function named(text: string): Name {
  return new Name([{ CN: [{ utf8String: text }] }])
}

/** X.509 knows whole seconds only. */
function dateOf(ms: number): Date {
  return new Date(Math.floor(ms / 1_000) * 1_000)
}

function integer(value: number): Buffer {
  const hex = value.toString(16)
  const digits = hex.length % 2 === 0 ? hex : `0${hex}`
  const bytes = Buffer.from(digits, 'hex')
  const positive = (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.from([0]), bytes])
  return Buffer.concat([Buffer.from([2, positive.length]), positive])
}

function pem(label: string, { rawData }: { readonly rawData: ArrayBuffer }): string {
  return `-----BEGIN ${label}-----\n${Buffer.from(rawData).toString('base64').replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`
}
