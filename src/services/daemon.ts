import { createServer, type Server, type Socket } from 'node:net'
import { WaystationError } from '../core/errors.ts'
import type { Limits } from '../core/limits.ts'
import type { Clock, RandomBytes } from '../core/ports.ts'
import { isLoopback } from '../http/address.ts'
import type { Admission, Refusal } from '../http/admission.ts'
import { createBodyAccount } from '../http/body-account.ts'
import { listen } from '../http/listen.ts'
import { directAddress } from '../http/peer.ts'
import type { Judgement } from '../protocol/erps/judge.ts'
import type { Work } from '../protocol/erps/messages.ts'
import type { DecodeOptions } from '../protocol/etf/decode.ts'
import { createGate, type Gate, type GateRefusal, type Proved } from '../zones/gate.ts'
import { bareAddress, certificateNames, namesInside } from '../zones/names.ts'
import type { Credentials } from '../zones/ports.ts'
import type { Answering, Caller, Connection, Ending, Peer } from './ports.ts'
import { createReception, type WorkerEvents } from './reception.ts'
import type { SigningOptions } from './signing.ts'
import { GAPS_TO_CLIENTS } from './originals.ts'

export type { WorkerEvents } from './reception.ts'

export interface ServiceDaemonEvents {
  /** Somebody was not let in, or was sent away because of what he did. */
  refused(why: Refusal | GateRefusal | Ending, who: { readonly address: string; readonly names: readonly string[]; readonly detail?: string }): void
  /** An error that should not have been: one connection was ended with it. */
  failed(error: unknown): void
}

export interface ServiceDaemonParts {
  readonly clock: Clock
  readonly limits: Limits
  readonly randomBytes: RandomBytes
  readonly listen: { readonly port: number; readonly host?: string }
  readonly security:
    | { readonly kind: 'tls'; readonly credentials: Credentials; readonly matchAddress: 'unchecked' | 'checked' }
    | { readonly kind: 'tcp' }
  /** Connections that may be here, counted from before the handshake. */
  readonly admission: Admission
  /** What packets must bear (`erps.md`, section 6). */
  readonly judgement: Omit<Judgement, 'signed'>
  readonly signing: SigningOptions | undefined
  readonly decode: DecodeOptions
  /** ms between two packets to an original; what is safe where it is not stated (5.1). */
  readonly packetGap: number | undefined
  /** What answers on a connection that has just been made. */
  readonly answering: (connection: Connection) => Answering
  /** Somebody offers work; without it nobody may. `undefined`: not this one. */
  readonly worked?: (caller: Caller, work: Work, connection: Connection) => WorkerEvents | undefined
  readonly events: ServiceDaemonEvents
}

/** What callers, and workers, connect to. */
export interface ServiceDaemon {
  readonly port: number
  readonly connections: number
  /** @throws {WaystationError} `listen_failed` */
  start(): Promise<void>
  /** Lets nobody in any more, and ends each connection when its calls are answered; at once where the deadline aborts. */
  stop(deadline: AbortSignal): Promise<void>
}

/** ms of silence after which the system looks whether the other end is still there. */
const PROBE_AFTER = 30_000

/** The accepting end of services: Erps' daemon (`erps.md`, section 8). Every connection is on its own. */
export function createServiceDaemon(parts: ServiceDaemonParts): ServiceDaemon {
  const { limits, security, admission, events } = parts
  /** Those included that shake hands, and those that were sent away and may still read why. */
  const open = new Set<Socket>()
  const reception = createReception({
    ...parts,
    // The largest packet must always find room, and that of another address beside it.
    unfinished: createBodyAccount(Math.max(limits.maxUnfinishedBytes, 2 * limits.maxPacketBytes), Math.max(limits.maxUnfinishedBytes / 8, limits.maxPacketBytes)),
    brake: { gap: parts.packetGap ?? GAPS_TO_CLIENTS[security.kind], calls: 'many' },
    refused: (why, { address, names }, detail) => events.refused(why, { address, names, detail }),
    failed: events.failed,
  })
  let server: Server | undefined
  let gate: Gate | undefined

  function accept(socket: Socket): void {
    const address = directAddress(socket)
    const isCrowded = gate !== undefined && gate.entering >= limits.maxServiceHandshakes
    const place = address === 'gone' ? 'gone' : isCrowded ? 'too_many_handshakes' : admission.admit(address)
    if (typeof place === 'string') {
      if (place !== 'gone') events.refused(place, { address, names: [] })
      return void socket.destroy()
    }
    admission.seen?.(socket)
    socket.on('error', () => {})
    open.add(socket)
    socket.once('close', () => {
      open.delete(socket)
      place()
    })
    if (gate === undefined) welcome(socket, address, undefined)
    else gate.enter(socket, address)
  }

  function welcome(socket: Socket, address: string, certificate: Proved | undefined): void {
    reception.receive(socket, peerOf(address, certificate))
  }

  return {
    get port() {
      const bound = server?.address()
      return typeof bound === 'object' && bound !== null ? bound.port : 0
    },
    get connections() { return reception.connections },
    async start() {
      gate = security.kind === 'tcp' ? undefined : createGate({
        ...security,
        timeout: limits.serviceHandshakeTimeout,
        welcome,
        refused(why, address, certificate, detail) {
          const { address: from, names } = peerOf(address, certificate)
          events.refused(why, { address: from, names, ...(detail !== undefined && { detail }) })
        },
        changed: () => reception.revoke((stream) => gate?.isRevoked(stream as Socket) === true),
      })
      server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: PROBE_AFTER }, accept)
      const { port, host } = parts.listen
      await listen(server, { port, host }).catch((error: Error) => {
        gate?.close()
        throw new WaystationError('listen_failed', `services: ${error.message.replace('another --addr', 'another port')}`, error)
      })
    },
    async stop(deadline) {
      server?.close()
      gate?.close()
      await reception.stop(deadline)
      for (const socket of open) socket.destroy()
    },
  }
}

function peerOf(address: string, certificate: Proved | undefined): Peer {
  return {
    address: bareAddress(address),
    local: isLoopback(address),
    names: certificate === undefined ? [] : namesInside(certificate).map(({ kind, text }) => `${kind}:${kind === 'dns' ? text.toLowerCase() : text}`),
    certificateNames: certificate === undefined ? [] : certificateNames(certificate),
  }
}
