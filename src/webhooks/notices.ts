import type { Clock, Random } from '../core/ports.ts'
import type { ClaimedNotice, Registration, Registry } from '../core/registry.ts'
import { topicToBytes, type Topic } from '../core/topic.ts'
import type { Checker } from '../protocol/lonelyps/authorization.ts'
import { claims } from '../protocol/lonelyps/claims.ts'
import { encodeMissed } from '../protocol/lonelyps/requests.ts'
import { parseConfirmMissed } from '../protocol/lonelyps/responses.ts'
import type { Caller } from './caller.ts'
import type { Prover } from './signing.ts'
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

/** Milliseconds until a notice that was sent `attempts` times in vain is sent again; `undefined` for never. */
export function delayOf(policy: NoticePolicy, attempts: number, random: Random): number | undefined {
  if (attempts >= policy.retries) return undefined
  return 1_000 * (policy.factor * policy.base ** Math.min(policy.most, attempts) + policy.constant + random.next() * policy.jitter)
}

/** Tells recovery urls that something was missed. */
export interface Notices {
  /** A delivery was in vain. Does nothing when the registration has no recovery url. */
  missed(registration: Registration, topic: Topic): void
  start(): void
  stop(): Promise<void>
}

const AT_ONCE = 64
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
}): Notices {
  const { registry, caller, prover, checker, clock, random, policy, interval, lock, failed } = parts
  /** What is to be written, the newest of each registration, and what is being written. */
  const unwritten = new Map<number, { topic: Topic; dueAt: number }>()
  let writing: Promise<void> | undefined
  let sweeping: Promise<void> | undefined
  let cancel = (): void => {}
  let stopped = true

  function missed(registration: Registration, topic: Topic): void {
    if (registration.recovery === undefined) return
    const delay = delayOf(policy, 0, random)
    if (delay === undefined) return
    unwritten.set(registration.id, { topic, dueAt: clock.now() + delay })
    write()
  }

  /** One write for each registration at a time, however fast its deliveries fail. */
  function write(): void {
    writing ??= (async () => {
      while (unwritten.size > 0) {
        const some = [...unwritten].slice(0, AT_ONCE)
        for (const [id] of some) unwritten.delete(id)
        const done = await Promise.allSettled(some.map(([id, notice]) => registry.postpone({ id, attempts: 0, ...notice })))
        const broken = done.findIndex(({ status }) => status === 'rejected')
        if (broken === -1) continue
        // It is tried again at the next sweep; what has come since then is newer.
        some.forEach(([id, notice], i) => {
          if (done[i]?.status === 'rejected' && !unwritten.has(id)) unwritten.set(id, notice)
        })
        failed((done[broken] as PromiseRejectedResult).reason)
        break
      }
      writing = undefined
    })()
  }

  async function sweep(): Promise<void> {
    if (unwritten.size > 0) write()
    for (;;) {
      const due = await registry.claim(clock.now(), lock, AT_ONCE)
      await Promise.all(due.map(send))
      if (due.length < AT_ONCE || stopped) return
    }
  }

  async function send(notice: ClaimedNotice): Promise<void> {
    const ok = await attempt(notice)
    if (stopped && !ok) return
    const attempts = notice.attempts + 1
    const delay = ok ? undefined : delayOf(policy, attempts, random)
    await registry.settle(notice, delay === undefined ? undefined : { attempts, dueAt: clock.now() + delay })
  }

  async function attempt({ registration, topic: name }: ClaimedNotice): Promise<boolean> {
    const target = parseTarget(registration.recovery ?? '')
    if (typeof target === 'string') return false
    const topic = topicToBytes(name)
    const url = target.signed
    const authorization = prover(claims.missed({ url, topic, tracing: NO_TRACING }))
    const headers = { 'Content-Type': 'application/octet-stream', ...(authorization !== undefined && { Authorization: authorization }) }
    const answer = await caller.call({ target, headers, parts: [encodeMissed({ tracing: NO_TRACING, topic })] })
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
      await writing
      await sweeping
    },
  }
}
