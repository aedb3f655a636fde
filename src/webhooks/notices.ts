import type { Clock, Random } from '../core/ports.ts'
import type { ClaimedNotice, Registration, Registry } from '../core/registry.ts'
import { topicToBytes, type Topic } from '../core/topic.ts'
import type { Checker } from '../protocol/lonelyps/authorization.ts'
import { claims } from '../protocol/lonelyps/claims.ts'
import type { Prover } from '../protocol/lonelyps/prover.ts'
import { encodeMissed } from '../protocol/lonelyps/requests.ts'
import { parseConfirmMissed } from '../protocol/lonelyps/responses.ts'
import type { Caller } from './caller.ts'
import { parseTarget } from './target.ts'

/** When a notice is sent again (lonelyps, section 5.6): `factor * base ^ min(most, attempts) + constant + random * jitter` seconds. */
export interface NoticePolicy {
  readonly factor: number
  readonly base: number
  readonly most: number
  readonly constant: number
  readonly jitter: number
  /** No more once it was sent so often. */
  readonly retries: number
}

export const NOTICE_POLICY: NoticePolicy = { factor: 1, base: 2, most: 10, constant: 1, jitter: 2, retries: 20 }

/** Whole milliseconds until a notice that was sent `attempts` times in vain is sent again; `undefined` for never. */
export function delayOf(policy: NoticePolicy, attempts: number, random: Random): number | undefined {
  if (attempts >= policy.retries) return undefined
  return Math.round(1_000 * (policy.factor * policy.base ** Math.min(policy.most, attempts) + policy.constant + random.next() * policy.jitter))
}

/** The urls that a hub has registered for its own sockets. */
export interface OwnUrls {
  readonly receiveUrl: string
  readonly recoveryUrl: string
  /** Tells the sockets, in place of a notice. */
  missed(topic: Topic): void
}

/** Tells recovery urls that something was missed. */
export interface Notices {
  /** A delivery was in vain. Does nothing when the registration has no recovery url. */
  missed(registration: Registration, topic: Topic): void
  start(): void
  stop(): Promise<void>
}

/** Notices that are written at once, and that are claimed at once. */
const AT_ONCE = 64
/** Notices that begin in one turn of the event loop: each is encoded, signed and sent. */
const IN_TURN = 16
/** Notices that are being sent; what is due beyond them waits until one has been answered, or is late. */
const MOST_SENDING = 256
const NO_TRACING = Buffer.alloc(0)

/**
 * @param parts.interval ms between two looks at what is due
 * @param parts.lock ms for which a notice is ours: longer than any call takes
 * @param parts.failed told of what the registry could not do
 */
