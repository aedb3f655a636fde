import { X509Certificate } from 'node:crypto'
import { attempt } from '../http/tls.ts'

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g

/**
 * The blocks of a PEM file that have this label, in their order. What stands between them is left out.
 * @throws {Error} when there is none, or a block that was begun is not ended: OpenSSL would silently do without the rest
 */
export function blocksOf(text: string, label: RegExp, file: string, what: string): string[] {
  const blocks = [...text.matchAll(BLOCK)]
  if (text.split('-----BEGIN ').length - 1 !== blocks.length) throw new Error(`${file} is not whole: it holds a PEM block that has no end`)
  const found = blocks.filter(([, name]) => label.test(name as string)).map(([block]) => `${block}\n`)
  if (found.length === 0) throw new Error(`${file} holds no PEM ${what}`)
  return found
}

/** @throws {Error} with a sentence that names the file */
export function certificatesOf(text: string, file: string): X509Certificate[] {
  return blocksOf(text, /^(?:X509 )?CERTIFICATE$/, file, 'certificate')
    .map((block, i, { length }) => attempt(() => new X509Certificate(block), `${file}: ${length === 1 ? 'the certificate' : `certificate ${i + 1} of ${length}`} cannot be read`))
}

/** Whose a certificate is, in one line. */
export function nameOf(certificate: X509Certificate): string {
  return certificate.subject?.replaceAll('\n', ', ') || `number ${certificate.serialNumber}`
}

/**
 * The way from a certificate up to a CA, both included, proved signature by signature.
 * @param own the certificate, and those that stand behind it in its file
 * @throws {Error} that says where it ends, or which of it is not of today
 */
export function chainOf(own: readonly X509Certificate[], file: string, authorities: readonly X509Certificate[], authorityFile: string, now: number): X509Certificate[] {
  const chain = [own[0] as X509Certificate]
  for (;;) {
    const at = chain.at(-1) as X509Certificate
    const where = chain.length === 1 ? file : `${file}: ${nameOf(at)}, which it comes from,`
    if (at.validFromDate.getTime() > now) throw new Error(`${where} is not valid before ${at.validFromDate.toISOString()}`)
    if (at.validToDate.getTime() < now) throw new Error(`${where} has expired on ${at.validToDate.toISOString()}`)
    if (isIssuedBy(at, at)) return chain
    // One that was made anew stands beside the old one for a while.
    const issuers = [...own, ...authorities].filter((one) => one.ca && !chain.includes(one) && isIssuedBy(at, one))
    const issuer = issuers.find((one) => one.validFromDate.getTime() <= now && one.validToDate.getTime() >= now) ?? issuers[0]
    if (issuer === undefined) throw new Error(`${where} is not issued by a CA of ${authorityFile}; where it comes from another one, that CA must stand behind it in ${file}`)
    chain.push(issuer)
  }
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
  } catch {
    return false
  }
}
