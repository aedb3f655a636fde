import { readFile } from 'node:fs/promises'
import { WaystationError } from '../core/errors.ts'
import type { Clock, Random } from '../core/ports.ts'
import { readScheme, type Scheme } from '../protocol/lonelyps/authorization.ts'
import { parseSecrets, type Secrets } from '../protocol/lonelyps/secrets.ts'
import type { Broadcaster } from './rounds.ts'
import { socketSettings, type SocketSettings, type WebSocketOptions } from './socket/settings.ts'

/** How one direction is proved (lonelyps, section 3.1). For hmac the secret is the URL-safe base64 of 64 bytes. */
export interface SchemeOptions {
  readonly type: 'none' | 'token' | 'hmac'
  readonly secret?: string
}

export interface SubscriberOptions {
  /**
   * Base urls of broadcasters that share one database: all `http(s)://`, or all `ws(s)://`. The lower priority is tried first,
   * those of one priority in random order; 0 if none is stated.
   */
  readonly broadcasters: readonly (string | { readonly url: string; readonly priority?: number })[]
  /** How both sides prove who they are; a direction that is left out has the scheme none. Or a file as "waystation setup" writes it. */
  readonly auth?: { readonly toBroadcaster?: SchemeOptions; readonly toSubscriber?: SchemeOptions } | { readonly secretsFile: string }
  /**
   * Where webhooks are received; without it the object only publishes. Not for WebSockets, which need no port. `host` is 127.0.0.1 if none is stated, `url` is the
   * base url that broadcasters reach it by, `http://host:port` if none is stated. Port 0 is any free one.
   */
  readonly receive?: { readonly port: number; readonly host?: string; readonly url?: string }
  /**
   * How often every broadcaster is tried, 2 if not stated; by WebSockets, once there was a connection, 11 if not stated, which
   * is 17 minutes: a feed outlives a restart of its broadcaster. Before round k (from 1) it waits 2^(k-1) s and up to one more.
   */
  readonly retries?: number
  /**
   * ms: to connect (a WebSocket: until it is confirmed), 5,000 if not stated; of silence after the request has been sent, 60,000
   * (by a WebSocket as long again for each 16 MiB of a message); for a webhook's headers and body (a large one: for each MiB), 30,000. Of a WebSocket: without data before a ping, 10,000;
   * for its pong, 5,000; for the other side's goodbye, 5,000; after which it has lasted, and the retries begin anew, 60,000.
   */
  readonly timeouts?: {
    readonly connect?: number
    readonly answer?: number
    readonly request?: number
    readonly ping?: number
    readonly pong?: number
    readonly close?: number
    readonly stable?: number
  }
  readonly websocket?: WebSocketOptions
  /** A folder for this object alone; if not stated, a new one among the system's temporary files, gone with the object. */
  readonly spoolFolder?: string
  /** Messages of more bytes are received by way of a file; 10 MiB if not stated. */
  readonly spoolAbove?: number
  readonly bounds?: {
    /** Webhooks that have proved who sent them and are not answered yet, 1,000 if not stated; past it they are answered 503 and come back as missed. */
    readonly waiting?: number
    /** Bytes of their messages in memory, 256 MiB. */
    readonly waitingBytes?: number
    /** Bytes of their messages on disk, 16 GiB. */
    readonly spoolBytes?: number
    /** Messages sent by a WebSocket and not confirmed yet, 1,024; past it `notify` waits its turn. */
    readonly notifies?: number
    /** Their bytes in memory, 64 MiB. */
    readonly notifyBytes?: number
    /** Signatures that are remembered, a million: 4,000 messages a second with hmac. */
    readonly signatures?: number
  }
  /** Ends the object when it aborts. */
  readonly signal?: AbortSignal
  /** Told of what went wrong with nobody there to hear of it: a registration that could not be taken back, a broken request. */
  readonly failed?: (error: unknown) => void
  /** Time and chance of the retries and signatures, for tests. */
  readonly clock?: Clock
  readonly random?: Random
}

/** The options in force. */
export interface Settings {
  readonly broadcasters: readonly Broadcaster[]
  readonly retries: number
  /** The same for a WebSocket that was open before. */
  readonly reconnects: number
  readonly connectTimeout: number
  readonly answerTimeout: number
  readonly requestTimeout: number
  readonly spoolAbove: number
  readonly waiting: number
  readonly waitingBytes: number
  readonly spoolBytes: number
  readonly signatures: number
  readonly socket: SocketSettings
  /** Whether the broadcasters are reached by WebSockets. */
  readonly bySocket: boolean
}

