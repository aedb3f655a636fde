import { constants, type X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, TLSSocket } from 'node:tls'
import { bareAddress } from './names.ts'
import type { Credentials } from './ports.ts'

/** The certificate of somebody who has shown that it is his, and that it comes from the CA. */
export type Proved = X509Certificate

/** Why somebody was not let in. */
export type GateRefusal =
  | 'handshake'
  /** So many others are on their way through. */
  | 'too_many_handshakes'
  /** None, or not from this CA, or not of today. */
  | 'certificate'
  | 'revoked'
  /** It is not for the address that he comes from. */
  | 'address'

/** The TLS handshakes of a daemon (`pony-express.md`, section 9). */
export interface Gate {
  /** Those on their way through. */
  readonly entering: number
  /** `address` is where the connection comes from. */
  enter(socket: Socket, address: string): void
  /** Whether somebody who was let in would not be now. */
  isRevoked(socket: Socket): boolean
  /** Whoever has not come through by now does not. */
  close(): void
}

/** No session is resumed and none renegotiated: whoever comes in has shown his certificate, and only that one. */
const SECURE_OPTIONS = constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION

export function createGate(parts: {
  credentials: Credentials
  matchAddress: 'unchecked' | 'checked'
  /** ms for a handshake. */
  timeout: number
  welcome(socket: Socket, address: string, certificate: Proved): void
  /** @param detail what the TLS library said */
  refused(why: GateRefusal, address: string, certificate?: Proved, detail?: string): void
  /** The certificates or the list of the revoked have changed. */
  changed(): void
}): Gate {
  const { credentials, matchAddress, timeout, welcome, refused, changed } = parts
  /** Those on their way through, by where they come from. */
  const entering = new Map<string, { readonly socket: Socket; readonly address: string }>()
  const cameFrom = new WeakMap<Socket, string>()
  const keyOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`

  const server = createServer({
    ...credentials.context,
    secureOptions: SECURE_OPTIONS,
    requestCert: true,
    rejectUnauthorized: true,
    handshakeTimeout: timeout,
  })
  server.on('secureConnection', (tls) => {
    const key = keyOf(tls)
    const address = entering.get(key)?.address
    entering.delete(key)
    tls.on('error', () => {})
    const certificate = tls.getPeerX509Certificate()
    const why = address === undefined || certificate === undefined ? 'certificate' : fault(tls, certificate, address)
    if (why === undefined) return welcome(tls, address as string, certificate as Proved)
    refused(why, address ?? '', certificate)
    tls.destroySoon()
  })
  server.on('tlsClientError', (error: NodeJS.ErrnoException, tls) => {
    const showedNone = error.code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE'
    const fault = (tls.authorizationError ?? undefined) as string | Error | undefined
    // It has no address any more. The connection below it is in `_parent`, which Node does not document: without it nobody is named.
    const address = cameFrom.get((tls as { _parent?: Socket })._parent ?? tls)
    refused(showedNone || fault !== undefined ? 'certificate' : 'handshake', address ?? '', undefined, String(fault ?? (error as { reason?: string }).reason ?? error.code ?? error.message))
    // Node leaves it open, after its time, too.
    tls.destroy()
  })
  const unwatch = credentials.onChange(() => {
    server.setSecureContext({ ...credentials.context, secureOptions: SECURE_OPTIONS })
    changed()
  })

  function fault(tls: TLSSocket, certificate: X509Certificate, address: string): GateRefusal | undefined {
    // A resumed session brings no certificate that was proved today. None should be possible here.
    if (!tls.authorized || tls.isSessionReused()) return 'certificate'
    if (credentials.isRevoked(certificate)) return 'revoked'
    if (matchAddress === 'checked' && certificate.checkIP(bareAddress(address.replace(/%.*$/, ''))) === undefined) return 'address'
    return undefined
  }

  return {
    get entering() { return entering.size },
    enter(socket, address) {
      const key = keyOf(socket)
      entering.set(key, { socket, address })
      cameFrom.set(socket, address)
      socket.once('close', () => {
        if (entering.get(key)?.socket === socket) entering.delete(key)
      })
      server.emit('connection', socket)
    },
    isRevoked(socket) {
      const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
      return certificate === undefined || credentials.isRevoked(certificate)
    },
    close() {
      unwatch()
      for (const { socket } of entering.values()) socket.destroy()
      entering.clear()
    },
  }
}
