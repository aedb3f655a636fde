import { isIP } from 'node:net'
import * as v from 'valibot'
import { WaystationError } from '../core/errors.ts'
import { LIMITS, limitsWith, type LimitName, type Limits } from '../core/limits.ts'
import { isLoopback } from '../http/address.ts'
import type { Sender, Version, Work } from '../protocol/erps/messages.ts'
import { judge } from '../protocol/erps/judge.ts'
import { readVersion } from '../protocol/erps/versions.ts'
import { openConnection } from '../services/connection.ts'
import type { Brake, Connection, ConnectionEvents } from '../services/ports.ts'
import { openCredentials } from '../zones/credentials.ts'
import { createDial } from '../zones/dial.ts'
import type { Credentials, Dial, Dialled, TlsFiles } from '../zones/ports.ts'
import { invalid } from './invalid.ts'
import { files, host, isThisMachine, port, tcpRefused } from './link-options.ts'
import { hint } from './nearest.ts'
import { createLogger } from './log.ts'
import { explain } from './option-faults.ts'
import { randomBytes, realClock } from './real-world.ts'
import { keysOf, signing, type SigningKeys } from './service-signing.ts'
import type { ServiceLogger } from './service-log.ts'
import type { ServiceAddress } from './service-options.ts'

/** What every connecting end of services is told. */
export interface DialingOptions {
  /** The certificates of this end, and the name that the certificate of the other end must have where it is not what is connected to. */
  readonly tls?: TlsFiles & { readonly servername?: string }
  /** `tcp`: without encryption and certificates, for development. `tls` when not given. */
  readonly transport?: 'tls' | 'tcp'
  /** With `tcp`: not to this machine only. */
  readonly insecure?: boolean
  /** Both ends are Waystations and have these keys: every packet is signed with the first. */
  readonly signing?: SigningKeys
  /** The vocabulary, beside the atoms that everyone knows. */
  readonly atoms?: readonly string[]
  /** Whether the program sees Erlang terms or plain JSON values. `terms` when not given. */
  readonly as?: 'terms' | 'json'
  /** Bounds, where they are not the usual ones. */
  readonly limits?: Partial<Record<LimitName, number>>
  /** On stderr, warnings and errors only, when not stated. */
  readonly logger?: ServiceLogger
}

export const address = v.strictObject({ server: host, port })
export const milliseconds = v.pipe(v.number(), v.finite(), v.minValue(1))
export const called = v.optional(v.function())

/** The parts of a schema for these options. */
export const dialing = {
  tls: v.optional(v.strictObject(files)),
  transport: v.optional(v.picklist(['tls', 'tcp'])),
  insecure: v.optional(v.boolean()),
  signing,
  atoms: v.optional(v.array(v.string())),
  as: v.optional(v.picklist(['terms', 'json'])),
  limits: v.optional(v.record(v.string(), v.number())),
  logger: v.optional(v.object({ info: v.function(), warn: v.function(), error: v.function() })),
}

/**
 * Looks whether options can be used.
 * @param what the call that they are of
 * @param places what is connected to, once the options are known to have their form
 * @throws {WaystationError} `config_invalid`, naming each that is wrong
 */
export function checkDialing<T extends DialingOptions>(schema: v.ObjectEntries, options: T, what: string, places: (options: T) => readonly ServiceAddress[] | string): readonly ServiceAddress[] {
  const parsed = v.safeParse(v.strictObject(schema), options)
  if (!parsed.success) throw invalid(parsed.issues.map((issue) => explain(issue, what, [...Object.keys(schema), ...Object.keys(files)]).replace(/^\./, '')))
  const found = places(options)
  if (typeof found === 'string') throw invalid([found])
  const { tls, transport = 'tls', insecure, limits = {} } = options
  const problems = Object.entries(limits).flatMap(([name, value]) => faultOfLimit(name, value))
  if (transport === 'tls' && tls === undefined) problems.push('tls is missing: { cacertfile, certfile, keyfile }')
  if (transport === 'tcp' && tls !== undefined) problems.push('tls is stated, but transport is tcp')
  if (transport === 'tcp' && insecure !== true) problems.push(...found.filter(({ server }) => !isThisMachine(server)).map(({ server }) => tcpRefused(`server ${server}`, 'insecure: true')))
  if (problems.length > 0) throw invalid(problems)
  return found
}

