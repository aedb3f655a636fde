import { randomBytes, type X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AuthorityError } from './error.ts'
import { entryOf, makeFolder, namesIn, readAuthority, readCertificate, readEntries, writeEntries, writeWhole, type Entry } from './folder.ts'
import { issueLeaf, makeAuthority, makeList, readList, serialOf, type Issued, type Kind, type Revoked, type Span } from './issue.ts'
import { locked } from './lock.ts'
import { CA_DAYS, CA_NAME, faultOfName, type LeafWish } from './wish.ts'

const DAY = 86_400_000
/** ms that a certificate holds before it is made: clocks differ. */
const EARLIER = 5 * 60_000
const SERIAL_BYTES = 16

/** Whether files that are there may be written over. */
export type Existing = 'kept' | 'replaced'

/** One certificate, as it is shown. */
export interface Shown extends Omit<Entry, 'kind'> {
  readonly kind: Kind | 'ca'
}

/** The CA of one folder: `ca.pem`, `ca.key`, `crl.pem`, `index.json`, and `NAME.pem` with `NAME.key` for what it has issued. */
export interface Authority {
  /** @throws {AuthorityError} */
  init(wish: { name: string; days: number }, existing: Existing): Promise<string[]>
  /**
   * Issues a certificate; the files that it has written. In a folder that is empty or missing, it makes a CA first.
   * @throws {AuthorityError}
   */
  issue(wish: LeafWish, existing: Existing): Promise<string[]>
  /** Issues another certificate of the same name, kind and names, with a new key, over the old one. @throws {AuthorityError} */
  renew(name: string, days: number): Promise<string[]>
  /** Puts certificates on the list of the revoked: all of a name that have not expired, or one serial number. @throws {AuthorityError} */
  revoke(which: { name: string } | { serial: string }): Promise<readonly Entry[]>
  /** The CA first. @throws {AuthorityError} */
  all(): Promise<Shown[]>
}

