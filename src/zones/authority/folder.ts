import { createPrivateKey, X509Certificate } from 'node:crypto'
import { chmod, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { blocksOf } from '../pem.ts'
import { AuthorityError } from './error.ts'
import { kindOf, type Issued, type Kind } from './issue.ts'

/** What is kept of a certificate that was issued. Nothing of it is secret. */
export interface Entry {
  /** In hexadecimal digits. */
  readonly serial: string
  readonly name: string
  readonly kind: Kind
  readonly ips: readonly string[]
  readonly dns: readonly string[]
  /** ms since 1970. */
  readonly from: number
  readonly until: number
  /** SHA-256 of the certificate, as OpenSSL writes it. */
  readonly fingerprint: string
  /** ms since 1970. */
  readonly revokedAt?: number
}

const INDEX = 'index.json'
const UNFINISHED = /^\..*\.unfinished$/

/** Makes the folder, for its owner alone, where it is missing. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
}

/** What the folder holds, but for what a crash has left behind. Empty when there is no such folder. */
export async function namesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw new AuthorityError(`${folder} cannot be read: ${error.message}`, { cause: error })
  })
  return names.filter((name) => !UNFINISHED.test(name) && !name.startsWith('.lock'))
}

/** Writes a file whole or not at all, over one that is there. A key is for its owner alone. */
export async function writeWhole(folder: string, name: string, text: string): Promise<void> {
  const [file, unfinished] = [join(folder, name), join(folder, `.${name}.unfinished`)]
  const mode = name.endsWith('.key') ? 0o600 : 0o644
  await rm(unfinished, { force: true })
  try {
    await using handle = await open(unfinished, 'wx', mode)
    await handle.writeFile(text)
    await handle.sync()
  } catch (cause) {
    await rm(unfinished, { force: true })
    throw new AuthorityError(`${file} cannot be written: ${(cause as Error).message}`, { cause })
  }
  if (mode === 0o644) await chmod(unfinished, mode)
  await rename(unfinished, file)
}

/** The certificate of the CA of this folder. @throws {AuthorityError} when there is none, or it cannot be used */
export async function readCertificate(folder: string): Promise<{ readonly cert: string; readonly certificate: X509Certificate }> {
  const cert = await readPem(folder, 'ca.pem', '"waystation certs init" makes a CA')
  return { cert, certificate: certificateOf(cert, join(folder, 'ca.pem')) }
}

/** The same with its key, for those who issue. @throws {AuthorityError} when there is none, or it cannot be used */
export async function readAuthority(folder: string): Promise<Issued & { readonly certificate: X509Certificate }> {
  const found = await readCertificate(folder)
  const key = await readPem(folder, 'ca.key', 'bring back the key that belongs to ca.pem; "waystation certs init" with --force makes another CA')
  try {
    createPrivateKey(key)
  } catch (cause) {
    throw new AuthorityError(`${join(folder, 'ca.key')} holds no private key that can be used`, { cause })
  }
  return { ...found, key }
}

/** @param missing what to do where there is no such file */
async function readPem(folder: string, name: string, missing: string): Promise<string> {
  const file = join(folder, name)
  return readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new AuthorityError(cause.code === 'ENOENT' ? `${file} is not there: ${missing}` : `${file} cannot be read: ${cause.message}`, { cause })
  })
}

/** Everything that was issued and is not forgotten: by the index, and by the certificates that lie here. */
export async function readEntries(folder: string, authority: X509Certificate): Promise<Entry[]> {
  const file = join(folder, INDEX)
  const known = parseIndex(await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{"certificates":[]}'
    throw error
  }), file)
  const serials = new Set(known.map(({ serial }) => serial))
  const lying = (await namesIn(folder)).filter((name) => name.endsWith('.pem') && name !== 'ca.pem' && name !== 'crl.pem').toSorted()
  const more: Entry[] = []
  for (const name of lying) {
    const text = await readFile(join(folder, name), 'utf8').catch(() => '')
    const entry = entryOf(text, name.slice(0, -'.pem'.length), authority)
    if (entry !== undefined && !serials.has(entry.serial)) more.push(entry)
  }
  return [...known, ...more]
}

export async function writeEntries(folder: string, entries: readonly Entry[]): Promise<void> {
  await writeWhole(folder, INDEX, `${JSON.stringify({ certificates: entries }, null, 2)}\n`)
}

/** What there is to say of a certificate, when it is one of this CA. */
export function entryOf(text: string, name: string, authority: X509Certificate): Entry | undefined {
  try {
    const certificate = certificateOf(text, name)
    if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey)) return undefined
    const names = (certificate.subjectAltName ?? '').split(', ')
    const of = (prefix: string): string[] => names.filter((one) => one.startsWith(prefix)).map((one) => one.slice(prefix.length))
    return {
      serial: certificate.serialNumber.toLowerCase(), name, kind: kindOf(certificate), ips: of('IP Address:').map(shortIp), dns: of('DNS:'),
      from: certificate.validFromDate.getTime(), until: certificate.validToDate.getTime(), fingerprint: certificate.fingerprint256,
    }
  } catch {
    return undefined
  }
}

/** An IPv6 address as people write it. */
function shortIp(text: string): string {
  return text.includes(':') ? new URL(`http://[${text}]`).hostname.slice(1, -1) : text
}

function certificateOf(text: string, file: string): X509Certificate {
  try {
    return new X509Certificate(blocksOf(text, /^CERTIFICATE$/, file, 'certificate')[0] as string)
  } catch (cause) {
    throw new AuthorityError(`${file} holds no certificate that can be read`, { cause })
  }
}

/** A list that is not understood must not become an empty one: whoever is revoked stands in it. */
function parseIndex(text: string, file: string): Entry[] {
  try {
    const { certificates } = JSON.parse(text) as { certificates: Entry[] }
    if (certificates.every((entry) => /^[0-9a-f]+$/.test(entry.serial) && typeof entry.name === 'string' && Array.isArray(entry.ips) && Array.isArray(entry.dns) && Number.isFinite(entry.until))) return certificates
  } catch {
    // Said below.
  }
  throw new AuthorityError(`${file} cannot be understood; moved away, it is made anew from the certificates that lie beside it`)
}
