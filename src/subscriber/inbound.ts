import { mkdtemp, rm } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WaystationError } from '../core/errors.ts'
import type { Clock } from '../core/ports.ts'
import type { Topic } from '../core/topic.ts'
import { addressSet } from '../http/address.ts'
import { createAdmission } from '../http/admission.ts'
import { listen } from '../http/listen.ts'
import { createDispatch, createPort } from '../http/server.ts'
import { createSpool } from '../http/spool.ts'
import { createCaller, type Caller } from './broadcasters.ts'
import { createFeed, type Feed, type FeedOptions, type Inlet } from './feed.ts'
import { createIntake } from './intake.ts'
import { createInterests } from './interests.ts'
import { baseUrl, type Settings, type SubscriberOptions } from './options.ts'
import type { Content } from './received.ts'
import { createReceiver, receiveUrl, recoveryUrl } from './receiver.ts'
import { createRegistrar } from './registrar.ts'
import type { Rounds } from './rounds.ts'
import type { Signing } from './signing.ts'
import { targetsIn } from './targets.ts'

/** The half of a subscriber that receives: a server for webhooks, the feeds behind it, and what is registered for them. */
export interface Inbound {
  /** The base url that broadcasters know. */
  readonly base: string
  readonly port: number
  /** @throws {WaystationError} `bad_pattern`, `bad_request` */
  subscribe(stated: readonly (string | Uint8Array)[], options: FeedOptions): Feed
  /** @throws {WaystationError} */
  check(): Promise<boolean>
  gauges(): { waiting: number; bytes: number; spoolBytes: number }
  /** Ends the feeds, takes back what is registered, and stops the server. @param farewell tries each broadcaster once */
  close(farewell: Rounds): Promise<void>
}

export interface InboundParts {
  readonly stated: NonNullable<SubscriberOptions['receive']>
  readonly spoolFolder: string | undefined
  readonly settings: Settings
  readonly clock: Clock
  readonly signing: Signing
  readonly caller: Caller
  readonly rounds: Rounds
  readonly failed: (error: unknown) => void
}

/** What a closing object waits for at most, in ms: an answer, and webhooks whose message is still coming. */
export const CLOSE_TIME = 5_000
const HEADER_BYTES = 16_384
const KEEP_ALIVE = 75_000
const CONNECTIONS = 10_000

/** @throws {WaystationError} `config_invalid`, `listen_failed` */
export async function openInbound(parts: InboundParts): Promise<Inbound> {
  const { stated, settings, clock, signing, caller, rounds, failed } = parts
  const { host = '127.0.0.1', port } = stated
  if (stated.url === undefined && ['', '0.0.0.0', '::'].includes(host)) throw new WaystationError('config_invalid', 'receive.url: state how broadcasters reach every interface')
  if (stated.url !== undefined) baseUrl(stated.url, 'receive.url')
  const folder = parts.spoolFolder ?? await mkdtemp(join(tmpdir(), 'waystation-subscriber-'))
  const spool = createSpool(folder, settings.spoolBytes)
  const intake = createIntake(spool, settings)
  const interests = createInterests<Inlet>()
  const inlets = new Set<Inlet>()
  let closing = false

  const server = createPort({
    dispatch: createDispatch([{ takes: (request) => receiver.takes(request), answer: (request, response) => receiver.answer(request, response) }], addressSet([]), failed),
    bounds: { maxHeaderBytes: HEADER_BYTES, headerTimeout: settings.requestTimeout, requestTimeout: settings.requestTimeout, keepAliveTimeout: KEEP_ALIVE },
    admission: createAdmission({ total: CONNECTIONS, perAddress: CONNECTIONS }),
    trusted: addressSet([]),
    refused() {},
  }) as Server
  try {
    await listen(server, { host, port })
  } catch (error) {
    await removeFolder()
    throw new WaystationError('listen_failed', (error as Error).message, error)
  }
  const bound = (server.address() as AddressInfo).port
  const base = baseUrl(stated.url ?? `http://${host.includes(':') ? `[${host}]` : host}:${bound}`, 'receive.url')
  const registrar = createRegistrar({
    caller, rounds, signing, failed,
    monotonic: clock.monotonic,
    wanted: interests.wanted,
    urlOf: (door) => receiveUrl(base, door),
    recovery: recoveryUrl(base),
  })
  const receiver = createReceiver({ base, signing, intake, clock, most: settings.waiting, deliver, missed, failed })

  /** One for all feeds together, as the original counts; none when nobody has seen the message. */
  function deliver(door: number, topic: Topic, content: Content): Promise<number> {
    const found = interests.receivers(door, topic)
    if (found === undefined && !closing) registrar.restate(door)
    if (found === undefined || found.length === 0) return Promise.resolve(0)
    return new Promise((resolve) => {
      let left = found.length
      let count = 0
      const released = (outcome: 'taken' | 'unseen'): void => {
        if (outcome === 'taken') count = 1
        if (--left === 0) resolve(count)
      }
      for (const inlet of found) inlet.push({ topic, content, released })
    })
  }

  function missed(topic: Topic): void {
    for (const inlet of interests.all(topic)) {
      try {
        inlet.missed(topic)
      } catch (error) {
        failed(error)
      }
    }
  }

  async function removeFolder(): Promise<void> {
    if (parts.spoolFolder === undefined) await rm(folder, { recursive: true, force: true }).catch(failed)
  }

  async function told(doors: ReadonlySet<number>): Promise<void> {
    await Promise.all([...doors].map(registrar.update))
  }

  return {
    base,
    port: bound,
    subscribe(list, { onMissed }) {
      const targets = targetsIn(list)
      const { feed, inlet } = createFeed({
        onMissed,
        async leave() {
          inlets.delete(inlet)
          const changed = interests.leave(inlet)
          // Closing states everything once, at its end.
          if (!closing) await told(changed).catch(failed)
        },
      })
      inlets.add(inlet)
      interests.join(inlet, targets)
      const ready = told(interests.doorsOf(inlet)).catch((error: WaystationError) => {
        // Whether anything came of it is not known; what is too much is found when it is called for, and at the end.
        inlets.delete(inlet)
        interests.leave(inlet)
        inlet.end(error)
        throw error
      })
      ready.catch(() => {})
      return Object.assign(feed, { ready }) as Feed
    },
    check: registrar.check,
    gauges: () => ({ waiting: receiver.waiting, bytes: intake.bytes, spoolBytes: spool.bytes }),
    async close(farewell) {
      closing = true
      receiver.stop()
      for (const inlet of inlets) {
        interests.leave(inlet)
        inlet.end()
      }
      inlets.clear()
      const last = createCaller({ connectTimeout: settings.connectTimeout, answerTimeout: Math.min(settings.answerTimeout, CLOSE_TIME) })
      await registrar.close(farewell, last).catch(failed)
      await last.close().catch(failed)
      const gone = new Promise<void>((resolve) => void server.close(() => resolve()))
      const cut = clock.after(CLOSE_TIME, () => server.closeAllConnections())
      await receiver.idle()
      server.closeIdleConnections()
      await gone
      cut()
      await removeFolder()
    },
  }
}
