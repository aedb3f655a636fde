import type { X509Certificate } from 'node:crypto'
import type { Duplex } from 'node:stream'

/** Where the three files are, and the fourth that may stand beside them. The same names everywhere. */
export interface TlsFiles {
  /** Who the peer's certificate must come from: only these, never the system's. */
  readonly cacertfile: string
  /** The own certificate, with the chain up to the CA behind it. */
  readonly certfile: string
  readonly keyfile: string
  /** Certificates that are let in no more. */
  readonly crlfile?: string | undefined
}

/** The newest usable contents of these files. They are watched: see `openCredentials`. */
export interface Credentials {
  /** For `tls.createServer`, `setSecureContext` and `tls.connect`: CA, certificate, key, list of the revoked, versions. */
  readonly context: { readonly ca: string; readonly cert: string; readonly key: string; readonly crl?: string[]; readonly minVersion: 'TLSv1.2' }
  /** Whether this certificate is on the list, or one above it that the peer has shown or that is known. Asked at each connection, resumed sessions included, and of live ones at each change. */
  isRevoked(certificate: X509Certificate): boolean
  /** Called after each change. Gives what takes it back. */
  onChange(listener: () => void): () => void
  stop(): void
}

/** Why a connection could not be made, for logs and for the choice of what to do next. */
export interface DialError {
  readonly kind: 'refused' | 'unreachable' | 'tls' | 'timeout'
  readonly detail: string
}

/** A connection to a daemon, its handshake done. */
export interface Dialled {
  readonly stream: Duplex
  /** By what the peer may be known again when it comes as a taker: `cn:…`, `dns:…`, `ip:…`. */
  readonly names: readonly string[]
  /** IP address of the peer. */
  readonly address: string
  /** Common names, DNS names and IP addresses of its certificate; empty over plain TCP. */
  readonly certificateNames: readonly string[]
}

/** Connects and shakes hands. Rejects with a `ZoneDialError`. Aborting destroys what there is. */
export type Dial = (signal: AbortSignal) => Promise<Dialled>
