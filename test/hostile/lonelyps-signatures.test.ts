import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { exactly } from '../../src/core/interest.ts'
import type { Registry } from '../../src/core/registry.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { readScheme, type Scheme } from '../../src/protocol/lonelyps/authorization.ts'
import { claims } from '../../src/protocol/lonelyps/claims.ts'
import { encodeCheck, encodeReceivePrefix, encodeSubscribe } from '../../src/protocol/lonelyps/requests.ts'
import { createManualClock, type ManualClock } from '../../src/testing/manual-clock.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { notifyBody, post, schemes, sign } from '../support/lonelyps.ts'
import { openWorld, type LonelypsWorld, type WorldOptions } from '../support/lonelyps-world.ts'

/* Signatures that are wrong, old, early or used before. The time of day is made up, the sockets and the database are real. */
const NONE = Buffer.alloc(0)
const LIFETIME = 120_000
const start = 1_767_225_600_000

function scheme(secret: unknown): Scheme {
  const read = readScheme('hmac', secret as string)
  assert.ok(typeof read !== 'string')
  return read
}
const stated = schemes('hmac', 'hmac')
const SIGNED = { toBroadcasters: scheme(stated.toBroadcastersSecret), toSubscribers: scheme(stated.toSubscribersSecret) }

const open = (t: TestContext, options: Partial<WorldOptions> = {}): Promise<LonelypsWorld> => openWorld(t, { ...SIGNED, ...options })
const notify = (now = start): ReturnType<typeof notifyBody> => notifyBody('hmac', 'a', 'm', now)
const send = async ({ port }: LonelypsWorld, [body, authorization]: ReturnType<typeof notifyBody>): Promise<number> => (await post(port, '/v1/notify', body, authorization)).status
const unavailable = (): WaystationError => new WaystationError('registry_unavailable', 'planned')

for (const [what, skew] of [['behind', -LIFETIME], ['ahead of', LIFETIME]] as const) {
  test(`signatureLifetime: a clock ${what} ours by just as much is good, a second more is not`, async (t) => {
    const world = await open(t)
    const step = Math.sign(skew) * 1_000
    assert.equal(await send(world, notify(start + skew)), 200)
    assert.equal(await send(world, notify(start + skew + step)), 403)
  })

  test(`signatureLifetime: a signature from a clock ${what} ours is used once and never again as long as it is good`, async (t) => {
    const world = await open(t)
    const one = notify(start + skew + (skew < 0 ? 1_000 : -1_000))
    assert.equal(await send(world, one), 200)
    // The original forgets after 180 s what it would accept for 240.
    for (let passed = 0; passed <= 2 * LIFETIME + 10_000; passed += 5_000) {
      // Others come in between; whatever has grown old is swept then.
      assert.equal(await send(world, notify(world.clock.now())), 200)
      assert.equal(await send(world, one), 403, `${passed} ms`)
      world.clock.adjust(5_000)
    }
  })
}

test('signatureLifetime: the shortest one holds too', async (t) => {
  const world = await open(t, { limits: { signatureLifetime: 1_000 } })
  assert.equal(await send(world, notify(start - 1_000)), 200)
  assert.equal(await send(world, notify(start - 2_000)), 403)
})

test('a signature from 119 s in the future is not good a second time after 180 s', async (t) => {
  const world = await open(t)
  const one = notify(start + 119_000)
  assert.equal(await send(world, one), 200)
  world.clock.adjust(180_000)
  assert.equal(await send(world, notify(world.clock.now())), 200)
  assert.equal(await send(world, one), 403)
  world.clock.adjust(59_000)
  assert.equal(await send(world, one), 403)
})

test('a signature is known at the very end of its validity, to the millisecond', async (t) => {
  const world = await open(t)
  const one = notify()
  assert.equal(await send(world, one), 200)
  world.clock.adjust(LIFETIME)
  assert.equal(await send(world, notify(world.clock.now())), 200)
  assert.equal(await send(world, one), 403)
  world.clock.adjust(1)
  assert.equal(await send(world, one), 403)
})

test('a used signature is known to a hub that comes after it on the same database, at any time of its validity', async (t) => {
  const file = join(temporaryFolder(t), 'waystation.db')
  const clock: ManualClock = createManualClock(start)
  const [now, later] = [notify(), notify(start + 119_000)]
  const first = await open(t, { file, clock })
  for (const one of [now, later]) assert.equal(await send(first, one), 200)
  await first.stop()
  for (const passed of [0, LIFETIME, 119_000]) {
    clock.adjust(passed)
    const next = await open(t, { file, clock })
    for (const one of [now, later]) assert.equal(await send(next, one), 403)
    assert.equal(await send(next, notify(clock.now())), 200)
    await next.stop()
  }
})

test('of many requests with one signature at once a single one is let in, by whichever hub on the database', async (t) => {
  const file = join(temporaryFolder(t), 'waystation.db')
  const clock = createManualClock(start)
  const hubs = [await open(t, { file, clock }), await open(t, { file, clock })]
  const one = notify()
  const statuses = await Promise.all(Array.from({ length: 20 }, (_, i) => send(hubs[i % 2] as LonelypsWorld, one)))
  assert.deepEqual(statuses.sort(), [200, ...Array<number>(19).fill(403)])
})

