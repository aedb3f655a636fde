import { LIMITS, type LimitName } from '../core/limits.ts'
import type { Rule } from '../core/rules.ts'
import type { Grant, LinkOptions, LinkServerConfig } from './link-options.ts'
import type { ServiceConfig, ServiceRule, ServiceServerConfig } from './service-options.ts'

/**
 * Every option, however it is stated: a key of the configuration file, `WAYSTATION_…` in the environment, or a flag. The
 * table is the truth: types, `--help` and `docs/reference/options.md` come from it.
 */
const GENERAL = {
  addr: { kind: 'text', default: ':8081', value: 'HOST:PORT', help: 'where to listen; :PORT is every interface, /PATH a UNIX socket' },
  origin: { kind: 'texts', default: [] as readonly string[], value: 'ORIGIN', help: 'a page origin that may connect (https://app.example.com, *.example.com, or *); repeatable; none: no check and no CORS' },
  rules: { kind: 'rules', default: [] as readonly Rule[], value: 'JSON', help: 'who may publish and subscribe to which topics, and what is kept; usually stated in the configuration file' },
  tlsCert: { kind: 'text', default: '', value: 'FILE', help: 'certificate chain in PEM; with it the hub speaks HTTPS; read again when it changes' },
  tlsKey: { kind: 'text', default: '', value: 'FILE', help: 'the private key of the certificate, in PEM' },
  trustedProxies: { kind: 'texts', default: [] as readonly string[], value: 'ADDRESS', help: 'a proxy (address or CIDR range) whose X-Forwarded-For is believed; repeatable' },
  dataDir: { kind: 'text', default: './waystation-data', value: 'DIR', help: 'the folder for everything that is kept on disk, made when first needed' },
  database: { kind: 'database', default: '', value: 'FILE|URL', help: 'where webhook registrations and API keys are kept: a SQLite file, made when first needed, postgres://user:password@host/name, or rqlite://host:4001,host:4001; without it waystation.db in the data folder' },
  logLevel: { kind: 'choice', default: 'info', choices: ['trace', 'debug', 'info', 'warn', 'error', 'silent'], value: 'LEVEL', help: 'how much is logged' },
  pinghub: { kind: 'switch', default: true, value: 'on|off', help: 'channels over WebSocket, POST and the page' },
  sse: { kind: 'switch', default: true, value: 'on|off', help: 'channels and /_/sse as server-sent events' },
  lonelyps: { kind: 'switch', default: true, value: 'on|off', help: 'lonelyps under /v1/: signed notify, and subscriptions that are webhooks' },
  toBroadcastersAuth: { kind: 'choice', default: 'local', choices: ['local', 'none', 'token', 'hmac'], value: 'SCHEME', help: 'how lonelyps clients prove who they are; local: they need not, if they are on this machine, and all others are refused; none: anyone may' },
  toBroadcastersSecret: { kind: 'secret', default: '', value: 'SECRET', help: 'the secret of that scheme; better stated in a file or the environment, where other users do not see it' },
  toSubscribersAuth: { kind: 'choice', default: 'none', choices: ['none', 'token', 'hmac'], value: 'SCHEME', help: 'how the hub proves itself to lonelyps clients and webhooks' },
  toSubscribersSecret: { kind: 'secret', default: '', value: 'SECRET', help: 'the secret of that scheme' },
  secretsFile: { kind: 'text', default: '', value: 'FILE', help: 'a secrets file of lonelyps, as "waystation setup" writes it, in place of these four' },
  allowPrivate: { kind: 'switch', default: false, value: 'on|off', help: 'webhooks may go to this machine and to private addresses' },
  allowWebhooks: { kind: 'texts', default: [] as readonly string[], value: 'ADDRESS', help: 'an address or CIDR range of the inside that webhooks may go to; repeatable' },
  publicUrl: { kind: 'text', default: '', value: 'URL', help: 'where clients, and other hubs that share the database, reach this one, for example https://hub.example.com; no webhook may go there' },
  compression: { kind: 'switch', default: true, value: 'on|off', help: 'zstd on lonelyps WebSockets, for clients that offer it' },
  training: { kind: 'switch', default: true, value: 'on|off', help: 'dictionaries that are trained for one lonelyps WebSocket out of its own messages, for clients that offer it' },
  compressionDictionaries: { kind: 'texts', default: [] as readonly string[], value: 'ID:LEVEL:FILE', help: 'a zstd dictionary that lonelyps clients have too, under the same number from 2 to 65535; repeatable' },
  minimalHeaders: { kind: 'switch', default: true, value: 'on|off', help: 'the short form of headers on lonelyps WebSockets; every client reads both' },
  wspubsub: { kind: 'switch', default: true, value: 'on|off', help: 'wspubsub under /ws/pub/ and /ws/sub/: publishers with an API key' },
  wspubsubTopics: { kind: 'texts', default: [] as readonly string[], value: 'GLOB', help: 'topics that wspubsub subscribers find though nobody publishes there with a key, for what comes in by other protocols; repeatable' },
  linkPort: { kind: 'port', default: '', value: 'PORT', help: 'where takers of links connect: the daemon of PonyExpress, over mutual TLS; 0 is any free port; none: there is no such daemon' },
  linkHost: { kind: 'text', default: '', value: 'HOST', help: 'the address that it listens on; none: every interface, or with --link-transport tcp this machine only' },
  linkCacertfile: { kind: 'text', default: '', value: 'FILE', help: 'the CA, in PEM, that certificates of takers must come from; "waystation certs" makes one' },
  linkCertfile: { kind: 'text', default: '', value: 'FILE', help: 'the certificate of the daemon, in PEM; it must have the IP address or name that takers connect to; Elixir nodes look for the address' },
  linkKeyfile: { kind: 'text', default: '', value: 'FILE', help: 'its key, in PEM; all these files are read again when they change' },
  linkCrlfile: { kind: 'text', default: '', value: 'FILE', help: 'certificates of that CA that are let in no more, in PEM' },
  linkGrants: { kind: 'grants', default: [] as readonly Grant[], value: 'JSON', help: 'which topics which certificate may take; none: every certificate of the CA all that the rules let it; usually stated in the configuration file' },
  linkAtoms: { kind: 'texts', default: [] as readonly string[], value: 'ATOM', help: 'an atom that takers know, besides the usual ones; others from JSON are sent as text, because an unknown atom ends the connection of an Elixir node; repeatable' },
  linkMatchAddress: { kind: 'switch', default: false, value: 'on|off', help: 'the certificate of a taker must name the IP address that it comes from' },
  linkTransport: { kind: 'choice', default: 'tls', choices: ['tls', 'tcp'], value: 'TRANSPORT', help: 'tcp: without encryption and without certificates, for development; anyone who reaches the port takes part' },
  linkInsecure: { kind: 'switch', default: false, value: 'on|off', help: 'with --link-transport tcp: not on this machine only' },
  links: { kind: 'links', default: [] as readonly LinkOptions[], value: 'JSON', help: 'topics that are taken from other zones, and from where; usually stated in the configuration file' },
  servicePort: { kind: 'port', default: '', value: 'PORT', help: 'where callers and workers of services connect: Erps over mutual TLS; 0 is any free port; none: there is no such daemon' },
  serviceHost: { kind: 'text', default: '', value: 'HOST', help: 'the address that it listens on; none: every interface, or with --service-transport tcp this machine only' },
  serviceCacertfile: { kind: 'text', default: '', value: 'FILE', help: 'the CA, in PEM, that certificates of callers and workers must come from; "waystation certs" makes one' },
  serviceCertfile: { kind: 'text', default: '', value: 'FILE', help: 'the certificate of the daemon, in PEM; it must have the IP address that Elixir nodes connect to' },
  serviceKeyfile: { kind: 'text', default: '', value: 'FILE', help: 'its key, in PEM; all these files are read again when they change' },
  serviceCrlfile: { kind: 'text', default: '', value: 'FILE', help: 'certificates of that CA that are let in no more, in PEM' },
  serviceRules: { kind: 'serviceRules', default: [] as readonly ServiceRule[], value: 'JSON', help: 'who may call which service, and who may work for it; usually stated in the configuration file; none: every certificate of the CA, over HTTP this machine' },
  serviceAtoms: { kind: 'texts', default: [] as readonly string[], value: 'ATOM', help: 'an atom that services know, besides the usual ones; others from JSON are sent as text, because an unknown atom ends the connection of an Elixir node; repeatable' },
  serviceMatchAddress: { kind: 'switch', default: false, value: 'on|off', help: 'the certificate of a caller or worker must name the IP address that it comes from' },
  serviceTransport: { kind: 'choice', default: 'tls', choices: ['tls', 'tcp'], value: 'TRANSPORT', help: 'tcp: without encryption and without certificates, for development; anyone who reaches the port takes part' },
  serviceInsecure: { kind: 'switch', default: false, value: 'on|off', help: 'with --service-transport tcp: not on this machine only' },
  serviceKeys: { kind: 'text', default: '', value: 'FILE', help: 'keys, as JSON { "id": "secret" }, the first of which signs: callers and workers sign every packet with one of them; originals cannot' },
  services: { kind: 'services', default: [] as readonly ServiceConfig[], value: 'JSON', help: 'how workers of a service are chosen, and daemons of Erps that are called for it; usually stated in the configuration file' },
  calls: { kind: 'switch', default: true, value: 'on|off', help: 'services over HTTP and WebSocket: /_/call and /_/cast' },
  operations: { kind: 'switch', default: true, value: 'on|off', help: '/_/healthz, /_/readyz and /_/metrics' },
} as const satisfies Record<string, Option>

