import { WaystationError } from '../../core/errors.ts'
import { RELAY_HEADER } from '../../core/hub-proofs.ts'
import type { Identity } from '../../core/ports.ts'
import { topicFromBytes } from '../../core/topic.ts'
import { claims, type Claim } from '../../protocol/lonelyps/claims.ts'
import { parseMissed, parseReceivePrefix, parseReprDigest, RECEIVE_PREFIX_MAX } from '../../protocol/lonelyps/requests.ts'
import { UNSUBSCRIBE_IMMEDIATE } from '../../protocol/lonelyps/responses.ts'
import { authorize } from './authorize.ts'
import type { Call, Endpoint, EndpointParts } from './parts.ts'
import { publish } from './notify.ts'
import { Refusal } from './refusals.ts'

export const RECEIVE_FOR_WEBSOCKETS = '/v1/receive_for_websockets'
export const MISSED_FOR_WEBSOCKETS = '/v1/missed_for_websockets'
/** The original answers with this text, and some caller may look at it. */
const WRONG_MISSED_URL = Buffer.from('{"unsubscribe": true, "reason": "invalid missed URL"}')

/**
 * What other broadcasters that share the registry send (lonelyps, section 2.6): messages for those who are connected here,
 * and notices that some were missed.
 */
export function createPeerEndpoints(parts: EndpointParts): Readonly<Record<string, Endpoint>> {
  const { fromBroadcasters, intake, reply, publicUrl, hubs, kit } = parts

  /**
   * Who sends this. Subscribers can make what proves a broadcaster to them, or nothing is to be proved: so whoever is no hub
   * on our registry is anybody, and the rules judge.
   */
  async function senderOf({ message, identity }: Call, claim: Claim): Promise<Identity> {
    const header = message.headersDistinct[RELAY_HEADER.toLowerCase()]?.[0]
    const verdict = hubs === undefined ? 'unauthorized' : await hubs.check(header, claim)
    if (verdict === 'unavailable') throw new Refusal(503)
    return { ...identity, kind: verdict === 'ok' ? 'hub' : 'anonymous' }
  }

  const receive: Endpoint = async (call) => {
    const sha512 = parseReprDigest(call.message.headersDistinct['repr-digest']?.[0])
    if (sha512 === undefined) throw new Refusal(400, UNSUBSCRIBE_IMMEDIATE)
    const url = publicUrl + RECEIVE_FOR_WEBSOCKETS
    if (publicUrl === '' || !wasAskedFor(url, call)) throw new Refusal(400, UNSUBSCRIBE_IMMEDIATE)
    const source = parts.source(call)
    const begun = await source.head((bytes) => parseReceivePrefix(bytes) !== 'more' || bytes.length >= RECEIVE_PREFIX_MAX)
    const prefix = parseReceivePrefix(begun)
    if (prefix === 'more') throw new Refusal(400)
    const { topic, identifier, tracing, length } = prefix
    const name = topicFromBytes(topic)
    // Nobody here wants it: the caller may forget the registration. Who waits for that very registration to be known does.
    if (call.hub.audience(name) === 0 && hubs?.wants(name) !== true) throw new Refusal(400, UNSUBSCRIBE_IMMEDIATE)
    const claim = claims.receive({ url, topic, identifier, sha512, tracing })
    await authorize(call, fromBroadcasters, claim, UNSUBSCRIBE_IMMEDIATE)
    const sender = await senderOf(call, claim)
    if (!call.hub.may('publish', name, sender)) throw new WaystationError('forbidden', 'publishing')
    source.unread(begun.subarray(prefix.size))
    const taken = await intake.take(call.message, source, length, sha512)
    const { subscribers } = await publish(call, { topic: name, sha512, ...taken, relayed: true }, sender)
    kit.meter.published('lonelyps', Number(length))
    reply.confirmedReceive(call.response, { identifier, url }, subscribers)
  }

  const missed: Endpoint = async (call) => {
    const url = publicUrl + MISSED_FOR_WEBSOCKETS
    if (publicUrl === '' || !wasAskedFor(url, call)) throw new Refusal(400, WRONG_MISSED_URL, 'application/json; charset=utf-8')
    const notice = parseMissed(await parts.body(call))
    if (notice === undefined) throw new Refusal(400)
    const { topic, tracing } = notice
    await authorize(call, fromBroadcasters, claims.missed({ url, topic, tracing }))
    parts.missedBySockets(topicFromBytes(topic))
    reply.confirmedMissed(call.response, { topic, url })
  }

  return { [RECEIVE_FOR_WEBSOCKETS]: receive, [MISSED_FOR_WEBSOCKETS]: missed }
}

/**
 * Whether the caller used this url, as far as it can be seen here: host, path and query. The scheme cannot: a proxy may have
 * taken the TLS off.
 */
function wasAskedFor(url: string, { request, message }: Call): boolean {
  const scheme = url.slice(0, url.indexOf('://'))
  const asked = `${scheme}://${message.headers.host ?? ''}${request.base}${request.path.text ?? ''}${request.query}`
  return URL.canParse(asked) && new URL(asked).href === new URL(url).href
}
