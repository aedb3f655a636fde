import { Extension, KeyUsageFlags } from '@peculiar/x509'
import { make, makeList, USES, type Made, type MakeWish } from './authority.ts'

/* Certificates that nobody may be let in with, and others that nobody may be refused with. */

const HOUR = 3_600_000
const YEAR = 8_766 * HOUR

/** A CA with everything that can stand below it. */
export interface Family {
  readonly root: Made
  /** May issue leaves; its list is there. */
  readonly between: Made
  /** A CA and a leaf that the root has revoked. */
  readonly revokedCa: Made
  readonly gone: Made
  /** What the ends trust: the root, and what its lists are from. */
  readonly trusted: string
  readonly lists: string
  leaf(wish?: Partial<MakeWish>): Promise<Made>
}

/** What one end shows: its own certificate, and others behind it. */
export interface Shown {
  readonly cert: string
  readonly key: string
}

/** @param side whose certificates these are: of the daemon, for 127.0.0.1, or of a taker */
export async function makeFamily(side: 'server' | 'client'): Promise<Family> {
  const root = await make({ by: 'self', cn: 'test CA', ca: 'any' })
  const leaf = (wish: Partial<MakeWish> = {}): Promise<Made> =>
    make({ by: root, cn: side === 'server' ? 'hub' : 'edge', ips: side === 'server' ? ['127.0.0.1'] : [], uses: [USES[side]], ...wish })
  const between = await make({ by: root, cn: 'between', ca: 'any' })
  const revokedCa = await make({ by: root, cn: 'revoked CA', ca: 0 })
  const gone = await leaf()
  const lists = await makeList(root, { revoked: [gone, revokedCa] }) + await makeList(between) + await makeList(revokedCa)
  return { root, between, revokedCa, gone, trusted: root.cert + between.cert + revokedCa.cert, lists, leaf }
}

/** What is wrong whichever end shows it. Each by a name that says what. */
export async function badFamily(side: 'server' | 'client', { root, between, gone, leaf }: Family): Promise<[string, Shown][]> {
  const other = await make({ by: 'self', cn: 'another CA', ca: 'any' })
  const twin = await make({ by: 'self', cn: 'test CA', ca: 'any' })
  const aLeaf = await leaf()
  const ca = (wish: Partial<MakeWish>): Promise<Made> => make({ by: root, cn: 'below', ca: 0, ...wish })
  const expired = await ca({ until: -1_000 })
  const early = await ca({ from: HOUR })
  const narrow = await ca({})
  const tooDeep = await make({ by: narrow, cn: 'too deep', ca: 0 })
  const noSigner = await ca({ keyUsage: KeyUsageFlags.digitalSignature })
  const plain = await make({ by: root, cn: 'no CA' })
  const elsewhere = await ca({ more: [permitted(name('good.test'), address([10, 0, 0, 0], [255, 0, 0, 0]))] })
  const odd = await ca({ more: [UNKNOWN] })
  const below = async (issuer: Made, wish: Partial<MakeWish> = {}): Promise<Shown> => {
    const made = await leaf({ by: issuer, ...wish })
    return { cert: made.cert + issuer.cert, key: made.key }
  }
  const theOther = side === 'server' ? USES.client : USES.server
  const cases: [string, Shown | Promise<Shown>][] = [
    ['another CA', leaf({ by: other })],
    ['another CA that is sent along', below(other)],
    ['another CA of the same name', leaf({ by: twin })],
    ['another CA of the same name that is sent along', below(twin)],
    ['another CA of the same name, with nothing that tells the two apart', leaf({ by: twin, keyIds: 'none' })],
    ['self-signed', leaf({ by: 'self' })],
    ['self-signed as a CA', leaf({ by: 'self', ca: 'any' })],
    ['self-signed by the name of the CA', leaf({ by: 'self', cn: 'test CA' })],
    ['self-signed with the serial number of a good one', leaf({ by: 'self', serial: aLeaf.certificate.serialNumber })],
    ['expired a second ago', leaf({ until: -1_000 })],
    ['expired years ago', leaf({ from: -9 * YEAR, until: -8 * YEAR })],
    ['not yet valid', leaf({ from: HOUR })],
    ['for the other end', leaf({ uses: [theOther] })],
    ['for signing programs', leaf({ uses: [USES.code] })],
    ['for any use, but not this one', leaf({ uses: [USES.any] })],
    ['not for signing', leaf({ keyUsage: KeyUsageFlags.dataEncipherment })],
    ['below a CA that is not sent along', leaf({ by: narrow })],
    ['below a CA that has expired', below(expired)],
    ['below a CA that is not yet valid', below(early)],
    ['deeper than the path length allows', below(tooDeep).then(({ cert, key }) => ({ cert: cert + narrow.cert, key }))],
    ['below a certificate that is no CA', below(aLeaf)],
    ['below a certificate without basic constraints', below(plain)],
    ['below a CA that may not sign certificates', below(noSigner)],
    ['below a CA for other names', below(elsewhere, { dns: ['bad.test'] })],
    ['below a CA for other addresses', below(elsewhere, { ips: ['192.0.2.1', '127.0.0.1'] })],
    ['with a critical extension that nobody knows', leaf({ more: [UNKNOWN] })],
    ['below a CA with a critical extension that nobody knows', below(odd)],
    ['with a key of RSA 1024', leaf({ kind: 'RSA-1024' })],
    ['signed by SHA-1', leaf({ hash: 'SHA-1' })],
    ['the CA itself', root],
    ['a CA below it', between],
    ['with a spoiled signature', tampered(aLeaf, aLeaf.certificate.raw.length - 1)],
    ['with another name than was signed', tampered(aLeaf, aLeaf.certificate.raw.indexOf(side === 'server' ? 'hub' : 'edge') + 1)],
    ['with another serial number than was signed', tampered(gone, gone.certificate.raw.indexOf(Buffer.from(gone.certificate.serialNumber, 'hex')) + 3)],
  ]
  return Promise.all(cases.map(async ([what, shown]): Promise<[string, Shown]> => [what, await shown]))
}

