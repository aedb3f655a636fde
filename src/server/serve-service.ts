import * as v from 'valibot'
import { limitsWith, type LimitName } from '../core/limits.ts'
import { createAdmission } from '../http/admission.ts'
import { readRequirement } from '../protocol/erps/versions.ts'
import { createServiceDaemon, type ServiceDaemon } from '../services/daemon.ts'
import type { ServiceConnection, ServiceHandlers } from '../services/handlers.ts'
import { createProgramWorld, type Handlers, type HandlersOf, type Program } from '../services/program.ts'
import { createValues, decodeOptionsOf, type Shown, type ValueOf } from '../services/values.ts'
import { AROUND_VALUE } from '../services/originals.ts'
import { openCredentials } from '../zones/credentials.ts'
import type { TlsFiles } from '../zones/ports.ts'
import { contextFor } from './callers-context.ts'
import { invalid } from './invalid.ts'
import { files, isThisMachine, tcpRefused } from './link-options.ts'
import { createLogger } from './log.ts'
import { hint } from './nearest.ts'
import { explain } from './option-faults.ts'
import { randomBytes, realClock } from './real-world.ts'
import { createRefusalLog } from './refusal-log.ts'
import { faultsOfHandlers } from './service-handlers.ts'
import { faultOfLimit } from './service-dialing.ts'
import { createServiceLog, type ServiceLogger } from './service-log.ts'
import { faultOfIdentifier } from './service-options.ts'
import { keysOf, signing as keys, type SigningKeys } from './service-signing.ts'

export type { ServiceAsker, ServiceConnection, ServiceFrom, ServiceHandlers } from '../services/handlers.ts'
export type { Handlers, HandlersOf } from '../services/program.ts'
export type { JsonValue, Shown, ValueOf } from '../services/values.ts'
export type { ServiceLogger } from './service-log.ts'
export type { TlsFiles } from '../zones/ports.ts'

export interface ServeServiceOptions<As extends Shown = 'terms'> {
  /** 0, which it is when not stated, is any free one. */
  readonly port?: number
  /** All addresses with TLS, 127.0.0.1 with TCP, when not stated. */
  readonly host?: string
  readonly tls?: TlsFiles
  /** `tls` when not stated. `tcp`: without encryption and certificates, for development. `none`: this process alone calls it. */
  readonly transport?: 'tls' | 'tcp' | 'none'
  /** With `tcp`: not for this machine only. */
  readonly insecure?: boolean
  /** What callers must name in each packet, byte for byte; 36 bytes at most. A client of Erps can name 11. */
  readonly identifier?: string
  /** What the version must satisfy that they state in each packet: `~> 1.2`, `>= 1.0.0 and < 2.0.0` (`erps.md`, 6.3). */
  readonly versions?: string
  /** The vocabulary: atoms that are taken and sent beside those that everyone knows (`erps.md`, A.6). */
  readonly atoms?: readonly string[]
  /** `false`: all atoms are taken, and functions and ports as values that can never be called. */
  readonly safe?: boolean
  /** What handlers get and give: Erlang terms, or plain JSON values. `terms` when not stated. */
  readonly as?: As
  /** The certificate of a client must be for the IP address that it comes from. */
  readonly matchAddress?: boolean
  /** ms between two packets to a client that has not shown itself to be a Waystation; 0: no brake. 120 over TCP, 10 over TLS when not stated (`erps.md`, 5.1). */
  readonly packetGap?: number
  /** Only packets are taken that are signed with one of these keys; the first signs. The other end is a Waystation with the same keys. */
  readonly signing?: SigningKeys
  /** Handlers run in the asynchronous context of this call; outside of any when not stated (`erps.md`, section 13). */
  readonly forwardCallers?: boolean
  readonly limits?: Partial<Record<LimitName, number>>
  /** On stderr, warnings and errors only, when not stated. */
  readonly logger?: ServiceLogger
}

