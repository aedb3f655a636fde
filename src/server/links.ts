import { isIP } from 'node:net'
import { WaystationError } from '../core/errors.ts'
import type { HubPort, Random, Transport } from '../core/ports.ts'
import type { TransportKit } from '../core/transport-kit.ts'
import { createAdmission } from '../http/admission.ts'
import { createLinkClient } from '../links/client.ts'
import { openCredentials, type Side } from '../zones/credentials.ts'
import { createLinkDaemon } from '../links/daemon.ts'
import { createDial } from '../zones/dial.ts'
import { bareAddress } from '../zones/names.ts'
import type { LinkView } from '../links/ports.ts'
import type { Credentials, TlsFiles } from '../zones/ports.ts'
import { COMMON_ATOMS } from '../protocol/etf/term.ts'
import type { Grant, LinkOptions } from './link-options.ts'
import type { Logger } from './log.ts'
import type { HubMetrics } from './metrics.ts'
import type { Options } from './options.ts'
import { createRefusalLog } from './refusal-log.ts'

/** What the daemon of links is told. */
export interface DaemonOptions {
  readonly port: number
  readonly host: string | undefined
  /** `undefined` is plain TCP. */
  readonly tls: TlsFiles | undefined
  readonly grants: readonly Grant[]
  readonly atoms: readonly string[]
  readonly matchAddress: 'checked' | 'unchecked'
}

/** One end of a link that runs. */
export interface RunningEnd {
  stop(deadline: AbortSignal): Promise<void>
}

/** Everything of a hub that has to do with links, whoever has asked for it: its options or the program. */
export interface Links {
  /** @throws {WaystationError} `config_invalid` for files that cannot be used, `listen_failed` */
  serve(options: DaemonOptions): Promise<RunningEnd & { readonly port: number; readonly takers: number }>
  /** Settles at once; the link is made in the background. @throws {WaystationError} `config_invalid` */
  connect(options: LinkOptions): Promise<RunningEnd & { view(): LinkView }>
  /** What the options of the hub state: all of it, or nothing, and then it can be tried again. Gives what takes it back. @throws as above */
  startStated(options: Options): Promise<() => Promise<void>>
  views(): readonly LinkView[]
  /** Connections of takers. */
  readonly takers: number
  /** Ports that takers connect to. */
  readonly ports: readonly number[]
  stop(deadline: AbortSignal): Promise<void>
}

