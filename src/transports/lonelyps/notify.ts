import { isUtf8 } from 'node:buffer'
import { WaystationError } from '../../core/errors.ts'
import type { Identity, Receipt } from '../../core/ports.ts'
import { topicFromBytes } from '../../core/topic.ts'
import { claims } from '../../protocol/lonelyps/claims.ts'
import { NOTIFY_PREFIX_MAX, parseNotifyPrefix } from '../../protocol/lonelyps/requests.ts'
import type { Taken } from './intake.ts'
import { authorize } from './authorize.ts'
import type { Call, Endpoint, EndpointParts } from './parts.ts'
import { Refusal } from './refusals.ts'

export const CONTENT_TYPE = 'application/octet-stream'
const MAX_COUNT = 2 ** 32 - 1

/** POST /v1/notify (lonelyps, section 2.3): answered when every subscriber was attempted. */
export function createNotify(parts: EndpointParts): Endpoint {
  const { fromSubscribers, intake, confirmations, reply, clock, kit } = parts
  return async (call) => {
    const received = clock.now()
    const source = parts.source(call)
    const begun = await source.head((bytes) => parseNotifyPrefix(bytes) !== 'more' || bytes.length >= NOTIFY_PREFIX_MAX)
    const prefix = parseNotifyPrefix(begun)
    if (prefix === 'more') throw new Refusal(400)
    const { topic, identifier, sha512, tracing, length } = prefix
    await authorize(call, fromSubscribers, claims.notify({ topic, identifier, sha512, tracing }))
    const name = topicFromBytes(topic)
    if (!call.hub.may('publish', name, call.identity)) throw new WaystationError('forbidden', 'publishing')
    source.unread(begun.subarray(prefix.size))
    const taken = await intake.take(call.message, source, length, sha512)
    const { message, subscribers } = await publish(call, { topic: name, sha512, ...taken })
    kit.meter.published('lonelyps', Number(length))
    const confirmed = await confirmations.confirmed(message)
    if (call.response.destroyed) return
    reply.notified(call.response, { topic, identifier, sha512 }, Math.min(subscribers + confirmed, MAX_COUNT), received)
  }
}

/** Publishes what was taken in, and lets go of it: whoever still needs it holds it by then. */
export async function publish(call: Call, of: Taken & { topic: ReturnType<typeof topicFromBytes>; sha512: Buffer; relayed?: true }, by: Identity = call.identity): Promise<Receipt> {
  try {
    return await call.hub.publish({ ...of, contentType: CONTENT_TYPE, text: of.large === undefined && isUtf8(of.body) }, by)
  } finally {
    of.large?.letGo()
  }
}