/** A service that runs. */
export interface Service<V> extends AsyncDisposable {
  /** 0 where nobody can connect. */
  readonly port: number
  /** Everyone who is connected. */
  connections(): ServiceConnection<V>[]
  /** To everyone who is connected. Gives how many. @throws {WaystationError} `bad_request` for a value that no term can be made of */
  push(value: V): number
  /** Calls it from this process; see `LocalCaller`. @param options.timeout ms, `limits.callTimeout` when not stated */
  call(value: V, options?: { readonly timeout?: number }): Promise<V>
  cast(value: V): void
  /** Lets nobody in, answers what it has within `limits.drainTime`, and ends all connections. */
  close(): Promise<void>
}

/** What a client of the original can state (`erps.md`, 2.4). */
const ORIGINAL_IDENTIFIER_BYTES = 11
/** All that can be stated: what is mistyped, such as the list of the revoked, must not count as not stated. */
const OPTIONS = ['port', 'host', 'tls', 'transport', 'insecure', 'identifier', 'versions', 'atoms', 'safe', 'as', 'matchAddress', 'packetGap', 'signing', 'forwardCallers', 'limits', 'logger'] as const satisfies readonly (keyof ServeServiceOptions)[]
const { servername: _ofClients, ...tlsFiles } = files

/**
 * Serves calls and casts of Erps (`erps.md`, section 8) and of Waystations: the daemon, and a server for each connection, all
 * independent of one another.
 * @param handlers an object for everyone, or what makes one for each connection; for calls of this process it is asked with `undefined`
 * @throws {WaystationError} `config_invalid` for options or files that cannot be used; `listen_failed`
 */
export async function serveService<As extends Shown = 'terms'>(options: ServeServiceOptions<As>, handlers: HandlersOf<ValueOf<As>>): Promise<Service<ValueOf<As>>>
export async function serveService<As extends Shown = 'terms'>(options: ServeServiceOptions<As>, handlers: ServiceHandlers<ValueOf<As>>): Promise<Service<ValueOf<As>>>
export async function serveService<As extends Shown = 'terms'>(options: ServeServiceOptions<As>, handlers: Handlers<ValueOf<As>>): Promise<Service<ValueOf<As>>> {
  const problems = [...problemsOf(options), ...faultsOfHandlers(handlers)]
  if (problems.length > 0) throw invalid(problems)
  const { transport = 'tls', identifier, forwardCallers, logger = createLogger('warn'), as = 'terms' as As } = options
  const limits = limitsWith(options.limits)
  const reading = { atoms: new Set(options.atoms), safety: options.safe === false ? 'any' : 'strict', maxDepth: limits.maxTermDepth } as const
  const log = createServiceLog(realClock, logger)
  const program = createProgramWorld({
    handlers, limits,
    clock: realClock,
    values: createValues({ ...reading, as, maxBytes: limits.maxPacketBytes - AROUND_VALUE }),
    run: contextFor(forwardCallers),
    failed: log.failed,
  })
  if (identifier !== undefined && Buffer.byteLength(identifier) > ORIGINAL_IDENTIFIER_BYTES) logger.warn({ identifier }, `clients of the original cannot state an identifier of more than ${ORIGINAL_IDENTIFIER_BYTES} bytes`)
  if (transport === 'none') return serviceOf(program, undefined, () => {}, limits.drainTime)

  const credentials = options.tls === undefined ? undefined : await openCredentials(options.tls, {
    side: 'daemon', clock: realClock,
    reloaded: () => logger.info({}, 'the certificates of the service were read again'),
    alarm: (error) => logger.error({ why: error.message }, 'the certificates of the service need a look'),
  })
  const refusals = createRefusalLog(realClock, (line) => logger.warn(line, 'a caller of the service was turned away'))
  const host = options.host ?? (transport === 'tcp' ? '127.0.0.1' : undefined)
  const daemon = createServiceDaemon({
    clock: realClock, limits, randomBytes,
    listen: { port: options.port ?? 0, ...(host !== undefined && { host }) },
    security: credentials === undefined ? { kind: 'tcp' } : { kind: 'tls', credentials, matchAddress: options.matchAddress === true ? 'checked' : 'unchecked' },
    admission: createAdmission({ total: limits.maxServiceConnections, perAddress: limits.maxConnectionsPerAddress }),
    judgement: {
      identifier: identifier === undefined ? undefined : Buffer.from(identifier),
      requirement: options.versions === undefined ? undefined : readRequirement(options.versions),
    },
    signing: keysOf(options.signing),
    decode: decodeOptionsOf({ ...reading, maxBytes: limits.maxPacketBytes }),
    packetGap: options.packetGap,
    answering: program.accept,
    events: {
      refused: (why, who) => refusals.refused(why, who),
      failed: (error) => log.failed(error, undefined),
    },
  })
  const stop = (): void => credentials?.stop()
  try {
    await daemon.start()
  } catch (error) {
    stop()
    throw error
  }
  return serviceOf(program, daemon, stop, limits.drainTime)
}