export function createLinks(parts: { kit: TransportKit; random: Random; hub: HubPort; logger: Logger; metrics: HubMetrics }): Links {
  const { kit, random, hub, logger, metrics } = parts
  const { limits } = kit
  const daemons = new Set<ReturnType<typeof createLinkDaemon>>()
  const clients = new Set<ReturnType<typeof createLinkClient>>()
  const admission = createAdmission({ total: limits.maxLinks, perAddress: limits.maxConnectionsPerAddress })
  const refusals = createRefusalLog(kit.clock, (line) => logger.warn(line, 'a taker of links was turned away'))
  const hubId = (): string => hub.cursor.epoch
  let stopping = false

  async function credentialsOf(files: TlsFiles, side: Side, whose: string): Promise<Credentials> {
    return openCredentials(files, {
      side, clock: kit.clock,
      reloaded: () => logger.info(`the certificates of ${whose} were read again`),
      alarm: (error) => logger.error({ why: error.message }, `the certificates of ${whose} need a look`),
    })
  }

  /** Starts one, and gives what stops it and forgets it. */
  async function run<T extends Transport>(transport: T, among: Set<T>, credentials: Credentials | undefined): Promise<(deadline: AbortSignal) => Promise<void>> {
    if (stopping) {
      credentials?.stop()
      throw new WaystationError('stopped')
    }
    let stopped: Promise<void> | undefined
    const stop = (deadline: AbortSignal): Promise<void> => (stopped ??= (async () => {
      await transport.stop(deadline)
      credentials?.stop()
      among.delete(transport)
      ends.delete(stop)
    })())
    among.add(transport)
    ends.add(stop)
    try {
      await transport.start(hub)
    } catch (error) {
      await stop(AbortSignal.abort())
      throw stopping ? new WaystationError('stopped') : error
    }
    return stop
  }
  const ends = new Set<(deadline: AbortSignal) => Promise<void>>()

  const links: Links = {
    async serve({ port, host, tls, grants, atoms, matchAddress }) {
      const credentials = tls === undefined ? undefined : await credentialsOf(tls, 'daemon', 'the daemon of links')
      if (tls === undefined) logger.warn({ host, port }, 'links are given over plain TCP: without encryption, to anyone who reaches the port')
      const daemon = createLinkDaemon({
        kit, hubId, admission,
        listen: { port, ...(host !== undefined && { host }) },
        security: credentials === undefined ? { kind: 'tcp' } : { kind: 'tls', credentials, matchAddress },
        grants: grants.length === 0 ? undefined : grants,
        atoms: new Set([...COMMON_ATOMS, ...atoms]),
        events: {
          refused(reason, who) {
            metrics.takerRefused(reason)
            refusals.refused(reason, { ...who, address: bareAddress(who.address) })
          },
          taken: (address, names) => logger.info({ address: bareAddress(address), names }, 'a taker of links is here'),
          ended(address, reason, names, got) {
            // Whoever got nothing was turned away, or only looked whether somebody is here.
            if (got === 'something') logger.info({ address: bareAddress(address), names, reason }, 'a taker of links has gone')
          },
          failed: (error) => logger.error({ err: error }, 'a taker of links could not be served'),
        },
      })
      const stop = await run(daemon, daemons, credentials)
      return { stop, get port() { return daemon.port }, get takers() { return daemon.takers } }
    },
    async connect({ server, port, topics, prefix = '', tls }) {
      const name = `${isIP(server) === 6 ? `[${server}]` : server}:${port}`
      const credentials = tls === undefined ? undefined : await credentialsOf(tls, 'client', `the link to ${name}`)
      if (tls === undefined) logger.warn({ link: name }, 'a link is taken over plain TCP: without encryption, from whoever answers there')
      const dial = createDial({
        server, port, timeout: limits.linkHandshakeTimeout,
        security: credentials === undefined ? { kind: 'tcp' } : { kind: 'tls', credentials, ...(tls?.servername !== undefined && { servername: tls.servername }) },
      })
      const client = createLinkClient({
        kit, random, hubId, dial,
        link: { server, port, topics, prefix },
        events: {
          changed({ current, unserved = [] }) {
            if (current.state === 'down') return logger.warn({ link: name, why: current.why }, 'a link is down')
            logger.info({ link: name, peer: current.peer }, 'a link is up')
            if (unserved.length > 0) logger.warn({ link: name, globs: unserved }, 'the other end of a link is PonyExpress, which knows no globs: these are not taken')
          },
          dropped: (reason) => metrics.linkDropped(reason),
          failed: (error) => logger.error({ err: error, link: name }, 'what came by a link cannot be published'),
        },
      })
      const stop = await run(client, clients, credentials)
      return { stop, view: () => client.view() }
    },
    async startStated(options) {
      const begun: RunningEnd[] = []
      const undo = async (): Promise<void> => void await Promise.all(begun.map(({ stop }) => stop(AbortSignal.abort())))
      try {
        if (options.linkPort !== '') begun.push(await links.serve(daemonOf(options, options.linkPort)))
        for (const link of options.links) begun.push(await links.connect(link))
      } catch (error) {
        await undo()
        throw error
      }
      return undo
    },
    views: () => [...clients].map((client) => client.view()),
    get takers() { return [...daemons].reduce((sum, { takers }) => sum + takers, 0) },
    get ports() { return [...daemons].map(({ port }) => port) },
    async stop(deadline) {
      stopping = true
      await Promise.all([...ends].map((end) => end(deadline)))
    },
  }
  return links
}

function daemonOf({ linkHost, linkTransport, linkCacertfile: cacertfile, linkCertfile: certfile, linkKeyfile: keyfile, linkCrlfile, linkGrants: grants, linkAtoms: atoms, linkMatchAddress }: Options, port: number): DaemonOptions {
  return {
    port,
    host: linkHost !== '' ? linkHost : linkTransport === 'tcp' ? '127.0.0.1' : undefined,
    tls: linkTransport === 'tcp' ? undefined : { cacertfile, certfile, keyfile, ...(linkCrlfile !== '' && { crlfile: linkCrlfile }) },
    grants, atoms,
    matchAddress: linkMatchAddress ? 'checked' : 'unchecked',
  }
}
