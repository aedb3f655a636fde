import { WaystationError } from '../core/errors.ts'
import { claims, type Claim } from '../protocol/lonelyps/claims.ts'
import { encodeCheck, encodeSet, encodeSubscribe, encodeUnsubscribe, inOrder, type Entry, type Kind } from '../protocol/lonelyps/requests.ts'
import { parseCheckResponse, parseGeneric, type Answer as Signed } from '../protocol/lonelyps/responses.ts'
import { strongEtag } from '../protocol/lonelyps/strong-etag.ts'
import { mayPass, refusal, type Caller } from './broadcasters.ts'
import { TryAgain, type Rounds } from './rounds.ts'
import { NO_TRACING, stated, type Signing } from './signing.ts'
import type { Target } from './targets.ts'

/** Keeps what broadcasters have registered for our urls equal to what is wanted: one change of a door after the other. */
export interface Registrar {
  /** Settles when what is wanted at the door now, or more, is registered. @throws {WaystationError} */
  update(door: number): Promise<void>
  /** Somebody was called for what nobody here wants: the list is stated once more, unless that was done just now. */
  restate(door: number): void
  /** Whether broadcasters have what is wanted, and nothing else (check_subscriptions). @throws {WaystationError} */
  check(): Promise<boolean>
  /** States every list for the last time, by other means if need be. @throws {WaystationError} */
  close(rounds: Rounds, caller: Caller): Promise<void>
}

export interface RegistrarParts {
  readonly rounds: Rounds
  readonly caller: Caller
  readonly signing: Signing
  readonly wanted: (door: number) => readonly Target[]
  readonly urlOf: (door: number) => string
  readonly recovery: string
  /** ms, never going back. */
  readonly monotonic: () => number
  readonly failed: (error: unknown) => void
}

interface State {
  /** What the broadcasters have: `undefined` when that is not sure. */
  known: ReadonlyMap<string, Target> | undefined
  running: Promise<void> | undefined
  next: Promise<void> | undefined
  restatedAt: number
}

/** What the original reckons requests to cost: a single one as much as a list of 512 (section 2.8). */
const SINGLE_COST = 65_536
const ENTRY_COST = 128
const RESTATE_MS = 1_000
/** Doors that one who had our url before may have left open. */
const UNKNOWN_DOORS = 100

