import * as v from 'valibot'
import { isServiceName, MAX_SERVICE_BYTES } from '../core/calls.ts'
import { IDENTIFIER_BYTES } from '../protocol/erps/messages.ts'
import { readVersion } from '../protocol/erps/versions.ts'
import { POLICIES, type Policy } from '../services/policy.ts'
import type { TlsFiles } from '../zones/ports.ts'
import { files, host, isThisMachine, pattern, port, tcpRefused } from './link-options.ts'
import { explain, fault, parsedJson, type Faults } from './option-faults.ts'

/** Who may call what, and who may work for it. For each property the first rule whose glob matches the name and that states it counts. */
export interface ServiceRule {
  /** A glob over names of services. */
  readonly services: string
  /** As for topics. Where no rule says: who has proved himself, and this machine. */
  readonly call?: 'anyone' | 'signed' | 'local' | 'nobody'
  /** Globs over the names of certificates: whose may call by Erps. Not stated: every certificate of the CA. */
  readonly callers?: readonly string[]
  /** Whose may work for it. Not stated: every certificate of the CA. */
  readonly workers?: readonly string[]
}

/** A daemon of Erps that the hub calls. */
export interface ServiceAddress {
  readonly server: string
  readonly port: number
}

/** A service that the configuration states: how its workers are chosen, and daemons of Erps that are called for it. */
export interface ServiceConfig {
  readonly name: string
  readonly policy?: Policy
  /** Daemons that the hub connects to, beside the workers that connect to the hub. */
  readonly servers?: readonly ServiceAddress[]
  readonly tls?: TlsFiles & { readonly servername?: string }
  readonly transport?: 'tls' | 'tcp'
  readonly insecure?: boolean
  /** What the daemons ask for, where they do. */
  readonly identifier?: string
  readonly version?: string
  /** Calls of one of these daemons at once. 64 when not stated. */
  readonly slots?: number
  /** ms between two packets towards an original; 0: no brake. */
  readonly packetGap?: number
}

/** The daemon that callers and workers connect to, as it is written in a configuration. */
export interface ServiceServerConfig {
  readonly port: number | string
  readonly host?: string
  readonly tls?: TlsFiles
  readonly transport?: 'tls' | 'tcp'
  readonly insecure?: boolean
  readonly rules?: readonly ServiceRule[]
  readonly atoms?: readonly string[]
  readonly matchAddress?: boolean
  readonly keys?: string
}

/** What is wrong with the name of a service, in words. */
export function faultOfService(name: string): string | undefined {
  if (isServiceName(name)) return undefined
  if (name === '') return 'is empty'
  return name.isWellFormed() ? `has more than ${MAX_SERVICE_BYTES} bytes` : 'must be well-formed Unicode'
}

/** What is wrong with an identifier, in words. */
export function faultOfIdentifier(text: string): string | undefined {
  const bytes = Buffer.byteLength(text)
  if (bytes > IDENTIFIER_BYTES) return `has ${bytes} bytes; ${IDENTIFIER_BYTES} fit into a packet, and 11 into one of an original client`
  return text.endsWith('\0') || !text.isWellFormed() ? 'must be well-formed Unicode, with no zero at its end: it would be lost on the way' : undefined
}

