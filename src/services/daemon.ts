import { createServer, type Server, type Socket } from 'node:net'
import { WaystationError } from '../core/errors.ts'
import type { Limits } from '../core/limits.ts'
import type { Clock, RandomBytes } from '../core/ports.ts'
import { createWheel } from '../core/wheel.ts'
import { isLoopback } from '../http/address.ts'
import type { Admission, Refusal } from '../http/admission.ts'
import { listen } from '../http/listen.ts'
import { directAddress } from '../http/peer.ts'
import { judge, type Judgement } from '../protocol/erps/judge.ts'
import type { Sender, Work } from '../protocol/erps/messages.ts'
import { TERM, writeText } from '../protocol/erps/payload.ts'
import type { DecodeOptions } from '../protocol/etf/decode.ts'
import { createGate, type Gate, type GateRefusal, type Proved } from '../zones/gate.ts'
import { bareAddress, certificateNames, namesInside } from '../zones/names.ts'
import type { Credentials } from '../zones/ports.ts'
import { createAnswerer, type Answerer } from './answerer.ts'
import { createCaller } from './caller.ts'
import { openConnection } from './connection.ts'
import { aborted } from './local-caller.ts'
import type { Answering, Caller, Connection, Ending, Peer } from './ports.ts'
import type { SigningOptions } from './signing.ts'

export interface ServiceDaemonEvents {
  /** Somebody was not let in, or was sent away because of what he did. */
  refused(why: Refusal | GateRefusal | Ending, who: { readonly address: string; readonly names: readonly string[]; readonly detail?: string }): void
  /** An error that should not have been: one connection was ended with it. */
  failed(error: unknown): void
}

/** What a daemon tells of a worker that has connected. */
export interface WorkerEvents {
  /** It takes no more; what it has it still answers. */
  draining(): void
  /** It is gone. Told before its calls are, so that none of them goes to it again. */
  ended(why: Ending, detail: string): void
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
/** ms between two packets to an original: it takes one in 100, and over TCP what comes between is lost (`erps.md`, 5.1). */
const SAFE_GAPS = { tcp: 120, tls: 10 } as const
/** ms: how late an end of a call may be told. */
const TICK = 50
/** Whatever they declare, originals that answer say nothing of themselves (2.4). */
const NOBODY: Sender = { version: { major: 0, minor: 0, patch: 0 }, identifier: Buffer.alloc(0) }
/** ms that a worker has to read that it is not wanted. */
const REFUSED_MS = 1_000
/** Ends that are nobody's fault. */
const QUIET: ReadonlySet<Ending> = new Set(['lost', 'stopped'])

interface Here {
  readonly connection: Connection
  readonly isWorker: () => boolean
  readonly drain: () => Promise<void>
}

/** The accepting end of services: Erps' daemon (`erps.md`, section 8). Every connection is on its own. */
export function createServiceDaemon(parts: ServiceDaemonParts): ServiceDaemon {
  const { clock, limits, security, admission, events } = parts
  const wheel = createWheel(clock, TICK)
  const here = new Map<Socket, Here>()
  /** Those included that shake hands, and those that were sent away and may still read why. */
  const open = new Set<Socket>()
  const brake = { gap: parts.packetGap ?? SAFE_GAPS[security.kind], calls: 'many' } as const
  const judgement: Judgement = { ...parts.judgement, signed: parts.signing === undefined ? 'refused' : 'required' }
  let server: Server | undefined
  let gate: Gate | undefined
  let isStopping = false

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
    if (isStopping) return void socket.destroy()
    const peer = peerOf(address, certificate)
    let answerer: Answerer | undefined
    let ended = (): void => {}
    let worker: { readonly caller: ReturnType<typeof createCaller>; readonly events: WorkerEvents } | undefined

    const connection: Connection = openConnection({
      stream: socket, peer, brake, clock, limits,
      role: 'acceptor',
      sender: NOBODY,
      judge: (packet) => judge(packet, judgement),
      decode: parts.decode,
      randomBytes: parts.randomBytes,
      ...(parts.signing !== undefined && { signing: parts.signing }),
    }, {
      packet(packet, extension) {
        if (worker === undefined) return answerer?.packet(packet, extension)
        if (extension?.kind === 'drain') worker.events.draining()
        else worker.caller.packet(packet, extension)
      },
      shown(work) {
        if (work !== undefined) employ(work)
      },
      ended(why, detail) {
        here.delete(socket)
        if (!QUIET.has(why)) events.refused(why, { address: peer.address, names: peer.names, detail })
        worker?.events.ended(why, detail)
        worker?.caller.ended(why, detail)
        ended = () => answerer?.ended(why, detail)
        ended()
      },
    })

    function employ(work: Work): void {
      if (answerer === undefined || answerer.pending > 0) return connection.drop('bad_packet', 'it has called before it offered work')
      const caller = createCaller(connection, { clock, limits })
      const told = parts.worked?.(caller, work, connection)
      if (told === undefined) return turnAway(work)
      worker = { caller, events: told }
    }

    /** It hears why, so that it does not come back at once. */
    function turnAway({ service }: Work): void {
      events.refused('refused', { address: peer.address, names: peer.names, detail: `it offers work for ${service}, which is not taken here` })
      connection.send('error', [TERM, writeText('forbidden')])
      void connection.close(AbortSignal.timeout(REFUSED_MS))
    }

    here.set(socket, { connection, isWorker: () => worker !== undefined, drain: () => answerer?.drain() ?? Promise.resolve() })
    try {
      answerer = createAnswerer(connection, parts.answering(connection), { limits, wheel })
      // The program may have ended it before there was anybody to be told.
      ended()
    } catch (error) {
      events.failed(error)
      connection.drop('failed', 'the program has failed')
    }
  }

  return {
    get port() {
      const bound = server?.address()
      return typeof bound === 'object' && bound !== null ? bound.port : 0
    },
    get connections() { return here.size },
    async start() {
      gate = security.kind === 'tcp' ? undefined : createGate({
        ...security,
        timeout: limits.serviceHandshakeTimeout,
        welcome,
        refused(why, address, certificate, detail) {
          const { address: from, names } = peerOf(address, certificate)
          events.refused(why, { address: from, names, ...(detail !== undefined && { detail }) })
        },
        changed() {
          for (const [socket, { connection }] of here) if (gate?.isRevoked(socket) === true) connection.drop('revoked', 'its certificate is revoked')
        },
      })
      server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: PROBE_AFTER }, accept)
      const { port, host } = parts.listen
      await listen(server, { port, host }).catch((error: Error) => {
        gate?.close()
        throw new WaystationError('listen_failed', `services: ${error.message.replace('another --addr', 'another port')}`, error)
      })
    },
    async stop(deadline) {
      isStopping = true
      server?.close()
      gate?.close()
      const all = [...here.values()]
      const end = async ({ connection, drain }: Here): Promise<void> => {
        await Promise.race([drain(), aborted(deadline)])
        await connection.close(deadline)
      }
      await Promise.all(all.filter((one) => !one.isWorker()).map(end))
      // Until now they were needed for the calls of the others.
      await Promise.all(all.filter((one) => one.isWorker()).map(end))
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
