import { WaystationError } from '../../core/errors.ts'
import { exactly, type Interest } from '../../core/interest.ts'
import { compilePattern } from '../../core/pattern.ts'
import type { Wanted } from '../../core/registry.ts'
import { topicFromBytes, topicToBytes } from '../../core/topic.ts'
import { createBodySource } from '../../http/body-source.ts'
import { claims, type Claim } from '../../protocol/lonelyps/claims.ts'
import { parseCheck, parseSetHead, parseSetLists, parseSubscribe, parseUnsubscribe, type Entry, type Kind, type SetLists, type SubscribeRequest } from '../../protocol/lonelyps/requests.ts'
import { strongEtag } from '../../protocol/lonelyps/strong-etag.ts'
import { NO_TRACING } from './answers.ts'
import { authorize } from './authorize.ts'
import type { Call, Endpoint, EndpointParts } from './parts.ts'
import { Refusal } from './refusals.ts'

/** The most that a set_subscriptions body has before its lists: all of it is there, or the body is cut short. */
const SET_HEAD_MAX = 2 + 65_535 + 2 + 65_535 + 1 + 64 + 4

/** Subscribe, unsubscribe, check and set (lonelyps, section 2.3). */
export function createSubscriptionEndpoints(parts: EndpointParts): Readonly<Record<string, Endpoint>> {
  const { registry, fromSubscribers, reply, refusesUrl, kit } = parts
  const { limits } = kit

  function subscribe(kind: Kind): Endpoint {
    return async (call) => {
      const request = await parsed(call, (body) => parseSubscribe(body, kind))
      await authorize(call, fromSubscribers, claimOf(kind, request))
      mayCall(request.url, [request.recovery])
      const wanted = wantedOf(kind, request)
      mayWant(call, [wanted])
      mustFit(1)
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
    const entries: { exact: Entry[]; glob: Entry[] } = { exact: [], glob: [] }
    for (const { kind, target, recovery } of await registry.list(url)) entries[kind].push({ target: topicToBytes(target), recovery })
    reply.checked(call.response, strongEtag(url, entries.exact, entries.glob))
  }

  const set: Endpoint = async (call) => {
    const source = createBodySource(call.message, call.response)
    const begun = await source.head((bytes) => bytes.length >= SET_HEAD_MAX)
    const head = parseSetHead(begun)
    if (head === undefined) throw new Refusal(400)
    const { url, etag, tracing } = head
    await authorize(call, fromSubscribers, claims.setSubscriptions({ url, etag, tracing }))
    source.unread(begun)
    // The rest is read only now: whoever has not proved who they are cannot make us hold megabytes.
    const body = await parts.intake.rest(call.message, source, limits.maxSetBytes)
    const lists = parseSetLists(body, head)
    if (lists === undefined || !strongEtag(url, lists.topics, lists.globs).equals(etag)) throw new Refusal(400)
    const wanted = wantedIn(lists)
    if (wanted.length > 0) mayCall(url, wanted.map(({ recovery }) => recovery))
    mayWant(call, wanted)
    if (parts.registrations() + wanted.length > limits.maxRegistrations) mustFit(wanted.length - (await registry.list(url)).length)
    await registry.set(url, wanted)
    reply.generic(call.response, claims.setResponse({ etag, tracing: NO_TRACING }))
  }

  async function parsed<T>(call: Call, parse: (body: Buffer) => T | undefined): Promise<T> {
    const request = parse(await parts.body(call))
    if (request === undefined) throw new Refusal(400)
    return request
  }

  /** @throws {WaystationError} `refused_url` */
  function mayCall(url: string, recoveries: readonly (string | undefined)[]): void {
    for (const one of new Set([url, ...recoveries])) {
      const why = one === undefined ? undefined : refusesUrl(one)
      if (why !== undefined) throw new WaystationError('refused_url', why)
    }
  }

  /** @throws {WaystationError} `forbidden` */
  function mayWant(call: Call, wanted: readonly Wanted[]): void {
    if (!call.hub.maySubscribe(interestIn(wanted), call.identity)) throw new WaystationError('forbidden', 'subscribing')
  }

  /** @throws {WaystationError} `too_many_registrations` */
  function mustFit(more: number): void {
    if (parts.registrations() + more > limits.maxRegistrations) throw new WaystationError('too_many_registrations', String(limits.maxRegistrations))
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

function wantedIn({ topics, globs }: SetLists): Wanted[] {
  return [...topics.map((entry) => wantedOf('exact', entry)), ...globs.map((entry) => wantedOf('glob', entry))]
}

function interestIn(wanted: readonly Wanted[]): Interest {
  const [only, ...others] = wanted
  if (only !== undefined && others.length === 0 && only.kind === 'exact') return exactly(only.target)
  return {
    topics: wanted.filter(({ kind }) => kind === 'exact').map(({ target }) => target),
    patterns: wanted.filter(({ kind }) => kind === 'glob').map(({ target }) => compilePattern(target)),
  }
}
