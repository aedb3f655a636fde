import type { TestContext } from 'node:test'
import { connectSubscriber, type Feed, type ReceivedMessage, type SchemeOptions, type Subscriber, type SubscriberOptions } from '../../src/subscriber/index.ts'
import { schemes, type SchemeName } from './lonelyps.ts'

export type Pair = readonly [toBroadcasters: SchemeName, toSubscribers: SchemeName]

const scheme = (type: SchemeName, secret: unknown): SchemeOptions => (type === 'none' ? { type } : { type, secret: String(secret) })

/** How a subscriber proves itself to a hub with `schemes(...pair)`. */
export function authOf([toBroadcasters, toSubscribers]: Pair): NonNullable<SubscriberOptions['auth']> {
  const options = schemes(toBroadcasters, toSubscribers)
  return { toBroadcaster: scheme(toBroadcasters, options.toBroadcastersSecret), toSubscriber: scheme(toSubscribers, options.toSubscribersSecret) }
}

/** A subscriber of the hub on that port, on a free port of its own, closed when the test ends. */
export async function openSubscriber(t: TestContext, hub: number, options: Partial<SubscriberOptions> & { pair?: Pair } = {}): Promise<Subscriber> {
  const { pair = ['none', 'none'], ...rest } = options
  const subscriber = await connectSubscriber({ broadcasters: [`http://127.0.0.1:${hub}`], auth: authOf(pair), receive: { port: 0 }, ...rest })
  t.after(() => subscriber.close())
  return subscriber
}

/** The next message; fails when the feed is over. It is let go when the one after it is asked for. */
export async function nextOf(feed: Feed): Promise<ReceivedMessage> {
  const step = await feed.next()
  if (step.done === true) throw new Error('the feed is over')
  return step.value
}