const FIRST_ROUNDS = 2
const ROUNDS_BACK = 11

/** @throws {WaystationError} `config_invalid` */
export function settingsOf(options: SubscriberOptions): Settings {
  const { broadcasters, retries = FIRST_ROUNDS, timeouts = {}, bounds = {}, spoolAbove = 10_485_760 } = options
  if (broadcasters.length === 0) throw new WaystationError('config_invalid', 'broadcasters: state at least one')
  const settings = {
    retries,
    reconnects: options.retries ?? ROUNDS_BACK,
    connectTimeout: timeouts.connect ?? 5_000,
    answerTimeout: timeouts.answer ?? 60_000,
    requestTimeout: timeouts.request ?? 30_000,
    spoolAbove,
    waiting: bounds.waiting ?? 1_000,
    waitingBytes: bounds.waitingBytes ?? 268_435_456,
    spoolBytes: bounds.spoolBytes ?? 17_179_869_184,
    signatures: bounds.signatures ?? 1_000_000,
  }
  const socket = socketSettings(options)
  for (const [name, value] of Object.entries({ ...settings, ...socket })) {
    if (typeof value !== 'number') continue
    if (!Number.isSafeInteger(value) || value < (LEAST_ZERO.has(name) ? 0 : 1)) throw new WaystationError('config_invalid', `${name}: ${value} is too small, or no whole number`)
  }
  const list = broadcasters.map(broadcasterOf)
  const sockets = list.filter(({ url }) => url.startsWith('ws')).length
  if (sockets !== 0 && sockets !== list.length) throw new WaystationError('config_invalid', 'broadcasters: all are http:// or https://, or all are ws:// or wss://')
  if (sockets > 0 && options.receive !== undefined) throw new WaystationError('config_invalid', 'receive: what comes by a WebSocket needs no port; leave it out, or state http:// broadcasters')
  return { ...settings, socket, bySocket: sockets > 0, broadcasters: list }
}

const LEAST_ZERO: ReadonlySet<string> = new Set(['spoolAbove', 'spoolBytes', 'waitingBytes', 'notifyBytes', 'maxWindow'])

function broadcasterOf(stated: SubscriberOptions['broadcasters'][number]): Broadcaster {
  const { url, priority = 0 } = typeof stated === 'string' ? { url: stated } : stated
  return { url: /^wss?:/.test(url) ? `ws${baseUrl(url.replace(/^ws/, 'http'), 'broadcasters').slice(4)}` : baseUrl(url, 'broadcasters'), priority }
}

/**
 * A base url as it stands, without its last slash: it is signed to the letter.
 * @throws {WaystationError} `config_invalid`; the url, which may hold secrets, is not in it
 */
export function baseUrl(url: string, option: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !/^https?:\/\/[^\s?#@\\]+$/.test(url)) {
    throw new WaystationError('config_invalid', `${option}: a base url is http:// or https://, a host, and perhaps a port and a path`)
  }
  return url.replace(/\/+$/, '')
}

/** @throws {WaystationError} `config_invalid`; secrets are not in it */
export async function secretsOf(auth: SubscriberOptions['auth'] = {}): Promise<Secrets> {
  if ('secretsFile' in auth) {
    const text = await readFile(auth.secretsFile, 'utf8').catch((error: Error) => {
      throw new WaystationError('config_invalid', `${auth.secretsFile}: ${error.message}`, error)
    })
    const secrets = parseSecrets(text)
    if (typeof secrets === 'string') throw new WaystationError('config_invalid', `${auth.secretsFile}: ${secrets}`)
    return secrets
  }
  return { toBroadcaster: schemeOf(auth.toBroadcaster, 'toBroadcaster'), toSubscriber: schemeOf(auth.toSubscriber, 'toSubscriber') }
}

function schemeOf(stated: SchemeOptions | undefined, name: string): Scheme {
  const scheme = readScheme(stated?.type ?? 'none', stated?.secret)
  if (typeof scheme === 'string') throw new WaystationError('config_invalid', `${name}: ${scheme}`)
  return scheme
}