/** What is wrong with a bound that a program states. */
export function faultOfLimit(name: string, value: number | undefined): string[] {
  if (!Object.hasOwn(LIMITS, name)) return [`limits.${name} is no limit${hint(name, Object.keys(LIMITS))}`]
  const { min, unit } = LIMITS[name as LimitName]
  const isGood = value === undefined || (Number.isSafeInteger(value) && value >= min)
  return isGood ? [] : [`limits.${name} must be a whole number of ${unit} from ${min} on, not ${value}`]
}

/** What is connected with, once the files are read. */
export interface Dialing {
  readonly limits: Limits
  readonly logger: ServiceLogger
  /** How this place is reached. */
  dial(place: ServiceAddress): Dial
  /** Opens the protocol over what was dialled. */
  open(dialled: Dialled, events: ConnectionEvents, more: { readonly sender: Sender; readonly brake: Brake; readonly opaque: 'refused' | 'kept'; readonly work?: Work }): Connection
  stop(): void
}

/**
 * Reads certificates and keys, and watches them.
 * @param whose the end that the log speaks of
 * @throws {WaystationError} `config_invalid`
 */
export async function openDialing(options: DialingOptions, whose: string): Promise<Dialing> {
  const { tls, logger = createLogger('warn') } = options
  const limits = limitsWith(options.limits)
  const keys = keysOf(options.signing)
  const credentials = tls === undefined ? undefined : await openCredentials(tls, {
    side: 'client', clock: realClock,
    reloaded: () => logger.info({}, `the certificates of ${whose} were read again`),
    alarm: (error) => logger.error({ why: error.message }, `the certificates of ${whose} need a look`),
  })
  return {
    limits, logger,
    dial: ({ server, port: to }) => createDial({ server, port: to, timeout: limits.serviceHandshakeTimeout, security: securityOf(credentials, tls?.servername) }),
    open: ({ stream, ...dialled }, events, { sender, brake, opaque, work }) => openConnection({
      stream, sender, brake, limits, randomBytes,
      peer: { address: dialled.address, local: isLoopback(dialled.address), names: dialled.names, certificateNames: dialled.certificateNames },
      role: 'connector',
      judge: (packet) => judge(packet, { signed: keys === undefined ? 'refused' : 'required' }),
      // Whoever asks for anything takes any atom for an answer; what each is worth the program knows (A.6).
      decode: { atoms: 'any', opaque, maxBytes: limits.maxPacketBytes, maxDepth: limits.maxTermDepth },
      clock: realClock,
      ...(keys !== undefined && { signing: keys }),
      ...(work !== undefined && { work }),
    }, events),
    stop: () => credentials?.stop(),
  }
}

function securityOf(credentials: Credentials | undefined, servername: string | undefined): Parameters<typeof createDial>[0]['security'] {
  if (credentials === undefined) return { kind: 'tcp' }
  return { kind: 'tls', credentials, identity: 'asked or peer', ...(servername !== undefined && { servername }) }
}

/** What a header says of this end. */
export function senderOf({ identifier: name = '', version: text }: { readonly identifier?: string | undefined; readonly version?: string | undefined }): Sender {
  return { version: readVersion(text ?? '') ?? NO_VERSION, identifier: Buffer.from(name) }
}

const NO_VERSION: Version = { major: 0, minor: 0, patch: 0 }

/** `host:port`, as addresses are written. */
export function placeName({ server, port: to }: ServiceAddress): string {
  return `${isIP(server) === 6 ? `[${server}]` : server}:${to}`
}

/** An address that is written so; `undefined` for what is none. */
export function readPlace(text: string): ServiceAddress | undefined {
  const found = /^(?:\[([\da-fA-F:.%\w]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text)
  const place = { server: found?.[1] ?? found?.[2] ?? '', port: Number(found?.[3]) }
  return v.safeParse(address, place).success ? place : undefined
}

/** @throws {WaystationError} `bad_request` for a time that is none */
export function timeOf(stated: number | undefined, usual: number, longest: number): number {
  if (stated === undefined) return Math.min(usual, longest)
  if (!Number.isFinite(stated) || stated <= 0) throw new WaystationError('bad_request', `a timeout is a number of milliseconds above 0, not ${stated}`)
  return Math.max(1, Math.min(stated, longest))
}
