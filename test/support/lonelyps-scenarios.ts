import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { connectSubscriber, type ReceivedMessage, type Subscriber } from '../../src/subscriber/index.ts'
import type { MessageHead, ToBroadcaster, ToSubscriber } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { startTap, type Heard, type Tap } from './lonelyps-tap.ts'
import { authOf, nextOf, type Pair } from './subscriber.ts'

/*
 * The scenarios of the lonelypst suite (lonelyps, section 9.3), with our own subscriber, and their limits in seconds. On a machine that does
 * other work beside them, such as the rest of the tests, they say nothing: there a place has more patience.
 */

export type Way = 'ws' | 'http'

/** A hub, and how everyone there proves themselves. */
export interface Place {
  readonly t: TestContext
  readonly port: number
  readonly pair: Pair
  /** How many times its limit a scenario may take. */
  readonly patience: number
}

const BOTH: readonly Way[] = ['ws', 'http']
/** Publisher and subscriber. */
const COUPLES: readonly (readonly [Way, Way])[] = BOTH.flatMap((publisher) => BOTH.map((subscriber) => [publisher, subscriber] as const))
const LIMITS = { reusable: 1, nobody: 50.5, one: 2, group: 4, groups: 24, case: 0.2, perSubscriber: 0.2, large: 8, receiving: 1, kind: 120 } as const
const large = randomBytes(24 * 1_048_576)
const largeDigest = digestOf(large)

/** Fails by name when the work takes longer, also when it never ends. */
async function within<T>({ patience }: Place, limit: number, what: string, work: () => Promise<T>): Promise<T> {
  const seconds = limit * patience
  const began = performance.now()
  const late = (): Error => new Error(`${what}: not within ${seconds} s`)
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(late()), seconds * 1_000)))
  try {
    const result = await Promise.race([work(), over])
    // What keeps the event loop busy keeps the timer from running, too.
    if (performance.now() - began > seconds * 1_000) throw late()
    return result
  } finally {
    clearTimeout(timer)
  }
}