/** @param now ms since 1970 */
export function openAuthority(folder: string, now: () => number): Authority {
  const inFolder = <T>(run: () => Promise<T>): Promise<T> => locked(join(folder, '.lock'), run)
  const span = (days: number, end = Infinity): Span => ({ from: now() - EARLIER, until: Math.min(now() + days * DAY, end) })
  const serial = (): string => serialOf(randomBytes(SERIAL_BYTES))

  async function initNow({ name, days }: { name: string; days: number }, existing: Existing): Promise<string[]> {
    const names = ['ca.key', 'crl.pem', 'index.json', 'ca.pem']
    const there = (await namesIn(folder)).find((one) => names.includes(one))
    if (there !== undefined && existing === 'kept') throw new AuthorityError(`${join(folder, there)} is there already; with --force a new CA takes its place, and no certificate of the old one is good any more`)
    const authority = await makeAuthority({ name, serial: serial(), span: span(days) })
    await writeWhole(folder, 'ca.key', authority.key)
    await writeWhole(folder, 'crl.pem', await makeList(authority, { revoked: [], number: 1, span: span(days) }))
    await writeEntries(folder, [])
    // Last: without it there is no CA here.
    await writeWhole(folder, 'ca.pem', authority.cert)
    return ['ca.pem', 'ca.key', 'crl.pem'].map((one) => join(folder, one))
  }
  async function issueNow({ days, ...leaf }: LeafWish, existing: Existing): Promise<string[]> {
    const fault = faultOfName(leaf.name)
    if (fault !== undefined) throw new AuthorityError(`the name ${JSON.stringify(leaf.name)} ${fault}`)
    const authority = await readAuthority(folder)
    const files = [`${leaf.name}.pem`, `${leaf.name}.key`]
    const there = (await namesIn(folder)).find((one) => files.includes(one))
    if (there !== undefined && existing === 'kept') throw new AuthorityError(`${join(folder, there)} is there already; "waystation certs renew" makes a new one of the same, --force another one in its place`)
    const end = authority.certificate.validToDate.getTime()
    if (end <= now()) throw new AuthorityError(`the CA in ${folder} has expired on ${authority.certificate.validToDate.toISOString()}; "waystation certs init" with --force makes a new one`)
    const issued = await issueLeaf(authority, { ...leaf, serial: serial(), span: span(days, end) })
    const entry = entryOf(issued.cert, leaf.name, authority.certificate)
    if (entry === undefined) throw new AuthorityError(`${join(folder, 'ca.key')} is not the key of ca.pem`)
    // First: what is issued can be taken back, whatever happens from here on.
    await writeEntries(folder, [...await readEntries(folder, authority.certificate), entry])
    await writeWhole(folder, `${leaf.name}.key`, issued.key)
    await writeWhole(folder, `${leaf.name}.pem`, issued.cert)
    return files.map((one) => join(folder, one))
  }
  /** Signs the list anew: with what it holds, and what the index knows. */
  async function writeList(authority: Issued & { certificate: X509Certificate }, entries: readonly Entry[]): Promise<void> {
    const file = join(folder, 'crl.pem')
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    const old = text === undefined ? { revoked: [], made: -Infinity, number: 0 } : await readList(authority, text).catch((cause: Error) => {
      throw new AuthorityError(`${file} cannot be used: ${cause.message}; moved away, it is made anew from index.json`, { cause })
    })
    const revoked = new Map<string, Revoked>()
    for (const one of old.revoked) revoked.set(plainSerial(one.serial), one)
    for (const { serial: number, revokedAt } of entries) if (revokedAt !== undefined) revoked.set(plainSerial(number), { serial: number, at: revokedAt })
    const from = Math.max(now() - EARLIER, old.made)
    await writeWhole(folder, 'crl.pem', await makeList(authority, { revoked: [...revoked.values()], number: old.number + 1, span: { from, until: authority.certificate.validToDate.getTime() } }))
  }

  return {
    async init(wish, existing) {
      await makeFolder(folder)
      return inFolder(() => initNow(wish, existing))
    },
    async issue(wish, existing) {
      await makeFolder(folder)
      return inFolder(async () => {
        const names = await namesIn(folder)
        if (names.length > 0 && !names.includes('ca.pem')) throw new AuthorityError(`${folder} holds no CA, but other files; "waystation certs init" makes a CA there, if it is the right folder`)
        const made = names.length > 0 ? [] : await initNow({ name: CA_NAME, days: CA_DAYS }, 'kept')
        return [...made, ...await issueNow(wish, existing)]
      })
    },
    async renew(name, days) {
      return inThere(folder, inFolder, async () => {
        const { certificate } = await readAuthority(folder)
        const of = (await readEntries(folder, certificate)).filter((entry) => entry.name === name)
        const last = of.at(-1)
        if (last === undefined) throw new AuthorityError(`${folder} has no certificate of the name ${name}`)
        if (last.revokedAt !== undefined) throw new AuthorityError(`the certificate of ${name} is revoked; "waystation certs ${last.kind === 'client' ? 'client' : 'server'}" with --force makes another one`)
        return issueNow({ kind: last.kind, name, ips: last.ips, dns: last.dns, days }, 'replaced')
      })
    },
    async revoke(which) {
      return inThere(folder, inFolder, async () => {
        const authority = await readAuthority(folder)
        const entries = await readEntries(folder, authority.certificate)
        const wanted = (entry: Entry): boolean => 'serial' in which ? plainSerial(entry.serial) === plainSerial(which.serial) : entry.name === which.name && entry.until > now()
        if (!entries.some(wanted)) throw new AuthorityError('serial' in which ? `${folder} has no certificate of the number ${which.serial}` : `${folder} has no certificate of the name ${which.name} that is valid today`)
        const next = entries.map((entry) => wanted(entry) && entry.revokedAt === undefined ? { ...entry, revokedAt: now() } : entry)
        await writeEntries(folder, next)
        await writeList(authority, next)
        return next.filter(wanted)
      })
    },
    async all() {
      const { certificate } = await readCertificate(folder)
      const { serialNumber, validFromDate, validToDate, fingerprint256 } = certificate
      const ca: Shown = { serial: serialNumber.toLowerCase(), name: 'ca', kind: 'ca', ips: [], dns: [], from: validFromDate.getTime(), until: validToDate.getTime(), fingerprint: fingerprint256 }
      return [ca, ...await readEntries(folder, certificate)]
    },
  }
}

/** The same, where a folder that is missing is not made. */
async function inThere<T>(folder: string, inFolder: (run: () => Promise<T>) => Promise<T>, run: () => Promise<T>): Promise<T> {
  await readAuthority(folder)
  return inFolder(run)
}

/** Serial numbers are written with zeros before them and colons between, in either case. */
function plainSerial(serial: string): string {
  return serial.toLowerCase().replaceAll(':', '').replace(/^0+(?=.)/, '')
}