export function createNotices(parts: {
  registry: Registry
  caller: Caller
  prover: Prover
  checker: Checker
  clock: Clock
  random: Random
  policy: NoticePolicy
  interval: number
  lock: number
  failed: (error: unknown) => void
  own: OwnUrls | undefined
}): Notices {
  const { own, registry, caller, prover, checker, clock, random, policy, interval, lock, failed } = parts
  /** What is to be written, the newest of each registration. */
  const unwritten = new Map<number, { topic: Topic; dueAt: number }>()
  /** When the first notice of each registration that waits was to be due. */
  const firstDue = new Map<number, number>()
  const sending = new Set<Promise<void>>()
  let writing: Promise<void> | undefined
  let broken = false
  let sweeping: Promise<void> | undefined
  let inTurn = 0
  let room = (): void => {}
  let cancel = (): void => {}
  let stopped = true

  function missed(registration: Registration, topic: Topic): void {
    if (registration.recovery === undefined) return
    const delay = delayOf(policy, 0, random)
    if (delay === undefined) return
    const now = clock.now()
    // A newer miss does not put the notice off, or one that fails every second would never be told of.
    const dueAt = Math.min(firstDue.get(registration.id) ?? Infinity, now + delay)
    firstDue.set(registration.id, dueAt)
    unwritten.set(registration.id, { topic, dueAt })
    if (!broken) write()
  }

  /** One write for each registration at a time, however fast its deliveries fail. */
  function write(): void {
    writing ??= writeAll().finally(() => {
      writing = undefined
    })
  }

  async function writeAll(): Promise<void> {
    broken = false
    // One walk for all: it goes on where it was, and sees what came meanwhile. A new one would step over what is gone, each time.
    let walk = unwritten.entries()
    while (unwritten.size > 0 && !broken) {
      const some = [...walk.take(AT_ONCE)]
      if (some.length === 0) walk = unwritten.entries()
      for (const [id] of some) unwritten.delete(id)
      const done = await Promise.allSettled(some.map(([id, notice]) => registry.postpone({ id, attempts: 0, ...notice })))
      for (const [i, [id, notice]] of some.entries()) {
        const one = done[i]
        if (one?.status !== 'rejected') continue
        // It is tried again at the next sweep; what has come since then is newer.
        if (!unwritten.has(id)) unwritten.set(id, notice)
        if (!broken) failed(one.reason)
        broken = true
      }
    }
  }

  async function sweep(): Promise<void> {
    // Others may have sent what we know of; then the next miss begins anew.
    const old = clock.now() - 2 * interval
    for (const [id, dueAt] of firstDue) if (dueAt < old) firstDue.delete(id)
    if (unwritten.size > 0) write()
    for (;;) {
      while (inTurn >= MOST_SENDING && !stopped) await new Promise<void>((resolve) => (room = resolve))
      if (stopped) return
      const due = await registry.claim(clock.now(), lock, AT_ONCE)
      for (const [i, notice] of due.entries()) {
        // Those that are left when it stops are begun too: each is given back as it was.
        if (i > 0 && i % IN_TURN === 0 && !stopped) await new Promise<void>((resolve) => clock.endOfTurn(resolve))
        begin(notice)
      }
      if (due.length < AT_ONCE) return
    }
  }

  function begin(notice: ClaimedNotice): void {
    firstDue.delete(notice.id)
    let counted = true
    inTurn++
    const done = (): void => {
      if (!counted) return
      counted = false
      inTurn--
      room()
    }
    const sent = send(notice, done).catch(failed).finally(() => {
      done()
      sending.delete(sent)
    })
    sending.add(sent)
  }

  async function send(notice: ClaimedNotice, late: () => void): Promise<void> {
    const ok = await attempt(notice, late).catch(() => false)
    // What we have cut off ourselves is left as it was, for whoever comes next.
    if (stopped && !ok) return registry.settle(notice, { attempts: notice.attempts, dueAt: notice.dueAt })
    const attempts = notice.attempts + 1
    const delay = ok ? undefined : delayOf(policy, attempts, random)
    await registry.settle(notice, delay === undefined ? undefined : { attempts, dueAt: clock.now() + delay })
  }

  /** Whether there is nothing left to tell. */
  async function attempt({ registration, topic: name }: ClaimedNotice, late: () => void): Promise<boolean> {
    // Another hub could not reach us, and its notice has become ours to send.
    if (own !== undefined && registration.url === own.receiveUrl && registration.recovery === own.recoveryUrl) {
      own.missed(name)
      return true
    }
    const target = parseTarget(registration.recovery ?? '')
    // There is nobody to tell, today or later.
    if (typeof target === 'string') return true
    const topic = topicToBytes(name)
    const url = target.signed
    const authorization = prover(claims.missed({ url, topic, tracing: NO_TRACING }))
    const headers = { 'Content-Type': 'application/octet-stream', ...(authorization !== undefined && { Authorization: authorization }) }
    const answer = await caller.call({ target, headers, parts: [encodeMissed({ tracing: NO_TRACING, topic })] }, late)
    if ('failure' in answer) return false
    const parsed = parseConfirmMissed(answer.body)
    if (parsed === undefined) return false
    const proof = parsed.authorization === '' ? undefined : parsed.authorization
    return (await checker.check(proof, claims.confirmMissed({ topic, url, tracing: parsed.tracing }))) === 'ok'
  }

  function again(): void {
    if (stopped) return
    cancel = clock.after(interval, () => {
      sweeping = sweep().catch(failed).then(again)
    })
  }

  return {
    missed,
    start() {
      stopped = false
      again()
    },
    async stop() {
      stopped = true
      cancel()
      room()
      await sweeping
      await Promise.all(sending)
      if (unwritten.size > 0) write()
      await writing
    },
  }
}