const UNITS = { bytes: 'BYTES', ms: 'TIME', connections: 'N', topics: 'N', patterns: 'N', registrations: 'N', calls: 'N', messages: 'N', parts: 'N', subscriptions: 'N', keys: 'N', levels: 'N', 'code points': 'N' } as const

type LimitOptions = { readonly [K in LimitName]: { kind: 'bytes' | 'time' | 'count'; default: number; min: number; value: string; help: string } }
const BOUNDS = Object.fromEntries(
  Object.entries(LIMITS).map(([name, limit]) => [name, {
    kind: limit.unit === 'bytes' ? 'bytes' : limit.unit === 'ms' ? 'time' : 'count',
    default: limit.default,
    min: limit.min,
    value: UNITS[limit.unit],
    help: limit.reason,
  }]),
) as unknown as LimitOptions

export const OPTIONS: typeof GENERAL & LimitOptions = { ...GENERAL, ...BOUNDS }

export interface Option {
  readonly kind: 'text' | 'secret' | 'database' | 'texts' | 'switch' | 'choice' | 'rules' | 'grants' | 'links' | 'serviceRules' | 'services' | 'port' | 'bytes' | 'time' | 'count'
  readonly default: unknown
  readonly choices?: readonly string[]
  readonly min?: number
  /** What stands for the value in the help. */
  readonly value: string
  readonly help: string
}

