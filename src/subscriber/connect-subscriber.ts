import { WaystationError } from '../core/errors.ts'
import { holdProcess, randomBytes, realClock, realRandom } from '../http/real-world.ts'
import { createCaller } from './broadcasters.ts'
import type { Feed, FeedOptions } from './feed.ts'
import { CLOSE_TIME, openInbound } from './inbound.ts'
import { secretsOf, settingsOf, type SubscriberOptions } from './options.ts'
import { createPublisher, type Notify } from './publisher.ts'
import { createRounds } from './rounds.ts'
import { createSigning } from './signing.ts'
import { createOutbound } from './socket/outbound.ts'

/** Publishes to lonelyps broadcasters and receives from them, by webhooks or by a WebSocket. */
export interface Subscriber extends AsyncDisposable {
  /** The url under which broadcasters know this object, and its port; `undefined` when it only publishes, and with WebSockets. */
  readonly receiveUrl: string | undefined
  readonly port: number | undefined
  /**
   * Publishes a message (sections 2.3 and 4.9); it is tried again as section 2.8 says, so that it may arrive twice where an answer was lost.
   * By a WebSocket messages in memory go out in the order of the calls.
   * @param topic text or bytes, at most 65,535
   * @returns how many subscribers took it
   * @throws {WaystationError} `unreachable`, `forbidden`, `bad_request`, `message_too_large`, `overloaded`, `stopped`
   */
  readonly notify: Notify
  /**
   * A feed of what comes on a topic, on the topics that a glob matches, or on any of a list; a message that several of one
   * feed's targets match comes once. Bytes, and text without a special sign, are a topic.
   * @throws {WaystationError} `bad_pattern`, `bad_request`, `stopped`; `config_invalid` when the object only publishes.
   * By a WebSocket the feed ends with `unreachable` when no broadcaster can be reached.
   */
  subscribe(targets: string | Uint8Array | readonly (string | Uint8Array)[], options?: FeedOptions): Feed
  /**
   * Whether the broadcasters have registered what the feeds want, and nothing else (check_subscriptions); with WebSockets,
   * whether the one that is connected has confirmed it. @throws {WaystationError}
   */
  check(): Promise<boolean>
  /** Messages that wait for a feed or are on their way to it, and their bytes in memory and on disk. */
  gauges(): { waiting: number; bytes: number; spoolBytes: number }
  /** Ends the feeds, takes back what is registered and stops the server. Never rejects. */
  close(): Promise<void>
}

/**
 * A lonelyps subscriber and publisher, over HTTP (sections 2, 3 and 5.4) or by one WebSocket (section 4). Listens where
 * `receive` is stated; nothing is sent before the first subscription or message.
 * @throws {WaystationError} `config_invalid`, `listen_failed`, `stopped`
 */
export async function connectSubscriber(options: SubscriberOptions): Promise<Subscriber> {
  const settings = settingsOf(options)
  const { clock = realClock, random = realRandom, failed = () => {}, receive, signal } = options
  const isAborted = (): boolean => signal?.aborted === true
  if (isAborted()) throw new WaystationError('stopped')
  const secrets = await secretsOf(options.auth)
  const stopping = new AbortController()
  const signing = createSigning(secrets, clock, randomBytes, settings.signatures)
  const caller = createCaller(settings)
  const world = { broadcasters: settings.broadcasters, clock, random, hold: holdProcess }
  const outbound = settings.bySocket ? createOutbound({ ...world, spoolFolder: options.spoolFolder, settings, randomBytes, signing, failed }) : undefined
  const rounds = createRounds({ ...world, rounds: settings.retries, stopped: stopping.signal })
  const notify = outbound?.notify ?? createPublisher({ rounds, caller, signing, randomBytes })
  const inbound = receive === undefined ? undefined : await openInbound({ stated: receive, spoolFolder: options.spoolFolder, settings, clock, signing, caller, rounds, failed })
  let closing: Promise<void> | undefined

  async function close(): Promise<void> {
    stopping.abort()
    signal?.removeEventListener('abort', end)
    const letGo = holdProcess()
    // A broadcaster that does not answer holds nobody up for longer than that.
    const impatient = clock.after(CLOSE_TIME, () => void caller.close().catch(failed))
    await outbound?.close()
    await inbound?.close(createRounds({ ...world, rounds: 1, stopped: new AbortController().signal }))
    impatient()
    await caller.close().catch(failed)
    letGo()
  }

  function end(): Promise<void> {
    return (closing ??= close())
  }

  function mustRun(): void {
    if (stopping.signal.aborted) throw new WaystationError('stopped')
  }

  signal?.addEventListener('abort', end, { once: true })
  if (isAborted()) {
    await end()
    throw new WaystationError('stopped')
  }

  return {
    receiveUrl: inbound?.base,
    port: inbound?.port,
    async notify(topic, body) {
      mustRun()
      return notify(topic, body)
    },
    subscribe(stated, feedOptions = {}) {
      mustRun()
      const way = outbound ?? inbound
      if (way === undefined) throw new WaystationError('config_invalid', 'receive: without it there is nothing to subscribe with')
      return way.subscribe(typeof stated === 'string' || stated instanceof Uint8Array ? [stated] : stated, feedOptions)
    },
    async check() {
      mustRun()
      return (outbound ?? inbound)?.check() ?? true
    },
    gauges: () => (outbound ?? inbound)?.gauges() ?? { waiting: 0, bytes: 0, spoolBytes: 0 },
    close: end,
    [Symbol.asyncDispose]: end,
  }
}
