import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { readScheme } from '../protocol/lonelyps/authorization.ts'
import { formatSecrets, type StatedScheme } from '../protocol/lonelyps/secrets.ts'

export const AUTHORIZATIONS = ['hmac', 'token', 'none'] as const
export type Authorization = (typeof AUTHORIZATIONS)[number]

/** What a new hub is set up with. */
export interface SetupPlan {
  /** As the option; empty for SQLite in the data folder. */
  readonly database: string
  readonly toBroadcaster: StatedScheme
  readonly toSubscriber: StatedScheme
}

/** A file to be written, its name within the folder. */
export interface SetupFile {
  readonly name: string
  readonly text: string
}

/**
 * The scheme of one direction, with the given secret as it was given, or with a new one.
 * @param draw gives a new secret
 * @returns a sentence, without the secret in it, when the secret cannot be used
 */
export function stateScheme(type: Authorization, given: string | undefined, draw: () => string): StatedScheme | string {
  if (type === 'none') return given === undefined ? { type } : 'The scheme none takes no secret.'
  const secret = given ?? draw()
  const read = readScheme(type, secret)
  return typeof read === 'string' ? read : { type, secret }
}

/** The files of a hub that keeps lonelyps subscriptions (section 8 of the protocol). What is written starts at once. */
export function setupFiles(plan: SetupPlan): SetupFile[] {
  const secrets = formatSecrets(plan)
  return [
    { name: 'waystation.config.ts', text: configText(plan) },
    { name: 'broadcaster-secrets.json', text: secrets },
    { name: 'subscriber-secrets.json', text: secrets },
  ]
}

/** The package.json that makes Node read a configuration written in this folder as CommonJS, which it is not. */
export function commonJsPackage(folder: string): string | undefined {
  const file = join(folder, 'package.json')
  if (existsSync(file)) return typeOf(file) === 'commonjs' ? file : undefined
  const above = dirname(folder)
  return above === folder ? undefined : commonJsPackage(above)
}

function typeOf(file: string): unknown {
  try {
    return (JSON.parse(readFileSync(file, 'utf8')) as { type?: unknown } | null)?.type
  } catch {
    // What is no JSON is for Node to complain of.
    return undefined
  }
}

// No import: the package need not be where this file is, as when the command is installed globally or run from a clone.
function configText({ database, toBroadcaster }: SetupPlan): string {
  return `/** @type {import('waystation').Config} */
export default {
  // Where to listen: every interface, port 3003. For this machine alone write '127.0.0.1:3003'.
  addr: ':3003',

  // Where clients and other hubs reach this one, when that is not where it listens: behind a proxy, say.
  // publicUrl: 'http://broadcaster.example.com',

  // The secrets of both directions. Give subscriber-secrets.json, which holds the same, to those who subscribe and publish.
  secretsFile: \`\${import.meta.dirname}/broadcaster-secrets.json\`,

  // Everything that is kept on disk: ${database === '' ? 'the database of subscriptions and API keys (SQLite), and ' : ''}messages too large for memory.
  dataDir: \`\${import.meta.dirname}/waystation-data\`,
${database === '' ? '' : databaseText(database)}
${toBroadcaster.type === 'none' ? OPEN : SIGNED}
  // Webhooks go to public addresses only. Set this to true when subscribers are on this machine or in a private network.
  allowPrivate: false,
}
`
}

function databaseText(database: string): string {
  return `
  // Subscriptions and API keys. Hubs that share it act as one for webhooks.
  database: ${JSON.stringify(database)},
`
}

const OPEN = `  // WARNING: anyone who can reach the port may publish and subscribe. Take this line away, and only this machine may.
  toBroadcastersAuth: 'none',
`

const SIGNED = `  // Only those who prove that they know the secret publish and subscribe. WebSockets, event streams and plain POST cannot:
  // to open topics to them state a rule before this one, such as { topics: 'open/*', publish: 'local', subscribe: 'anyone' }.
  // So do publishers with an API key: { topics: 'acme/*', publish: 'anyone', subscribe: 'anyone' } lets in who has the key of
  // the domain acme, nobody else, and all who listen.
  rules: [{ topics: '*', publish: 'signed', subscribe: 'signed' }],
`
