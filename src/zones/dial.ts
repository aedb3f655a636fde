import { X509Certificate } from 'node:crypto'
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls'
import { ZoneDialError } from './dial-error.ts'
import { bareAddress, carriedNames, certificateNames, namesOf } from './names.ts'
import type { Credentials, Dial, Dialled } from './ports.ts'

/** How a daemon is reached. */
export interface DialParts {
  /** Host name or IP address. */
  readonly server: string
  readonly port: number
  /** ms for connecting and the handshake together. */
  readonly timeout: number
  readonly security:
    | { readonly kind: 'tcp' }
    | {
        readonly kind: 'tls'
        readonly credentials: Credentials
        /** The DNS name that the certificate must have, where it is not what is connected to. */
        readonly servername?: string
        /**
         * What makes the daemon the right one where no name is stated. `asked`, as for links, where it is not said either: what is
         * connected to stands in its certificate. `asked or peer`, as for services: or else the IP address that has answered does,
         * which is all that an original looks for (`erps.md`, 10.3).
         */
        readonly identity?: 'asked' | 'asked or peer'
      }
}

/** ms of silence after which the system looks whether the other end is still there. */
const PROBE_AFTER = 30_000

/**
 * Connects to a daemon, and over TLS shakes hands at once (`pony-express.md`, section 9): with the own certificate, and
 * against the given CA alone. An IP address must stand in the daemon's certificate as one, and goes with no server name; a
 * name must stand in it as a DNS name; see `identity` for services. The files are those of the moment. A connection whose
 * peer is revoked later is ended.
 *
 * It rejects with a `ZoneDialError` that says what an operator can do about it.
 */
export function createDial(parts: DialParts): Dial {
  const { server, port, timeout, security } = parts

  return (signal) => new Promise<Dialled>((resolve, reject) => {
    signal.throwIfAborted()
    const tcp = connect({ host: server, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: PROBE_AFTER })
    let stream: Socket = tcp
    let doing = 'connecting'
    const timer = setTimeout(() => fail(new ZoneDialError('timeout', `${doing} took longer than ${timeout} ms`)), timeout)
    const abort = (): void => fail(signal.reason as Error)
    signal.addEventListener('abort', abort, { once: true })

    function settle(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    }
    function fail(error: Error): void {
      settle()
      stream.destroy()
      tcp.destroy()
      reject(error)
    }
    function succeed(certificate: X509Certificate | undefined): void {
      settle()
      const address = bareAddress(tcp.remoteAddress ?? '')
      resolve({ stream, address, names: carriedNames(namesOf({ address, certificate })), certificateNames: certificate === undefined ? [] : certificateNames(certificate) })
    }

    // Errors that come later are the connection's; here they must only not be nobody's.
    tcp.on('error', (error: NodeJS.ErrnoException) => fail(new ZoneDialError(error.code === 'ECONNREFUSED' ? 'refused' : 'unreachable', textOf(error), error)))
    tcp.once('connect', () => {
      if (security.kind === 'tcp') return succeed(undefined)
      doing = 'the TLS handshake'
      try {
        const tls = (stream = shakeHands(tcp, server, security))
        tls.on('error', (error) => fail(new ZoneDialError('tls', textOf(error), error)))
        tls.once('secureConnect', () => {
          const revoked = watchRevocation(tls, security.credentials)
          if (revoked !== undefined) fail(new ZoneDialError('tls', revoked))
          else succeed(tls.getPeerX509Certificate())
        })
      } catch (error) {
        fail(new ZoneDialError('tls', textOf(error as Error), error))
      }
    })
  })
}

function shakeHands(socket: Socket, server: string, { credentials, servername, identity = 'asked' }: DialParts['security'] & { kind: 'tls' }): TLSSocket {
  const name = (servername ?? server).replace(/\.$/, '')
  const peer = servername === undefined && identity === 'asked or peer' ? bareAddress(socket.remoteAddress ?? '') : ''
  return connectTls({
    ...credentials.context,
    socket,
    rejectUnauthorized: true,
    // No address is a server name (RFC 6066).
    ...(isIP(name) === 0 && { servername: name }),
    checkServerIdentity(_host: string, { raw }: PeerCertificate) {
      const certificate = new X509Certificate(raw)
      const fault = identityFault(certificate, name, servername === undefined ? 'address' : 'name')
      return fault !== undefined && isIP(peer) !== 0 && certificate.checkIP(peer) !== undefined ? undefined : fault
    },
  })
}

/** @param as what an IP address must stand in the certificate as: certificates of PonyExpress' own tests have it as a DNS name */
function identityFault(certificate: X509Certificate, wanted: string, as: 'address' | 'name'): Error | undefined {
  const isAddress = isIP(wanted) !== 0
  const has = isAddress && as === 'address'
    ? certificate.checkIP(wanted.replace(/%.*$/, ''))
    : certificate.checkHost(wanted, { subject: 'never', wildcards: !isAddress, partialWildcards: false })
  if (has !== undefined) return undefined
  const what = isAddress && as === 'address' ? `the IP address ${wanted}` : `the DNS name ${wanted}`
  return new Error(`the certificate of the daemon has not ${what}: it is for ${certificate.subjectAltName ?? 'no name at all'}`)
}

/** Whether the peer is on the list now, in words; if not, the connection is ended when it is later. */
function watchRevocation(tls: TLSSocket, credentials: Credentials): string | undefined {
  const certificate = tls.getPeerX509Certificate()
  const fault = (): string | undefined => (certificate !== undefined && credentials.isRevoked(certificate) ? 'the certificate of the daemon is revoked' : undefined)
  const now = fault()
  if (now !== undefined) return now
  const unwatch = credentials.onChange(() => {
    const why = fault()
    if (why !== undefined) tls.destroy(new Error(why))
  })
  tls.once('close', unwatch)
  return undefined
}

const noTls = (text: string): string => `what answers there does not speak TLS (${text})`
const foreign = (text: string): string => `the certificate of the daemon does not come from a CA of cacertfile: ${text}`
/** What OpenSSL says so that only its users understand it. */
const MEANINGS: Readonly<Record<string, (text: string) => string>> = {
  ERR_SSL_WRONG_VERSION_NUMBER: noTls, ERR_SSL_PACKET_LENGTH_TOO_LONG: noTls,
  SELF_SIGNED_CERT_IN_CHAIN: foreign, DEPTH_ZERO_SELF_SIGNED_CERT: foreign, UNABLE_TO_GET_ISSUER_CERT_LOCALLY: foreign, UNABLE_TO_VERIFY_LEAF_SIGNATURE: foreign,
}

/** A name with several addresses fails once for each. */
function textOf(error: Error): string {
  const all = error instanceof AggregateError ? (error.errors as Error[]) : [error]
  // OpenSSL puts numbers and names of its files around the reason, and Node the advice to trust the system's CAs.
  return all.map((one) => {
    const text = (one as { reason?: string }).reason ?? one.message.replace(/; if the root CA is installed locally.*$/s, '')
    return MEANINGS[(one as NodeJS.ErrnoException).code ?? '']?.(text) ?? text
  }).join('; ')
}
