import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { WaystationError } from '../core/errors.ts'
import { topicFromText } from '../core/topic.ts'
import { readRequirement, readVersion } from '../protocol/erps/versions.ts'
import type { SigningKey } from '../services/ports.ts'
import type { Policy } from '../services/policy.ts'
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

/** Bytes of a name: it stands in paths, and 36 of them in a header. */
export const LONGEST_SERVICE = 255

/** What is wrong with the name of a service, in words. */
export function faultOfService(name: string): string | undefined {
  if (name === '') return 'is empty'
  if (!name.isWellFormed()) return 'must be well-formed Unicode'
  return Buffer.byteLength(name) > LONGEST_SERVICE ? `has more than ${LONGEST_SERVICE} bytes` : undefined
}

const who = v.picklist(['anyone', 'signed', 'local', 'nobody'])
const rules = v.array(v.strictObject({ services: pattern, call: v.optional(who), callers: v.optional(v.array(pattern)), workers: v.optional(v.array(pattern)) }))
const services = v.array(v.strictObject({
  name: v.pipe(v.string(), v.check((text) => faultOfService(text) === undefined, (issue) => faultOfService(issue.input) ?? '')),
  policy: v.optional(v.picklist(['least', 'hash', 'round-robin'])),
  servers: v.optional(v.array(v.strictObject({ server: host, port }))),
  tls: v.optional(v.strictObject(files)),
  transport: v.optional(v.picklist(['tls', 'tcp'])),
  insecure: v.optional(v.boolean()),
  identifier: v.optional(v.pipe(v.string(), v.check((text) => Buffer.byteLength(text) <= 36, 'has more than 36 bytes'))),
  version: v.optional(v.pipe(v.string(), v.check((text) => readVersion(text) !== undefined, 'must be a version such as 1.2.3'))),
  slots: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  packetGap: v.optional(v.pipe(v.number(), v.minValue(0))),
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
  const names = read.map(({ name }) => name)
  const twice = names.filter((name, i) => names.indexOf(name) !== i).map((name) => ` has ${name} twice`)
  const faults = [...twice, ...read.flatMap((service, i) => faultsOf(service).map((text) => `[${i}]${text}`))]
  return faults.length > 0 ? fault(...faults) : { value: read }
}

function faultsOf({ servers = [], tls, transport = 'tls', insecure }: ServiceConfig): string[] {
  if (servers.length === 0) return tls === undefined ? [] : ['.tls is stated, but no .servers that it is for']
  if (transport === 'tls') return tls === undefined ? ['.tls is missing: { cacertfile, certfile, keyfile }'] : []
  if (tls !== undefined) return ['.tls is stated, but .transport is tcp']
  return insecure === true ? [] : servers.filter(({ server }) => !isThisMachine(server)).map(({ server }) => tcpRefused(`.servers ${server}`, 'insecure: true'))
}

/** Bytes of the shortest secret that packets may be signed with. */
const SHORTEST_SECRET = 16

/**
 * Keys that packets are signed with: a JSON object of ids and secrets, the first of which signs.
 * @throws {WaystationError} `config_invalid`, without a secret in it
 */
export function readSigningKeys(file: string): SigningKey[] {
  const failed = (why: string): never => {
    throw new WaystationError('config_invalid', `${file} ${why}`)
  }
  let read: unknown
  try {
    read = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    failed(error instanceof SyntaxError ? 'must be JSON: { "id": "secret" }' : `cannot be read: ${(error as Error).message}`)
  }
  if (typeof read !== 'object' || read === null || Array.isArray(read)) return failed('must be JSON: { "id": "secret" }')
  const keys = Object.entries(read).map(([id, secret]): SigningKey => {
    if (id === '' || Buffer.byteLength(id) > 16) failed(`has a key whose id is not 1 to 16 bytes long`)
    if (typeof secret !== 'string' || Buffer.byteLength(secret) < SHORTEST_SECRET) failed(`has no secret of at least ${SHORTEST_SECRET} bytes under ${id}`)
    return { id, secret: Buffer.from(secret as string) }
  })
  return keys.length === 0 ? failed('has no key') : keys
}

/** Whether a requirement can be used, for whoever states one. */
export function faultOfVersions(text: string): string | undefined {
  return readRequirement(text) === undefined ? `"${text}" is no requirement of versions such as ~> 1.2 or >= 1.0.0 and < 2.0.0` : undefined
}

/** The name as globs see it. */
export const nameOf = topicFromText