/** What only an end with lists can know. */
export async function revokedFamily({ root, revokedCa, gone, leaf }: Family): Promise<[string, Shown][]> {
  const unlisted = await make({ by: root, cn: 'below', ca: 0 })
  const below = await leaf({ by: unlisted })
  return [
    ['revoked', gone],
    ['revoked, with the root behind it', { cert: gone.cert + root.cert, key: gone.key }],
    ['below a CA that is revoked', await leaf({ by: revokedCa })],
    ['below a CA that has no list', { cert: below.cert + unlisted.cert, key: below.key }],
  ]
}

/** What is right whichever end shows it. */
export async function goodFamily({ root, between, leaf }: Family): Promise<[string, Shown][]> {
  const below = await leaf({ by: between })
  const aLeaf = await leaf()
  const cases: [string, Shown | Promise<Shown>][] = [
    ['P-256', aLeaf],
    ['P-384, signed by SHA-384', leaf({ kind: 'P-384', hash: 'SHA-384' })],
    ['Ed25519', leaf({ kind: 'Ed25519' })],
    ['RSA 2048', leaf({ kind: 'RSA-2048' })],
    ['RSA 3072', leaf({ kind: 'RSA-3072' })],
    ['through another CA', { cert: below.cert + between.cert, key: below.key }],
    ['with the root behind it', { cert: aLeaf.cert + root.cert, key: aLeaf.key }],
    ['for every use, because it says none', leaf({ uses: [] })],
    ['for both ends', leaf({ uses: [USES.server, USES.client] })],
    ['with many names', leaf({ ips: ['127.0.0.1', '::1', '10.0.0.7'], dns: ['localhost', 'a.test', '*.b.test'] })],
    ['without a common name', leaf({ cn: '', ips: ['127.0.0.1'] })],
    ['with a name of another script', leaf({ cn: '驛 ☕' })],
    ['for thirty years', leaf({ until: 30 * YEAR })],
    ['since a moment ago', leaf({ from: -2_000 })],
    ['with a short serial number', leaf({ serial: '07' })],
    ['with all of its key usages', leaf({ keyUsage: KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment | KeyUsageFlags.keyAgreement })],
    ['with an extension that nobody knows and nobody must', leaf({ more: [new Extension('1.3.6.1.4.1.99999.1', false, Buffer.from([5, 0]))] })],
  ]
  return Promise.all(cases.map(async ([what, shown]): Promise<[string, Shown]> => [what, await shown]))
}

const UNKNOWN = new Extension('1.3.6.1.4.1.99999.1', true, Buffer.from([5, 0]))

/** One bit of a certificate is another one. */
function tampered({ certificate, key }: Made, at: number): Shown {
  const raw = Buffer.from(certificate.raw)
  raw[at] = (raw[at] as number) ^ 1
  return { cert: `-----BEGIN CERTIFICATE-----\n${raw.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`, key }
}

/** Name constraints (RFC 5280 section 4.2.1.10): only what lies under these. */
function permitted(...bases: Buffer[]): Extension {
  return new Extension('2.5.29.30', true, der(0x30, der(0xa0, ...bases.map((base) => der(0x30, base)))))
}

function name(text: string): Buffer {
  return der(0x82, Buffer.from(text))
}

function address(ip: readonly number[], mask: readonly number[]): Buffer {
  return der(0x87, Buffer.from([...ip, ...mask]))
}

function der(tag: number, ...contents: Buffer[]): Buffer {
  const body = Buffer.concat(contents)
  return Buffer.concat([Buffer.from([tag, body.length]), body])
}