test('a signature for something else is wrong, and what was wrong once is not remembered', async (t) => {
  const world = await open(t)
  const url = 'http://subscriber/receive'
  const claim = { url, recovery: undefined, topic: Buffer.from('a'), tracing: NONE }
  const good = sign('hmac', claims.subscribeExact(claim), start) as string
  const body = (change: object = {}): Buffer => encodeSubscribe({ url, target: Buffer.from('a'), recovery: undefined, tracing: NONE, ...change })
  const status = async (path: string, bytes: Buffer, authorization?: string): Promise<number> => (await post(world.port, path, bytes, authorization)).status
  const path = '/v1/subscribe/exact'
  const wrong: [string, number][] = [
    ['', 403], ['X-HMAC ', 403], ['x-hmac' + good.slice(6), 403], [good.slice(0, -3), 403], [`Bearer ${stated.toBroadcastersSecret}`, 403],
    [good.replace(/ \d+:/, ` ${start / 1_000 + 1}:`), 403], [good.replace(/:[^:]+:/, ':AAAAAA:'), 403], [good.replace(/:[^:]+:/, `:${'x'.repeat(300)}:`), 403], [`${good}, ${good}`, 403],
    [sign('hmac', claims.subscribeExact(claim), start, 'subscribers') as string, 403],
    [sign('hmac', claims.confirmSubscribeExact(claim), start) as string, 403],
  ]
  for (const [header, expected] of wrong) assert.equal(await status(path, body(), header), expected, header)
  assert.equal(await status(path, body()), 401)
  for (const change of [{ url: `${url}2` }, { target: Buffer.from('b') }, { recovery: url }, { tracing: Buffer.from('t') }]) assert.equal(await status(path, body(change), good), 403)
  for (const other of ['/v1/subscribe/glob', '/v1/unsubscribe/glob']) assert.equal(await status(other, body(), good), 403)
  assert.deepEqual(await world.registry.list(url), [])
  assert.equal(await status(path, body(), good), 200)
  assert.equal(await status(path, body(), good), 403)
  // Unsubscribing claims the very same; what was used for one is used for the other.
  assert.equal(await status('/v1/unsubscribe/exact', body(), good), 403)
  assert.deepEqual(world.failures, [])
})

test('a signature whose request was refused for another reason is used up all the same', async (t) => {
  const world = await open(t)
  const [body, authorization] = notify()
  const broken = Buffer.concat([body, Buffer.from('more')])
  assert.equal(await send(world, [broken, authorization]), 400)
  assert.equal(await send(world, [body, authorization]), 403)
})

/** A registry of which a test says what does not work now. */
function failing(broken: Set<keyof Registry>): (registry: Registry) => Registry {
  const around = <K extends 'add' | 'remember' | 'forget' | 'list'>(registry: Registry, name: K): Registry[K] =>
    ((...args: Parameters<Registry[K]>) => (broken.has(name) ? Promise.reject(unavailable()) : (registry[name] as (...all: unknown[]) => unknown)(...args))) as Registry[K]
  return (registry) => ({
    ...registry,
    add: around(registry, 'add'), remember: around(registry, 'remember'), forget: around(registry, 'forget'), list: around(registry, 'list'),
  })
}

test('whoever was told 503 may try again with the signature that let them in, once', async (t) => {
  const broken = new Set<keyof Registry>(['add'])
  const world = await open(t, { around: failing(broken) })
  const url = 'http://subscriber/receive'
  const body = encodeSubscribe({ url, target: Buffer.from('a'), recovery: undefined, tracing: NONE })
  const authorization = sign('hmac', claims.subscribeExact({ url, recovery: undefined, topic: Buffer.from('a'), tracing: NONE }), start)
  const status = async (): Promise<number> => (await post(world.port, '/v1/subscribe/exact', body, authorization)).status
  assert.equal(await status(), 503)
  assert.equal(await status(), 503)
  broken.clear()
  assert.equal(await status(), 200)
  assert.equal(await status(), 403)
  broken.add('add')
  assert.equal(await status(), 403)
  broken.clear()
  assert.equal(await status(), 403)
})

test('a used signature that comes while the database is away is answered 503, and is still used afterwards', async (t) => {
  const broken = new Set<keyof Registry>()
  const world = await open(t, { around: failing(broken) })
  const url = 'http://subscriber/receive'
  const authorization = sign('hmac', claims.checkSubscriptions({ url, tracing: NONE }), start)
  const status = async (): Promise<number> => (await post(world.port, '/v1/check_subscriptions', encodeCheck({ url, tracing: NONE }), authorization)).status
  assert.equal(await status(), 200)
  for (const what of [['remember'], ['remember', 'list']] as const) {
    for (const one of what) broken.add(one)
    assert.equal(await status(), 503)
    broken.clear()
    assert.equal(await status(), 403)
  }
})

test('a 503 where nothing is to be proved does not make a used signature good that its header carries', async (t) => {
  const world = await open(t, { toSubscribers: { type: 'none' }, publicUrl: 'http://hub', limits: { maxUnfinishedBytes: 65_536 } })
  const used = notify()
  assert.equal(await send(world, used), 200)
  world.hub.join(exactly(topicFromText('a')), { count: 1, deliver() {}, gap() {} })
  const message = Buffer.alloc(200_000)
  const sha512 = createHash('sha512').update(message).digest()
  const body = Buffer.concat([encodeReceivePrefix({ topic: Buffer.from('a'), identifier: Buffer.alloc(8), tracing: NONE, length: BigInt(message.length) }), message])
  const headers = { Host: 'hub', 'Repr-Digest': `sha-512=${sha512.toString('base64')}` }
  assert.equal((await post(world.port, '/v1/receive_for_websockets', body, used[1], headers)).status, 503)
  assert.equal(await send(world, used), 403)
})