export function createRegistrar(parts: RegistrarParts): Registrar {
  const { signing, wanted, urlOf, recovery, monotonic, failed } = parts
  const states = new Map<number, State>()
  let { rounds, caller } = parts

  function stateOf(door: number): State {
    let state = states.get(door)
    if (state === undefined) states.set(door, (state = { known: undefined, running: undefined, next: undefined, restatedAt: -Infinity }))
    return state
  }

  function update(door: number): Promise<void> {
    const state = stateOf(door)
    if (state.next !== undefined) return state.next
    const next = (state.running ?? Promise.resolve()).catch(() => {}).then(() => {
      state.next = undefined
      const running = change(door, state).finally(() => {
        if (state.running === running) state.running = undefined
      })
      state.running = running
      return running
    })
    state.next = next
    return next
  }

  async function change(door: number, state: State): Promise<void> {
    const list = new Map(wanted(door).map((target) => [target.key, target]))
    const { known } = state
    const gone = [...(known?.values() ?? [])].filter(({ key }) => !list.has(key))
    const added = [...list.values()].filter(({ key }) => known?.has(key) !== true)
    if (known !== undefined && gone.length + added.length === 0) return
    state.known = undefined
    if (known === undefined || ENTRY_COST * list.size <= SINGLE_COST * (gone.length + added.length)) await set(door, [...list.values()])
    else {
      // Those that go first: what comes may match the same topics.
      for (const target of gone) await single('unsubscribe', door, target)
      for (const target of added) await single('subscribe', door, target)
    }
    state.known = list
  }

  async function set(door: number, list: readonly Target[]): Promise<void> {
    const [url, topics, globs] = [urlOf(door), entries(list, 'exact'), entries(list, 'glob')]
    const etag = strongEtag(url, topics, globs)
    const body = encodeSet({ tracing: NO_TRACING, url, etag, topics, globs })
    await send('/v1/set_subscriptions', body, claims.setSubscriptions({ url, etag, tracing: NO_TRACING }), parseGeneric, ({ tracing }) => claims.setResponse({ etag, tracing }))
  }

  async function single(verb: 'subscribe' | 'unsubscribe', door: number, { kind, bytes: target }: Target): Promise<void> {
    const url = urlOf(door)
    const back = verb === 'subscribe' ? recovery : undefined
    const body = verb === 'subscribe' ? encodeSubscribe({ url, target, recovery, tracing: NO_TRACING }) : encodeUnsubscribe({ url, target, tracing: NO_TRACING })
    const asked = { url, recovery: back, topic: target, glob: target, tracing: NO_TRACING }
    const claim = kind === 'exact' ? claims.subscribeExact(asked) : claims.subscribeGlob(asked)
    await send(`/v1/${verb}/${kind}`, body, claim, parseGeneric, ({ tracing }) => (kind === 'exact' ? claims.confirmSubscribeExact({ ...asked, tracing }) : claims.confirmSubscribeGlob({ ...asked, tracing })), [409])
  }

  function entries(list: readonly Target[], kind: Kind): Entry[] {
    return inOrder(list.filter((target) => target.kind === kind).map(({ bytes }) => ({ target: bytes, recovery })))
  }

  /**
   * @param good statuses that say that it is so already; nothing is signed then
   * @throws {WaystationError}
   */
  async function send<A extends Signed>(path: string, body: Buffer, claim: Claim, parse: (bytes: Buffer) => A | undefined, answered: (answer: A) => Claim, good: readonly number[] = []): Promise<A | undefined> {
    return rounds.run(async (base) => {
      // Signed anew for each attempt: the first may have been taken, and only its answer lost (Q7).
      const { status, body: bytes } = await caller.post(base + path, signing.prove(claim), body)
      if (good.includes(status)) return undefined
      if (mayPass(status)) throw new TryAgain(new WaystationError('unreachable', `a broadcaster answers ${status}`))
      if (status < 200 || status > 299) throw refusal(status)
      const answer = parse(bytes)
      if (answer === undefined) throw new TryAgain(new WaystationError('unreachable', 'a broadcaster answers what cannot be understood'))
      // Bound to the request by the connection that it comes back on.
      const verdict = signing.checker.checkBound(stated(answer.authorization), answered(answer))
      if (verdict !== 'ok') throw new TryAgain(new WaystationError('forbidden', `the answer's authorization is ${verdict}`))
      return answer
    })
  }

  async function isRight(door: number): Promise<boolean> {
    const url = urlOf(door)
    const answer = await send('/v1/check_subscriptions', encodeCheck({ tracing: NO_TRACING, url }), claims.checkSubscriptions({ url, tracing: NO_TRACING }), parseCheckResponse, ({ etag, tracing }) => claims.checkResponse({ etag, tracing }))
    const list = wanted(door)
    return answer?.etag.equals(strongEtag(url, entries(list, 'exact'), entries(list, 'glob'))) === true
  }

  return {
    update,
    restate(door) {
      if (!states.has(door) && door >= UNKNOWN_DOORS) return
      const state = stateOf(door)
      // A change that is under way puts it right by itself.
      if (state.running !== undefined || state.next !== undefined || monotonic() - state.restatedAt < RESTATE_MS) return
      state.restatedAt = monotonic()
      state.known = undefined
      update(door).catch(failed)
    },
    async check() {
      const all = await Promise.all([...new Set([0, ...states.keys()])].map(isRight))
      return all.every(Boolean)
    },
    async close(last, by) {
      await Promise.allSettled([...states.values()].flatMap(({ running, next }) => [running, next]))
      rounds = last
      caller = by
      const ended = await Promise.allSettled([...states.keys()].map(update))
      for (const one of ended) if (one.status === 'rejected') throw one.reason
    },
  }
}