export type OptionName = keyof typeof OPTIONS

interface ByKind {
  text: string
  /** Never printed. */
  secret: string
  /** Printed without its password. */
  database: string
  texts: readonly string[]
  switch: boolean
  rules: readonly Rule[]
  grants: readonly Grant[]
  links: readonly LinkOptions[]
  serviceRules: readonly ServiceRule[]
  services: readonly ServiceConfig[]
  /** Empty when there is none. */
  port: number | ''
  bytes: number
  time: number
  count: number
}

/** Everything in force: checked, with the defaults filled in. Times are in milliseconds. */
export type Options = { readonly [K in OptionName]: (typeof OPTIONS)[K] extends { kind: 'choice'; choices: readonly (infer C)[] } ? C : ByKind[Exclude<(typeof OPTIONS)[K]['kind'], 'choice'>] }

/** A rule as it is written in a configuration. */
export interface RuleConfig extends Omit<Rule, 'keep'> {
  /** Keep the last `messages` messages of each topic, none older than `age` (ms, or '10m', '1h', '7d'). */
  readonly keep?: { readonly messages: number; readonly age?: number | string }
}

type Written<K extends OptionName> = (typeof OPTIONS)[K]['kind'] extends 'rules'
  ? readonly RuleConfig[]
  : (typeof OPTIONS)[K]['kind'] extends 'bytes' | 'time' | 'count' ? number | string
  : (typeof OPTIONS)[K]['kind'] extends 'port' ? number | string
  : (typeof OPTIONS)[K]['kind'] extends 'texts' ? readonly string[] | string
  : Options[K]

/** What a configuration file or an embedding program states. Sizes and times may be texts: '1MiB', '30s'. */
export type Config = { readonly [K in OptionName]?: Written<K> } & {
  /** The options that begin with `link`, put together. */
  readonly linkServer?: LinkServerConfig
  /** The options that begin with `service`, put together. */
  readonly serviceServer?: ServiceServerConfig
}

/** Gives the configuration back as it is; its use is that an editor knows the keys. */
export function defineConfig(config: Config): Config {
  return config
}

/** `maxMessageBytes` as a flag: `max-message-bytes`. */
export function flagName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => '-' + letter.toLowerCase())
}

/** `maxMessageBytes` in the environment: `WAYSTATION_MAX_MESSAGE_BYTES`. */
export function envName(name: string): string {
  return 'WAYSTATION_' + flagName(name).replaceAll('-', '_').toUpperCase()
}
