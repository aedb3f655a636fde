import { createServer, type Server, type Socket } from 'node:net'
import { WaystationError } from '../core/errors.ts'
import { createFanOuts } from '../core/fan-outs.ts'
import type { HubPort, Transport } from '../core/ports.ts'
import type { TransportKit } from '../core/transport-kit.ts'
import { isLoopback } from '../http/address.ts'
import type { Admission, Refusal } from '../http/admission.ts'
import { sayGoodbye } from '../http/goodbye.ts'
import { listen } from '../http/listen.ts'
import { directAddress } from '../http/peer.ts'
import { createPlainEncoder } from './encoders.ts'
import { createGrants, type Grant } from './grants.ts'
import { certificateNames, namesOf } from '../zones/names.ts'
import type { Credentials } from '../zones/ports.ts'
import { createGate, type Gate, type GateRefusal, type Proved } from '../zones/gate.ts'
import { createTaker, type Giving } from './taker.ts'
import { TakerConnection, type Farewell } from './taker-connection.ts'
import { createWishGroups } from './wish-groups.ts'

export interface LinkDaemonEvents {
  /** Somebody was not let in, or was sent away because of what he did. */
  refused(why: Refusal | GateRefusal | Farewell, who: { readonly address: string; readonly names: readonly string[]; readonly detail?: string }): void
  /** Somebody is here, and gets something. `names` are those that he may be known again by. */
  taken?(address: string, names: readonly string[]): void
  /** Somebody whose certificate was good gets nothing more, or never got anything. */
  ended?(address: string, why: Farewell, names: readonly string[], got: 'something' | 'nothing'): void
  /** An error that should not have been: one taker was let go with it. Where nobody wants to know it is thrown. */
  failed?(error: unknown): void
}

export interface LinkDaemonParts {
  readonly kit: TransportKit
  /** The identity of the hub's log. */
  readonly hubId: () => string
  readonly listen: { readonly port: number; readonly host?: string }
  readonly security:
    | { readonly kind: 'tls'; readonly credentials: Credentials; readonly matchAddress: 'unchecked' | 'checked' }
    | { readonly kind: 'tcp' }
  /** Which topics whose certificate may ask for. `undefined`: all of them. Over plain TCP nobody has a name to grant to. */
  readonly grants: readonly Grant[] | undefined
  /** Atoms that JSON may become: those that takers know. */
  readonly atoms: ReadonlySet<string>
  /** Takers that may be here, counted from before the handshake. */
  readonly admission: Admission
  readonly events: LinkDaemonEvents
}

/** ms of silence after which the system looks whether the other end is still there. */
const PROBE_AFTER = 30_000
/** Ends that are nobody's fault. */
const QUIET: ReadonlySet<Farewell> = new Set(['left', 'stopped', 'gap'])

/**
 * The giving end of links: PonyExpress' daemon (`pony-express.md`, section 6) for its clients, and for another Waystation
 * what it asks for beyond that. Every connection is on its own; nothing that comes in is ever published.
 * @throws {WaystationError} `bad_pattern` for a grant; from `start`: `listen_failed`
 */
export function createLinkDaemon(parts: LinkDaemonParts): Transport & { readonly port: number; readonly takers: number } {
  const { hubId, security, admission, events } = parts
  const limits = { ...parts.kit.limits, maxPendingBytes: parts.kit.limits.maxLinkPendingBytes }
  const kit = { ...parts.kit, limits }
  const shared: Omit<Giving, 'hub'> = {
    hubId, kit, transport: 'link',
    plain: createPlainEncoder(parts.atoms),
    fanOuts: createFanOuts(kit, 'link'),
    groups: createWishGroups(kit, 'link'),
    grants: createGrants(parts.grants),
  }
  const takers = new Map<TakerConnection, Socket>()
  const open = new Set<TakerConnection>()
  let server: Server | undefined
  let gate: Gate | undefined
  let hub: HubPort | undefined

  function accept(socket: Socket): void {
    const address = directAddress(socket)
    const isCrowded = gate !== undefined && gate.entering >= limits.maxLinkHandshakes
    const place = address === 'gone' ? 'gone' : isCrowded ? 'too_many_handshakes' : admission.admit(address)
    if (typeof place === 'string') {
      if (place !== 'gone') events.refused(place, { address, names: [] })
      return void socket.destroy()
    }
    admission.seen?.(socket)
    socket.on('error', () => {})
    socket.once('close', place)
    if (gate === undefined) welcome(socket, address, undefined)
    else gate.enter(socket, address)
  }

  function welcome(socket: Socket, address: string, certificate: Proved | undefined): void {
    if (hub === undefined) return void socket.destroy()
    const names = namesOf({ address, certificate })
    let got: 'something' | 'nothing' = 'nothing'
    const connection: TakerConnection = new TakerConnection(socket, new Set(names), kit, {
      said: (said) => taker.said(said),
      ...(events.failed !== undefined && { failed: events.failed }),
      asked() {
        got = 'something'
        events.taken?.(address, names)
      },
      ended(why) {
        taker.leave()
        if (!QUIET.has(why)) events.refused(why, { address, names })
        events.ended?.(address, why, names, got)
      },
      closed() {
        takers.delete(connection)
        open.delete(connection)
      },
    })
    const identity = { kind: certificate === undefined ? 'anonymous' : 'signed', local: isLoopback(address), address } as const
    const taker = createTaker({ ...shared, hub }, connection, identity, certificate === undefined ? [] : certificateNames(certificate))
    takers.set(connection, socket)
    open.add(connection)
  }

  return {
    name: 'link',
    get port() {
      const bound = server?.address()
      return typeof bound === 'object' && bound !== null ? bound.port : 0
    },
    get takers() { return takers.size },
    async start(port) {
      hub = port
      gate = security.kind === 'tcp' ? undefined : createGate({
        ...security,
        timeout: limits.linkHandshakeTimeout,
        welcome,
        refused: (why, address, certificate, detail) => events.refused(why, { address, names: certificate === undefined ? [] : namesOf({ address, certificate }), ...(detail !== undefined && { detail }) }),
        changed() {
          for (const [connection, socket] of takers) if (gate?.isRevoked(socket) === true) connection.destroy('revoked')
        },
      })
      server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: PROBE_AFTER }, accept)
      const { host } = parts.listen
      await listen(server, { port: parts.listen.port, host }).catch((error: Error) => {
        gate?.close()
        throw new WaystationError('listen_failed', `links: ${error.message.replace('another --addr', 'another port')}`, error)
      })
    },
    async stop(deadline) {
      if (server === undefined || hub === undefined) return
      hub = undefined
      server.close()
      gate?.close()
      kit.turn.flush()
      await sayGoodbye(open, limits.drainTime * 0.8, deadline, kit.clock.after)
    },
  }
}
