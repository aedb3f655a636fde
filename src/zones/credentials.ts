import { createPrivateKey, type X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { WaystationError } from '../core/errors.ts'
import type { Clock } from '../core/ports.ts'
import { realClock } from '../http/real-world.ts'
import { attempt, readText } from '../http/tls.ts'
import { watchContents } from '../http/watch.ts'
import { certificatesOf, chainOf, nameOf } from './pem.ts'
import type { Credentials, TlsFiles } from './ports.ts'
import { readRevocation, type Revocation } from './revocation.ts'

const DAY = 86_400_000
/** ms before a certificate expires from which on it is told. */
const SOON = 7 * DAY

interface Texts {
  readonly ca: string
  readonly cert: string
  readonly key: string
  readonly crl: string | undefined
}

/** Texts that were proved to fit together. */
interface Proved {
  readonly texts: Texts
  readonly context: Credentials['context']
  /** The own certificate and those above it. */
  readonly chain: readonly X509Certificate[]
  readonly authorities: readonly X509Certificate[]
  /** What stands between one of them and the own certificate. */
  readonly between: readonly X509Certificate[]
  readonly revocation: Revocation | undefined
}

/** What the own certificate must be good for. */
export type Side = 'daemon' | 'client' | 'any'

/** Credentials that can be told to look at their files now. */
export interface WatchedCredentials extends Credentials {
  reload(): Promise<void>
}

/**
 * Reads the files of one end of a link, proves that they fit together, and watches them: each second their contents are
 * compared. A change that can be used is a new `context`; of one that cannot, all files keep what they had, except for a
 * new list of revoked certificates, which counts by itself wherever it is good.
 *
 * A list that is out of date (its nextUpdate has passed) is used, and OpenSSL then refuses every newcomer: fail closed.
 *
 * @param parts.side which end this is; with `any`, the default, nobody asks what the own certificate is for
 * @param parts.reloaded called after each change that is used
 * @param parts.alarm called once for each state of the files that cannot be used; and once a day for a certificate that has
 *   seven days left or none, for a list that is out of date, and for an own certificate that is on it
 * @throws {WaystationError} `config_invalid`, naming the file at fault
 */
export async function openCredentials(files: TlsFiles, parts: { side?: Side; clock?: Pick<Clock, 'now'>; reloaded(): void; alarm(error: Error): void }): Promise<WatchedCredentials> {
  const { side = 'any', clock = realClock, reloaded, alarm } = parts
  const first = await read(files)
    .then((texts) => prove(texts, files, side, clock.now()))
    .catch((cause: Error) => { throw new WaystationError('config_invalid', cause.message, cause) })
  let current = first
  const listeners = new Set<() => void>()
  /** When each worry was told last. */
  const told = new Map<string, number>()

  function use(next: Proved): void {
    current = next
    reloaded()
    for (const listener of listeners) listener()
  }
  async function take(texts: Texts): Promise<void> {
    const next = await prove(texts, files, side, clock.now()).catch((error: Error) => error)
    if (!(next instanceof Error)) {
      if (isOlder(next.revocation, current.revocation)) throw new Error(`${files.crlfile} is older than the list in use, and would let in again whom that one keeps out`)
      return markOf(next.texts) === markOf(current.texts) ? undefined : use(next)
    }
    // Whoever takes back a certificate while the others are being replaced must not wait for them.
    if (texts.crl !== undefined && texts.crl !== current.texts.crl) {
      const alone = await withList(current, texts.crl, files).catch(() => undefined)
      if (alone !== undefined && !isOlder(alone.revocation, current.revocation)) use(alone)
    }
    throw next
  }
  function worry(): void {
    const now = clock.now()
    for (const text of worriesOf(current, files, now)) {
      if (now - (told.get(text) ?? -Infinity) < DAY) continue
      told.set(text, now)
      alarm(new Error(text))
    }
  }

  worry()
  const watch = watchContents({
    read: () => read(files),
    markOf,
    first: markOf(first.texts),
    take,
    error: alarm,
    looked: worry,
  })
  return {
    get context() { return current.context },
    isRevoked: (certificate) => current.revocation?.isRevoked(certificate) ?? false,
    onChange(listener) {
      const own = (): void => listener()
      listeners.add(own)
      return () => void listeners.delete(own)
    },
    reload: watch.reload,
    stop() {
      watch.stop()
      listeners.clear()
    },
  }
}

async function read({ cacertfile, certfile, keyfile, crlfile }: TlsFiles): Promise<Texts> {
  const [ca, cert, key, crl] = await Promise.all([readText(cacertfile), readText(certfile), readText(keyfile), crlfile === undefined ? undefined : readText(crlfile)])
  return { ca, cert, key, crl }
}

function markOf({ ca, cert, key, crl = '' }: Texts): string {
  return [ca, cert, key, crl].join('\0')
}

/** @throws {Error} with a sentence that names the file at fault */
async function prove(texts: Texts, files: TlsFiles, side: Side, now: number): Promise<Proved> {
  const { cacertfile, certfile, keyfile } = files
  const authorities = certificatesOf(texts.ca, cacertfile)
  const own = certificatesOf(texts.cert, certfile)
  if (/^-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED/m.test(texts.key)) throw new Error(`${keyfile} is encrypted; a key without a passphrase is needed`)
  const privateKey = attempt(() => createPrivateKey(texts.key), `${keyfile} holds no usable private key`)
  if (own[0]?.checkPrivateKey(privateKey) !== true) throw new Error(`${keyfile} is not the key of ${certfile}`)
  const chain = chainOf(own, certfile, authorities, cacertfile, now)
  const wanted = { daemon: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2', any: undefined }[side]
  // Without this extension it may be used for everything.
  if (wanted !== undefined && own[0].keyUsage?.includes(wanted) === false) throw new Error(`${certfile} is not a certificate for a ${side === 'daemon' ? 'server' : 'client'}: its extended key usage says otherwise; "waystation certs server --both" makes one that is for both`)
  const context: Credentials['context'] = {
    ca: authorities.map((one) => one.toString()).join(''),
    cert: own.map((one) => one.toString()).join(''),
    key: texts.key,
    minVersion: 'TLSv1.2',
  }
  try {
    createSecureContext(context)
  } catch (cause) {
    throw new Error(`${certfile} cannot be used with ${cacertfile}: ${(cause as Error).message}`, { cause })
  }
  const proved: Proved = { texts, context, chain, authorities, between: own.slice(1), revocation: undefined }
  return texts.crl === undefined ? proved : withList(proved, texts.crl, files)
}

/** The same with another list. @throws {Error} with a sentence that names the file */
async function withList(proved: Proved, crl: string, { crlfile = '', cacertfile }: TlsFiles): Promise<Proved> {
  const revocation = await readRevocation(crl, crlfile, proved, cacertfile)
  const context = { ...proved.context, crl: [...revocation.lists] }
  attempt(() => createSecureContext(context), `${crlfile} holds a list that cannot be used`)
  return { ...proved, texts: { ...proved.texts, crl }, context, revocation }
}

/** Whether an old list was put back, by mistake or by somebody. */
function isOlder(next: Revocation | undefined, current: Revocation | undefined): boolean {
  return [...(next?.times ?? [])].some(([authority, { made }]) => made < (current?.times.get(authority)?.made ?? -Infinity))
}

function worriesOf({ chain, revocation }: Proved, { certfile, crlfile }: TlsFiles, now: number): string[] {
  const expiring = chain.filter(({ validToDate }) => validToDate.getTime() - now < SOON).map((one, i) => {
    const what = i === 0 && one === chain[0] ? certfile : `${certfile}: ${nameOf(one)}, which it comes from,`
    return `${what} ${one.validToDate.getTime() < now ? 'has expired' : 'expires'} on ${one.validToDate.toISOString()}`
  })
  const outdated = [...(revocation?.times ?? [])].filter(([, { until }]) => until !== undefined && until < now).map(([authority, { until }]) =>
    `${crlfile} is out of date: the list of ${authority.replaceAll('\n', ', ')} held until ${new Date(until as number).toISOString()}, and nobody is let in before there is a newer one`)
  const own = chain[0] !== undefined && revocation?.isRevoked(chain[0]) === true ? [`${certfile} is revoked by ${crlfile}: the other ends refuse it where they know`] : []
  return [...expiring, ...outdated, ...own]
}
