import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WaystationError } from '../../core/errors.ts'
import type { Clock, Random, RandomBytes } from '../../core/ports.ts'
import type { Topic } from '../../core/topic.ts'
import { createSpool } from '../../http/spool.ts'
import { createFeed, type Feed, type FeedOptions, type Inlet } from '../feed.ts'
import type { Settings } from '../options.ts'
import { bodyOf, digestOf, topicBytes, type Body, type Notify } from '../publisher.ts'
import type { Signing } from '../signing.ts'
import { targetsIn, type Target } from '../targets.ts'
import { createAttempts } from './attempts.ts'
import { createKeeper } from './keeper.ts'
import { createOutbox } from './outbox.ts'
import { openSession, type Session } from './session.ts'
import { createTaking, type Taken } from './taking.ts'
import { createWants } from './wants.ts'
import { createDial } from './wire.ts'

/** A subscriber whose broadcasters are reached by WebSockets (lonelyps, section 4). */
export interface Outbound {
  readonly notify: Notify
  /** @throws {WaystationError} `bad_pattern`, `bad_request` */
  subscribe(stated: readonly (string | Uint8Array)[], options: FeedOptions): Feed
  check(): Promise<boolean>
  gauges(): { waiting: number; bytes: number; spoolBytes: number }
  /** Ends the feeds and all that is not confirmed, and says goodbye. */
  close(): Promise<void>
}

export interface OutboundParts {
  readonly spoolFolder: string | undefined
  readonly settings: Settings
  readonly clock: Clock
  readonly random: Random
  readonly randomBytes: RandomBytes
  readonly hold: () => () => void
  readonly signing: Signing
  readonly failed: (error: unknown) => void
}

export function createOutbound(parts: OutboundParts): Outbound {
  const { settings, clock, random, randomBytes, signing, failed } = parts
  const { socket } = settings
  const folder = parts.spoolFolder ?? join(tmpdir(), `waystation-subscriber-${randomBytes(12).toString('hex')}`)
  const spool = createSpool(folder, settings.spoolBytes)
  const taking = createTaking(spool, { ...settings, maxWindow: socket.maxWindow })
  const outbox = createOutbox(socket, randomBytes)
  const wants = createWants(tellMissed)
  const dial = createDial({ ping: socket.pingAfter, pong: socket.pongTimeout, close: socket.closeTimeout }, clock)
  const session = { dial, clock, signing, randomBytes, taking, offer: socket.offer, form: socket.headers, openTimeout: settings.connectTimeout, answerTimeout: settings.answerTimeout }
  let current: Session | undefined
  let isClosed = false

  const keeper = createKeeper<Session>({
    attempts: createAttempts(settings.broadcasters, { first: settings.retries, again: settings.reconnects }, random),
    clock,
    hold: parts.hold,
    lasting: socket.stableAfter,
    open: (url, { opened, closed }) => openSession(session, url, {
      opened,
      deliver,
      missed: (topic) => {
        for (const inlet of wants.receivers(topic)) tellMissed(inlet, [topic])
      },
      closed(why, fault, silence) {
        if (fault !== undefined) failed(fault)
        closed(why, silence)
      },
    }),
    opened(own) {
      current = own
      for (const target of wants.targets()) subscribeBy(own, target)
      outbox.attach(own)
    },
    lost() {
      current = undefined
      wants.lost()
      outbox.detach()
    },
    isNeeded: () => wants.size + outbox.size > 0,
    gaveUp(error) {
      outbox.fail(error)
      wants.end(error)
    },
  })

  function subscribeBy(own: Session, target: Target): void {
    own.change('subscribe', target, () => wants.confirmed(target))
  }

  /** Settles when it is confirmed, or the connection has ended. */
  function unsubscribed(targets: readonly Target[]): Promise<void> {
    const own = current
    if (own === undefined || targets.length === 0) return Promise.resolve()
    return new Promise((resolve) => {
      let left = targets.length
      const one = (): void => {
        if (--left > 0) return
        own.over.removeEventListener('abort', end)
        resolve()
      }
      const end = (): void => resolve()
      own.over.addEventListener('abort', end, { once: true })
      for (const target of targets) own.change('unsubscribe', target, one)
    })
  }

  function deliver(topic: Topic, { content, done }: Taken): void {
    const found = [...wants.receivers(topic)]
    let left = found.length
    const released = (): void => {
      if (--left === 0) done()
    }
    if (left === 0) done()
    for (const inlet of found) inlet.push({ topic, content, released })
    // The feeds hold it now.
    content.large?.letGo()
  }

  function tellMissed(inlet: Inlet, topics: readonly Topic[]): void {
    try {
      inlet.missed(...topics)
    } catch (error) {
      failed(error)
    }
  }

  async function add(topic: Buffer, body: Body, sha512: Buffer): Promise<{ subscribers: number }> {
    if (isClosed) throw new WaystationError('stopped')
    const added = outbox.add(topic, body, sha512)
    keeper.need()
    return added
  }

  return {
    async notify(to, stuff) {
      const topic = topicBytes(to)
      const body = bodyOf(stuff)
      // In memory it is hashed at once, so that messages go out in the order of the calls.
      const digest = digestOf(body)
      return Buffer.isBuffer(digest) ? add(topic, body, digest) : add(topic, body, await digest)
    },
    subscribe(list, { onMissed }) {
      const targets = targetsIn(list)
      const { feed, inlet } = createFeed({ onMissed, leave: () => unsubscribed(wants.leave(inlet)) })
      const { added, ready } = wants.join(inlet, targets)
      if (current !== undefined) for (const target of added) subscribeBy(current, target)
      keeper.need()
      return Object.assign(feed, { ready }) as Feed
    },
    check: async () => wants.size === 0 || (current !== undefined && wants.stands()),
    gauges: () => ({ waiting: taking.waiting, bytes: taking.bytes, spoolBytes: spool.bytes }),
    async close() {
      isClosed = true
      current = undefined
      wants.end()
      outbox.fail(new WaystationError('stopped'))
      await keeper.close()
      if (parts.spoolFolder === undefined) await rm(folder, { recursive: true, force: true }).catch(failed)
    },
  }
}