function serviceOf<V>(program: Program<V>, daemon: ServiceDaemon | undefined, stopped: () => void, drainTime: number): Service<V> {
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => (closing ??= (async () => {
    const deadline = AbortSignal.timeout(drainTime)
    await Promise.all([daemon?.stop(deadline), program.close(deadline)])
    stopped()
  })())
  return {
    get port() { return daemon?.port ?? 0 },
    connections: program.connections,
    push: program.push,
    call: program.call,
    cast: program.cast,
    close,
    [Symbol.asyncDispose]: close,
  }
}

function problemsOf(options: ServeServiceOptions<Shown>): string[] {
  const { port = 0, host, tls, transport = 'tls', insecure, identifier = '', versions, packetGap = 0, signing, matchAddress, as = 'terms', atoms = [], limits = {} } = options
  const found = Object.keys(options).filter((key) => !(OPTIONS as readonly string[]).includes(key)).map((key) => `${key} is no option of serveService${hint(key, OPTIONS)}`)
  const read = v.safeParse(v.optional(v.strictObject(tlsFiles)), tls)
  if (!read.success) found.push(...read.issues.map((issue) => `tls${explain(issue, 'serveService', Object.keys(tlsFiles))}`))
  if (!Number.isInteger(port) || port < 0 || port > 65_535) found.push('port must be a port number from 0 to 65535')
  if (!['tls', 'tcp', 'none'].includes(transport)) found.push('transport must be tls, tcp or none')
  if (!['terms', 'json'].includes(as)) found.push('as must be terms or json')
  if (transport === 'tls' && tls === undefined) found.push('tls is missing: { cacertfile, certfile, keyfile }')
  if (transport !== 'tls' && tls !== undefined) found.push(`tls is stated, but transport is ${transport}`)
  if (transport !== 'tls' && matchAddress === true) found.push(`matchAddress is stated, but transport is ${transport}: nobody shows a certificate`)
  if (transport === 'tcp' && host !== undefined && insecure !== true && !isThisMachine(host)) found.push(tcpRefused(`host ${host}`, 'insecure: true'))
  const misnamed = faultOfIdentifier(identifier)
  if (misnamed !== undefined) found.push(`identifier ${misnamed}`)
  if (versions !== undefined && readRequirement(versions) === undefined) found.push(`versions: "${versions}" is no requirement of versions such as ~> 1.2 or >= 1.0.0 and < 2.0.0`)
  if (!Number.isFinite(packetGap) || packetGap < 0) found.push('packetGap must be a number of ms, 0 or more')
  if (!Array.isArray(atoms) || atoms.some((atom) => typeof atom !== 'string')) found.push('atoms must be a list of names')
  const signed = v.safeParse(keys, signing)
  if (!signed.success) found.push(...signed.issues.map((issue) => `signing${explain(issue, 'signing', ['keys', 'id', 'secret'])}`))
  return [...found, ...Object.entries(limits).flatMap(([name, value]) => faultOfLimit(name, value))]
}
