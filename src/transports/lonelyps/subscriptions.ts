import { WaystationError } from '../../core/errors.ts'
import { exactly, type Interest } from '../../core/interest.ts'
import { compilePattern } from '../../core/pattern.ts'
import type { Wanted } from '../../core/registry.ts'
import { topicFromBytes, topicToBytes } from '../../core/topic.ts'
import { claims, type Claim } from '../../protocol/lonelyps/claims.ts'
import { inOrder, parseCheck, parseSetHead, parseSubscribe, parseUnsubscribe, readSetLists, type Entry, type Kind, type SetHead, type SubscribeRequest } from '../../protocol/lonelyps/requests.ts'
import { createStrongEtag } from '../../protocol/lonelyps/strong-etag.ts'
import { NO_TRACING } from './answers.ts'
import { authorize } from './authorize.ts'
import type { Call, Endpoint, EndpointParts } from './parts.ts'
import { Refusal } from './refusals.ts'

/** The most that a set_subscriptions body has before its lists: all of it is there, or the body is cut short. */
const SET_HEAD_MAX = 2 + 65_535 + 2 + 65_535 + 1 + 64 + 4

/** Entries that are handled in one turn of the event loop. */
const SLICE = 1_000

/** Subscribe, unsubscribe, check and set (lonelyps, section 2.3). */
export function createSubscriptionEndpoints(parts: EndpointParts): Readonly<Record<string, Endpoint>> {
  const { registry, fromSubscribers, reply, refusesUrl, kit } = parts
  const { limits } = kit

  function subscribe(kind: Kind): Endpoint {
    return async (call) => {
      const request = await parsed(call, (body) => parseSubscribe(body, kind))
      await authorize(call, fromSubscribers, claimOf(kind, request))
      const wanted = wantedOf(kind, request)
      const denied = refusalOf(call, request.url, [wanted])
      if (denied !== undefined) throw denied
      mustFit(request.url, 1)
      if (!(await registry.add(request.url, wanted))) throw new Refusal(409)
      reply.generic(call.response, answerTo(kind, request))
    }
  }

  function unsubscribe(kind: Kind): Endpoint {
    return async (call) => {
      const request = { ...(await parsed(call, (body) => parseUnsubscribe(body, kind))), recovery: undefined }
      await authorize(call, fromSubscribers, claimOf(kind, request))
      if (!(await registry.remove(request.url, wantedOf(kind, request)))) throw new Refusal(409)
      reply.generic(call.response, answerTo(kind, request))
    }
  }

  const check: Endpoint = async (call) => {
    const { url, tracing } = await parsed(call, parseCheck)
    await authorize(call, fromSubscribers, claims.checkSubscriptions({ url, tracing }))
    const lists = { exact: [] as Entry[], glob: [] as Entry[] }
    const registrations = await registry.list(url)
    for (let at = 0; at < registrations.length; at += SLICE) {
      for (const { kind, target, recovery } of registrations.slice(at, at + SLICE)) lists[kind].push({ target: topicToBytes(target), recovery })
      await turn()
    }
    const etag = createStrongEtag(url)
    for (const kind of ['exact', 'glob'] as const) {
      const entries = inOrder(lists[kind])
      for (let at = 0; at < entries.length; at += SLICE) {
        etag.add(kind, entries.slice(at, at + SLICE))
        await turn()
      }
    }
    reply.checked(call.response, etag.digest())
  }

  const set: Endpoint = async (call) => {
    const source = parts.source(call)
    const begun = await source.head((bytes) => bytes.length >= SET_HEAD_MAX)
    const head = parseSetHead(begun)
    if (head === undefined) throw new Refusal(400)
    const { url, etag, tracing } = head
    await authorize(call, fromSubscribers, claims.setSubscriptions({ url, etag, tracing }))
    source.unread(begun)
    // The rest is read only now: whoever has not proved who they are cannot make us hold megabytes.
    const body = await parts.intake.rest(call.message, source, limits.maxSetBytes)
    const wanted = await wantedIn(call, head, body)
    if (parts.registrations(url) + wanted.length > limits.maxRegistrations) mustFit(url, wanted.length - (await registry.list(url)).length)
    await registry.set(url, wanted)
    reply.generic(call.response, claims.setResponse({ etag, tracing: NO_TRACING }))
  }

  /** What a set body wants, looked through some entries in a turn: a long list must not keep everybody else waiting. */
  async function wantedIn(call: Call, head: SetHead, body: Buffer): Promise<Wanted[]> {
    const wanted: Wanted[] = []
    const etag = createStrongEtag(head.url)
    const reading = readSetLists(body, head, SLICE)
    // Whether it may is said only of a body that is sound.
    let denied: unknown
    for (;;) {
      const { done, value } = reading.next()
      if (done === true) {
        if (!value || !etag.digest().equals(head.etag)) throw new Refusal(400)
        if (denied !== undefined) throw denied
        return wanted
      }
      const { kind, entries } = value
      etag.add(kind, entries)
      const some = entries.map((entry) => wantedOf(kind, entry))
      denied ??= refusalOf(call, head.url, some)
      if (wanted.length + some.length > limits.maxRegistrations) throw tooMany()
      wanted.push(...some)
      await turn()
    }
  }

  const turn = (): Promise<void> => new Promise((resolve) => parts.clock.endOfTurn(resolve))

  async function parsed<T>(call: Call, parse: (body: Buffer) => T | undefined): Promise<T> {
    const request = parse(await parts.body(call))
    if (request === undefined) throw new Refusal(400)
    return request
  }

  /** Why a url may not have this, as the error to answer with. */
  function refusalOf(call: Call, url: string, wanted: readonly Wanted[]): Error | undefined {
    if (wanted.some(({ kind, target }) => kind === 'glob' && Buffer.byteLength(target) > limits.maxGlobBytes)) {
      return new WaystationError('bad_pattern', `a glob may have ${limits.maxGlobBytes} bytes`)
    }
    for (const one of new Set([url, ...wanted.map(({ recovery }) => recovery)])) {
      const why = one === undefined ? undefined : refusesUrl(one)
      if (why !== undefined) return new WaystationError('refused_url', why)
    }
    return call.hub.maySubscribe(interestIn(wanted), call.identity) ? undefined : new WaystationError('forbidden', 'subscribing')
  }

  function tooMany(): WaystationError {
    return new WaystationError('too_many_registrations', String(limits.maxRegistrations))
  }

  /** @throws {WaystationError} `too_many_registrations` */
  function mustFit(url: string, more: number): void {
    if (parts.registrations(url) + more > limits.maxRegistrations) throw tooMany()
  }

  return {
    '/v1/subscribe/exact': subscribe('exact'),
    '/v1/subscribe/glob': subscribe('glob'),
    '/v1/unsubscribe/exact': unsubscribe('exact'),
    '/v1/unsubscribe/glob': unsubscribe('glob'),
    '/v1/check_subscriptions': check,
    '/v1/set_subscriptions': set,
  }
}

/** Unsubscribing claims the same, without a recovery url (section 2.3). */
function claimOf(kind: Kind, { url, target, recovery, tracing }: SubscribeRequest): Claim {
  if (kind === 'exact') return claims.subscribeExact({ url, recovery, topic: target, tracing })
  return claims.subscribeGlob({ url, recovery, glob: target, tracing })
}

function answerTo(kind: Kind, { url, target, recovery }: SubscribeRequest): Claim {
  if (kind === 'exact') return claims.confirmSubscribeExact({ url, recovery, topic: target, tracing: NO_TRACING })
  return claims.confirmSubscribeGlob({ url, recovery, glob: target, tracing: NO_TRACING })
}

function wantedOf(kind: Kind, { target, recovery }: Entry): Wanted {
  return { kind, target: topicFromBytes(target), recovery }
}

function interestIn(wanted: readonly Wanted[]): Interest {
  const [only, ...others] = wanted
  if (only !== undefined && others.length === 0 && only.kind === 'exact') return exactly(only.target)
  return {
    topics: wanted.filter(({ kind }) => kind === 'exact').map(({ target }) => target),
    patterns: wanted.filter(({ kind }) => kind === 'glob').map(({ target }) => compilePattern(target)),
  }
}
