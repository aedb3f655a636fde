import * as v from 'valibot'
import { compilePattern } from '../core/pattern.ts'
import type { TlsFiles } from '../zones/ports.ts'
import { isLoopback } from '../http/address.ts'
import { explain, parsedJson, type Faults } from './option-faults.ts'

/** Which topics may be taken by whoever has a certificate of this name. */
export interface Grant {
  /** A glob over the names of the certificate: its common name, and the DNS names and IP addresses in it. */
  readonly certificate: string
  /** Globs over topics. */
  readonly topics: readonly string[]
}

/** One link that this hub takes topics by. */
export interface LinkOptions {
  /** Host name or IP address of the daemon. */
  readonly server: string
  readonly port: number
  /** Names and globs. */
  readonly topics: readonly string[]
  readonly tls?: LinkTls
  /** Stands before the topics here; empty when not given. */
  readonly prefix?: string
  /** `tcp`: without encryption and certificates, for development. `tls` when not given. */
  readonly transport?: 'tls' | 'tcp'
  /** With `tcp`: not to this machine only. */
  readonly insecure?: boolean
}

/** The three files, and what may stand beside them. */
export interface LinkTls extends TlsFiles {
  /** The name that the certificate of the daemon must have, where it is not the one that is connected to. */
  readonly servername?: string
}

/** The daemon that gives topics by links, as it is written in a configuration. */
export interface LinkServerConfig {
  readonly port: number | string
  readonly host?: string
  readonly tls?: TlsFiles
  readonly transport?: 'tls' | 'tcp'
  readonly insecure?: boolean
  readonly grants?: readonly Grant[]
  readonly atoms?: readonly string[]
  readonly matchAddress?: boolean
}

export const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))
export const pattern = v.pipe(v.string(), v.check((text) => problemOf(text) === undefined, (issue) => `is no pattern: ${problemOf(issue.input) ?? ''}`))
const grants = v.array(v.strictObject({ certificate: pattern, topics: v.array(pattern) }))
export const files = { cacertfile: v.string(), certfile: v.string(), keyfile: v.string(), crlfile: v.optional(v.string()), servername: v.optional(v.string()) }
export const host = v.pipe(v.string(), v.check((text) => /^[\w.:%-]+$/.test(text), 'must be a host name or an IP address'))
const links = v.array(v.strictObject({
  server: host,
  port,
  topics: v.pipe(v.array(pattern), v.check((list) => list.length > 0, 'must name a topic')),
  tls: v.optional(v.strictObject(files)),
  prefix: v.optional(v.pipe(v.string(), v.check((text) => text.isWellFormed(), 'must be well-formed Unicode'))),
  transport: v.optional(v.picklist(['tls', 'tcp'])),
  insecure: v.optional(v.boolean()),
}))
const LINK_KEYS = ['server', 'port', 'topics', 'tls', 'prefix', 'transport', 'insecure', ...Object.keys(files)]

export function readGrants(value: unknown): { value: readonly Grant[] } | Faults {
  const stated = parsedJson(value, 'a list of { certificate, topics }')
  if ('faults' in stated) return stated
  const parsed = v.safeParse(grants, stated.value)
  return parsed.success ? { value: parsed.output } : { faults: parsed.issues.map((issue) => explain(issue, 'a grant', ['certificate', 'topics'])) }
}

export function readLinks(value: unknown): { value: readonly LinkOptions[] } | Faults {
  const stated = parsedJson(value, 'a list of links')
  if ('faults' in stated) return stated
  const parsed = v.safeParse(links, stated.value)
  if (!parsed.success) return { faults: parsed.issues.map((issue) => explain(issue, 'a link', LINK_KEYS)) }
  const read = parsed.output as readonly LinkOptions[]
  const faults = read.flatMap((link, i) => faultsOf(link).map((text) => `[${i}]${text}`))
  return faults.length > 0 ? { faults } : { value: read }
}

function faultsOf({ server, tls, transport = 'tls', insecure }: LinkOptions): string[] {
  if (transport === 'tls') {
    return tls === undefined ? ['.tls is missing: { cacertfile, certfile, keyfile }'] : []
  }
  if (tls !== undefined) return ['.tls is stated, but .transport is tcp']
  return insecure === true || isThisMachine(server) ? [] : [tcpRefused(`.server ${server}`, 'insecure: true')]
}

/** Whether this can be no other machine. */
export function isThisMachine(host: string): boolean {
  return host === 'localhost' || isLoopback(host)
}

/** Why clear text does not leave this machine. */
export function tcpRefused(where: string, how: string): string {
  return `${where} is not this machine, and over tcp everyone on the way reads and changes what is sent: use tls, or say ${how} as well`
}

/** What is wrong with a glob. */
function problemOf(text: string): string | undefined {
  try {
    compilePattern(text)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}
