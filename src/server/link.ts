import type { LinkState } from '../links/ports.ts'
import { invalid } from './invalid.ts'
import { linksOf } from './link-hosts.ts'
import { isThisMachine, readGrants, readLinks, tcpRefused, type LinkOptions, type LinkServerConfig } from './link-options.ts'
import type { PublicHub } from './public-hub.ts'

export type { Grant, LinkOptions, LinkServerConfig, LinkTls } from './link-options.ts'
export type { LinkState } from '../links/ports.ts'
export type { TlsFiles } from '../zones/ports.ts'

/** A daemon that gives topics by links. */
export interface LinkServer extends AsyncDisposable {
  readonly port: number
  /** Connections that are here. */
  readonly takers: number
  /** Writes out what is pending and ends all connections. The hub does so too when it is closed. */
  close(): Promise<void>
}

/** A link that takes topics. */
export interface Link extends AsyncDisposable {
  /** Whether it is there, and if not, why not. */
  readonly state: LinkState
  /** Ends it; it does not come back. The hub does so too when it is closed. */
  close(): Promise<void>
}

/**
 * Gives the hub's topics to takers in other zones: the daemon of PonyExpress (`pony-express.md`, section 6), which also
 * answers what another Waystation asks beyond it.
 * @param options.hub `server.hub` of a hub in this process
 * @throws {WaystationError} `config_invalid` for options or files that cannot be used; `listen_failed`; `stopped`
 */
export async function serveLinks({ hub, port, host, tls, transport = 'tls', insecure, grants = [], atoms = [], matchAddress }: { hub: PublicHub } & LinkServerConfig): Promise<LinkServer> {
  const problems: string[] = []
  const read = readGrants(grants)
  if ('faults' in read) problems.push(...read.faults.map((fault) => `grants${fault}`))
  const number = Number(port)
  if (!Number.isInteger(number) || number < 0 || number > 65_535) problems.push('port must be a port number from 0 to 65535')
  if (transport === 'tls' && tls === undefined) problems.push('tls is missing: { cacertfile, certfile, keyfile }')
  if (transport === 'tcp' && tls !== undefined) problems.push('tls is stated, but transport is tcp')
  if (transport === 'tcp' && host !== undefined && insecure !== true && !isThisMachine(host)) problems.push(tcpRefused(`host ${host}`, 'insecure: true'))
  if (problems.length > 0) throw invalid(problems)
  const running = await linksOf(hub).serve({
    port: number,
    host: host ?? (transport === 'tcp' ? '127.0.0.1' : undefined),
    tls, grants, atoms,
    matchAddress: matchAddress === true ? 'checked' : 'unchecked',
  })
  const close = (): Promise<void> => running.stop(AbortSignal.timeout(CLOSE_MS))
  return {
    get port() { return running.port },
    get takers() { return running.takers },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/**
 * Takes topics from a daemon of PonyExpress or of another Waystation (`pony-express.md`, section 7) and publishes them into
 * the hub. The link is made in the background, and made again whenever it is lost.
 * @param options.hub `server.hub` of a hub in this process
 * @throws {WaystationError} `config_invalid` for options or files that cannot be used; `stopped`
 */
export async function connectLink({ hub, ...link }: { hub: PublicHub } & LinkOptions): Promise<Link> {
  const read = readLinks([link])
  if ('faults' in read) throw invalid(read.faults.map((fault) => fault.replace(/^\[0\]\.?/, '')))
  const running = await linksOf(hub).connect(link)
  const close = (): Promise<void> => running.stop(AbortSignal.timeout(CLOSE_MS))
  return {
    get state() { return running.view().current },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** How long a taker may need for what is pending when one end is closed. */
const CLOSE_MS = 5_000