async function open({ t, port, pair }: Place, way: Way, at = 0): Promise<Subscriber> {
  const subscriber = await connectSubscriber({ broadcasters: [`${way}://127.0.0.1:${port}`], auth: authOf(pair), ...(way === 'http' && { receive: { port: at } }) })
  t.after(() => subscriber.close())
  return subscriber
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha512').update(bytes).digest('hex')
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

/** http_reusable: a port is free again when its subscriber is closed. */
function reusable(place: Place): Promise<void> {
  return within(place, LIMITS.reusable, 'http_reusable', async () => {
    const first = await open(place, 'http')
    const port = first.port as number
    await first.close()
    assert.equal(await isOpen(port), false)
    const second = await open(place, 'http', port)
    assert.equal(await isOpen(port), true)
    await second.close()
  })
}

/** http_notify_0 and ws_notify_0 */
function notifyNobody(place: Place, way: Way): Promise<void> {
  return within(place, LIMITS.nobody, `${way}_notify_0`, async () => {
    const one = await open(place, way)
    assert.deepEqual(await one.notify('foo/bar', ''), { subscribers: 0 })
    await one.close()
  })
}

/** Each has its own program, waits, gets the message, and leaves while the notify may still be pending. */
async function notifyAll(place: Place, publisher: Way, subscribers: readonly Way[], body: Buffer = randomBytes(4)): Promise<void> {
  const topic = randomBytes(4)
  const [from, ...to] = await Promise.all([publisher, ...subscribers].map((way) => open(place, way)))
  const feeds = await within(place, LIMITS.receiving, 'receiving', async () => {
    const all = to.map((one) => one.subscribe(topic))
    await Promise.all(all.map(({ ready }) => ready))
    return all
  })
  const firsts = feeds.map(nextOf)
  const sent = from?.notify(topic, body)
  const digest = body === large ? largeDigest : digestOf(body)
  for (const [i, feed] of feeds.entries()) {
    const message = await (firsts[i] as Promise<ReceivedMessage>)
    assert.ok(message.topicBytes.equals(topic))
    const hash = createHash('sha512')
    for await (const piece of message.stream()) hash.update(piece as Buffer)
    assert.equal(hash.digest('hex'), digest)
    await feed.close()
  }
  assert.deepEqual(await sent, { subscribers: subscribers.length })
  assert.deepEqual(await from?.notify(topic, ''), { subscribers: 0 })
  await Promise.all([from, ...to].map((one) => one?.close()))
}

/** notify_1 */
function notifyOne(place: Place): Promise<void> {
  return within(place, LIMITS.one, 'notify_1', async () => {
    for (const [publisher, subscriber] of COUPLES) await notifyAll(place, publisher, [subscriber])
  })
}

/** notify_many: six groups, two of them mixed. */
function notifyMany(place: Place): Promise<void> {
  const times = (ways: readonly Way[], n: number): Way[] => Array.from({ length: n }, () => ways).flat()
  const groups = [
    ...COUPLES.map(([publisher, subscriber]) => ({ publisher, cases: [2, 3, 5].map((n) => times([subscriber], n)) })),
    ...BOTH.map((publisher) => ({ publisher, cases: [1, 2, 3].map((n) => times(BOTH, n)) })),
  ]
  return within(place, LIMITS.groups, 'notify_many', async () => {
    for (const { publisher, cases } of groups) {
      await within(place, LIMITS.group, `notify_many by ${publisher}`, async () => {
        for (const ways of cases) await within(place, LIMITS.case + LIMITS.perSubscriber * ways.length, `notify_many by ${publisher} to ${ways.join(' ')}`, () => notifyAll(place, publisher, ways))
      })
    }
  })
}

/** notify_large: 24 MiB. */
async function notifyLarge(place: Place): Promise<void> {
  for (const [publisher, subscriber] of COUPLES) await within(place, LIMITS.large, `notify_large by ${publisher} to ${subscriber}`, () => notifyAll(place, publisher, [subscriber], large))
}

/**
 * All but notify_trained_compression, and those that need hosts that do not answer.
 * @param large whether the 24 MiB are among them: they take as long as all the rest
 */
export async function playScenarios(place: Place, large: 'large' | 'small' = 'large'): Promise<void> {
  await reusable(place)
  for (const way of BOTH) await notifyNobody(place, way)
  await notifyOne(place)
  await notifyMany(place)
  if (large === 'large') await notifyLarge(place)
}

const FRUITS = ['apple', 'banana', 'cherry', 'mango', 'pear', 'plum']

/** No two of `json` are alike, nor of `random`. */
const KINDS = {
  empty: () => Buffer.alloc(0),
  zeros: () => Buffer.alloc(1_024),
  random: () => randomBytes(1_024),
  json(i: number) {
    const name = randomBytes(9).toString('base64url')
    return Buffer.from(JSON.stringify({ username: name, email: `${name}@example.com`, favorite_color: 'green', favorite_fruit: FRUITS[i % FRUITS.length], favorite_number: i % 100, updated_at: 1_736_867_963_000 + i, is_admin: i % 2 === 1, is_new: false }))
  },
} as const

type Kind = keyof typeof KINDS

export const KIND_NAMES = Object.keys(KINDS) as readonly Kind[]

/**
 * notify_trained_compression, one of its four kinds: so many messages one after the other, from one socket to another, content and order
 * compared. With JSON both sockets must get a dictionary and use it; where so many messages are too few for that, more are sent.
 * @returns figures for the reader
 */
export function notifyTrained(place: Place, kind: Kind, count: number): Promise<string> {
  return within(place, LIMITS.kind, `notify_trained_compression of ${kind}`, async () => {
    const tap = kind === 'json' ? await startTap(place.t, place.port) : undefined
    const at = tap === undefined ? place : { ...place, port: Number(new URL(tap.ws).port) }
    const [publisher, subscriber] = await Promise.all([open(at, 'ws'), open(at, 'ws')])
    const feed = subscriber.subscribe('trained')
    await feed.ready
    const began = performance.now()
    const expected: Buffer[] = []
    let isOver = false
    let received = 0

    async function publish(): Promise<void> {
      for (let i = 0; i < count || !isUsed(tap); i++) {
        const body = KINDS[kind](i)
        expected.push(body)
        assert.deepEqual(await publisher.notify('trained', body), { subscribers: 1 })
      }
      isOver = true
      // The one behind all of them.
      assert.deepEqual(await publisher.notify('trained', 'end'), { subscribers: 1 })
    }

    async function receive(): Promise<void> {
      for await (const message of feed) {
        const body = await message.bytes()
        if (isOver && received === expected.length) return assert.equal(body.toString(), 'end')
        assert.ok(expected[received]?.equals(body), `message ${received} is another one`)
        received++
      }
    }

    await Promise.all([publish(), receive()])
    const seconds = (performance.now() - began) / 1_000
    await Promise.all([publisher.close(), subscriber.close()])
    assert.equal(received, expected.length)
    return `${received} of ${kind} in ${seconds.toFixed(1)} s, ${Math.round(received / seconds)} a second${tap === undefined ? '' : trainingOf(tap, received)}`
  })
}

const FIRST_CUSTOM = 65_536
const ENOUGH = 64

/** The messages that went with a dictionary that was trained. */
function withDictionary(heard: readonly Heard<ToBroadcaster | ToSubscriber>[]): MessageHead[] {
  const heads = heard.map(({ message }) => (message.type === 'notify' || message.type === 'receive_stream' ? message.head : undefined))
  return heads.filter((head) => head !== undefined && head.compressor >= FIRST_CUSTOM) as MessageHead[]
}

function isUsed(tap: Tap | undefined): boolean {
  return tap === undefined || [tap.fromSubscriber, tap.fromHub].every((heard) => withDictionary(heard).length >= ENOUGH)
}

/** As it stood on the wire: one dictionary for each of the two sockets, and what went with it is at most half as long. */
function trainingOf({ fromHub, fromSubscriber, wrong }: Tap, received: number): string {
  assert.deepEqual(wrong, [])
  assert.equal(fromHub.filter(({ message }) => message.type === 'enable_zstd_custom').length, 2)
  const shares = [fromSubscriber, fromHub].map((heard) => {
    const heads = withDictionary(heard)
    const mean = (of: (head: MessageHead) => bigint): number => heads.reduce((sum, head) => sum + Number(of(head)), 0) / heads.length
    const [plain, sent] = [mean((head) => head.decompressedLength), mean((head) => head.compressedLength)]
    assert.ok(sent * 2 <= plain, `${plain} bytes became ${sent}`)
    return `${heads.length} of ${received} with a dictionary, ${plain.toFixed(0)} bytes as ${sent.toFixed(0)}`
  })
  return `; to the hub ${shares[0]}; from it ${shares[1]}`
}