export const identifier = v.pipe(v.string(), v.check((text) => faultOfIdentifier(text) === undefined, (issue) => faultOfIdentifier(issue.input) ?? ''))
export const version = v.pipe(v.string(), v.check((text) => readVersion(text) !== undefined, (issue) => `must be a version such as 1.2.3, not ${JSON.stringify(issue.input)}`))
/** Past this a timer of Node's goes off at once. */
const LONGEST_TIMER = 2 ** 31 - 1
export const gap = v.pipe(v.number(), v.check((ms) => ms >= 0 && ms <= LONGEST_TIMER, (issue) => `must be a number of ms from 0 to ${LONGEST_TIMER}, not ${issue.input}`))
const who = v.picklist(['anyone', 'signed', 'local', 'nobody'])
const rules = v.array(v.strictObject({ services: pattern, call: v.optional(who), callers: v.optional(v.array(pattern)), workers: v.optional(v.array(pattern)) }))
const services = v.array(v.strictObject({
  name: v.pipe(v.string(), v.check((text) => faultOfService(text) === undefined, (issue) => faultOfService(issue.input) ?? '')),
  policy: v.optional(v.picklist(POLICIES)),
  servers: v.optional(v.array(v.strictObject({ server: host, port }))),
  tls: v.optional(v.strictObject(files)),
  transport: v.optional(v.picklist(['tls', 'tcp'])),
  insecure: v.optional(v.boolean()),
  identifier: v.optional(identifier),
  version: v.optional(version),
  slots: v.optional(v.pipe(v.number(), v.check((count) => Number.isSafeInteger(count) && count >= 1, (issue) => `must be a whole number from 1 on, not ${issue.input}`))),
  packetGap: v.optional(gap),
}))
const SERVICE_KEYS = ['name', 'policy', 'servers', 'server', 'port', 'tls', 'transport', 'insecure', 'identifier', 'version', 'slots', 'packetGap', ...Object.keys(files)]

export function readServiceRules(value: unknown): { value: readonly ServiceRule[] } | Faults {
  const stated = parsedJson(value, 'a list of { services, call, callers, workers }')
  if ('faults' in stated) return stated
  const parsed = v.safeParse(rules, stated.value)
  return parsed.success ? { value: parsed.output as readonly ServiceRule[] } : fault(...parsed.issues.map((issue) => explain(issue, 'a rule', ['services', 'call', 'callers', 'workers'])))
}

export function readServices(value: unknown): { value: readonly ServiceConfig[] } | Faults {
  const stated = parsedJson(value, 'a list of services')
  if ('faults' in stated) return stated
  const parsed = v.safeParse(services, stated.value)
  if (!parsed.success) return fault(...parsed.issues.map((issue) => explain(issue, 'a service', SERVICE_KEYS)))
  const read = parsed.output as readonly ServiceConfig[]
  const faults = [...twice(read.map(({ name }) => name)), ...read.flatMap((service, i) => faultsOf(service).map((text) => `[${i}]${text}`))]
  return faults.length > 0 ? fault(...faults) : { value: read }
}

function twice(names: readonly string[]): string[] {
  const again = names.filter((name, i) => names.indexOf(name) !== i)
  return [...new Set(again)].map((name) => `has ${name} twice`)
}

/** What says how daemons are called, and nothing of workers. */
const OF_SERVERS = ['tls', 'transport', 'insecure', 'identifier', 'version', 'slots', 'packetGap'] as const

function faultsOf(service: ServiceConfig): string[] {
  const { servers = [], tls, transport = 'tls', insecure } = service
  if (servers.length === 0) return OF_SERVERS.filter((key) => service[key] !== undefined).map((key) => `.${key} is stated, but no .servers that it is for`)
  const found = twice(servers.map(({ server, port: to }) => `${server}:${to}`)).map((text) => `.servers ${text}`)
  if (transport === 'tls') return tls === undefined ? [...found, '.tls is missing: { cacertfile, certfile, keyfile }'] : found
  if (tls !== undefined) found.push('.tls is stated, but .transport is tcp')
  if (insecure === true) return found
  return [...found, ...servers.filter(({ server }) => !isThisMachine(server)).map(({ server }) => tcpRefused(`.servers ${server}`, 'insecure: true'))]
}

/** Where rules speak of names of certificates. */
export function namedIn(stated: readonly ServiceRule[]): string[] {
  return stated.flatMap((rule, i) => (['callers', 'workers'] as const).flatMap((key) => ((rule[key]?.length ?? 0) > 0 ? [`[${i}].${key} ${JSON.stringify(rule[key])}`] : [])))
}
