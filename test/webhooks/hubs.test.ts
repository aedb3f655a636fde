import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { buildConnector } from 'undici'
import { createHub } from '../../src/core/hub.ts'
import { limitsWith } from '../../src/core/limits.ts'
import { createMemoryLog } from '../../src/core/log.ts'
import { draft, type Message } from '../../src/core/message.ts'
import type { Registry } from '../../src/core/registry.ts'
import { createRouter } from '../../src/core/router.ts'
import { createRules } from '../../src/core/rules.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createTurn } from '../../src/core/turn.ts'
import { createWheel } from '../../src/core/wheel.ts'
import { createChecker } from '../../src/protocol/lonelyps/authorization.ts'
import { UNSUBSCRIBE_IMMEDIATE } from '../../src/protocol/lonelyps/responses.ts'
import { realClock, realRandom } from '../../src/server/real-world.ts'
import { createHubRegistrations, isHubUrl } from '../../src/webhooks/hubs.ts'
import { OURSELVES } from '../../src/testing/index.ts'
import { createWebhooks, type Webhooks } from '../../src/webhooks/webhooks.ts'
import { createInbox, until } from '../support/events.ts'
import { openReceiver } from '../support/lonelyps.ts'
import { createMemoryRegistry, createRegistryStore } from '../support/memory-registry.ts'

const PATH = '/v1/receive_for_websockets'

/** Webhooks on a hub and a registry that somebody else shares. */
async function open(t: TestContext, ownReceiveUrl?: string) {
  const store = createRegistryStore()
  const registry: Registry = createMemoryRegistry(store, realClock)
  const rules = createRules([])
  const hub = createHub({ log: createMemoryLog({ rules, clock: realClock, random: realRandom, maxBytes: 0 }), router: createRouter(), rules, maxHeldBytes: 1e6 })
  const nothing = (): void => {}
  const meter = { published: nothing, delivered: nothing, slow: nothing, failed: nothing, gap: nothing }
  const failures: unknown[] = []
  const missed = createInbox<string>('topic that something was missed on')
  const webhooks: Webhooks = createWebhooks({
    kit: { limits: limitsWith({ missedInterval: 10 }), clock: realClock, turn: createTurn(realClock), wheel: createWheel(realClock), meter },
    registry, random: realRandom, randomBytes, connector: buildConnector({}), toSubscribers: { type: 'none' },
    checker: createChecker({ type: 'none' }, { now: Date.now, lifetime: 1, remember: () => true }),
    policy: { factor: 1, base: 2, most: 10, constant: 1, jitter: 2, retries: 20 },
    ...(ownReceiveUrl !== undefined && { own: { receiveUrl: ownReceiveUrl, recoveryUrl: `${ownReceiveUrl}/missed`, missed: (topic) => missed.push(topic) } }),
    events: { failed: (...why) => failures.push(why), registry: (error) => failures.push(error), unusable: (_, error) => failures.push(error) },
  })
  await webhooks.start(hub)
  t.after(async () => {
    await webhooks.stop(AbortSignal.abort())
    await registry.close()
  })
  const register = (url: string, kind: 'exact' | 'glob', target: string): Promise<boolean> => registry.add(url, { kind, target: topicFromText(target), recovery: undefined })
  async function publish(topic: string, text: string): Promise<Message> {
    return (await hub.publish(draft(topicFromText(topic), Buffer.from(text)), OURSELVES)).message
  }
  return { store, registry, webhooks, register, publish, failures, missed }
}

test('a hub gets a message once, however many of its registrations match, and is counted once (Q6)', async (t) => {
  const { register, publish, webhooks } = await open(t)
  const receiver = await openReceiver(t)
  for (const base of ['', '/prefix']) for (const [kind, target] of [['exact', 'a/b'], ['glob', 'a/*'], ['glob', '*'], ['glob', 'a/?']] as const) await register(receiver.url(base + PATH), kind, target)
  const message = await publish('a/b', '1')
  assert.equal(await webhooks.confirmed(message), 2)
  assert.equal(await webhooks.confirmed(await publish('a/bc', '2')), 2)
  assert.deepEqual(receiver.inbox.taken().map((one) => `${one.path} ${one.message}`).sort(), [`/prefix${PATH} 1`, `/prefix${PATH} 2`, `${PATH} 1`, `${PATH} 2`])
})

test('any other url gets a message for each of its registrations that match', async (t) => {
  const { register, publish, webhooks } = await open(t)
  const receiver = await openReceiver(t)
  for (const [kind, target] of [['exact', 'a/b'], ['glob', 'a/*']] as const) for (const path of ['/receive', `${PATH}/more`, '/?v1/receive_for_websockets']) await register(receiver.url(path), kind, target)
  assert.equal(await webhooks.confirmed(await publish('a/b', '1')), 6)
  assert.equal(receiver.inbox.taken().length, 6)
})

test('what this hub registered for its own sockets is never called and does not count', async (t) => {
  const receiver = await openReceiver(t)
  const { register, publish, webhooks, registry, store } = await open(t, receiver.url(PATH))
  for (const [kind, target] of [['exact', 'a'], ['glob', '*']] as const) await register(receiver.url(PATH), kind, target)
  await register(receiver.url('/receive'), 'exact', 'a')
  assert.equal(await webhooks.confirmed(await publish('a', '1')), 1)
  assert.deepEqual(receiver.inbox.taken().map((one) => one.path), ['/receive'])
  assert.equal(webhooks.gauges().registrations, 1)
  for (const id of store.rows.keys()) await registry.removeId(id)
  assert.equal(await webhooks.confirmed(await publish('a', '2')), 0)
  assert.equal(webhooks.gauges().registrations, 0)
})

test('a message that waits for a hub reaches it although the registration that it goes by has gone, and its topic keeps its order', async (t) => {
  const { register, registry, publish, webhooks } = await open(t)
  const receiver = await openReceiver(t, { manual: true })
  const url = receiver.url(PATH)
  await register(url, 'exact', 'a')
  await register(url, 'glob', '*')
  const messages = [await publish('a', '1'), await publish('a', '2')]
  const first = await receiver.inbox.next()
  await registry.remove(url, { kind: 'exact', target: topicFromText('a') })
  // By the glob, in the lane of those before it.
  messages.push(await publish('a', '3'))
  first.confirm()
  for (const text of ['2', '3']) {
    const one = await receiver.inbox.next()
    assert.equal(one.message.toString(), text)
    assert.deepEqual(receiver.inbox.taken(), [])
    one.confirm()
  }
  assert.deepEqual(await Promise.all(messages.map((one) => webhooks.confirmed(one))), [1, 1, 1])
})

test('a hub that wants nothing of a registration any more loses it, though it gets messages by others', async (t) => {
  const { register, publish, webhooks, store, failures } = await open(t)
  const receiver = await openReceiver(t, { manual: true })
  await register(receiver.url(PATH), 'exact', 'a')
  await register(receiver.url(PATH), 'glob', '*')
  const message = await publish('a', '1')
  ;(await receiver.inbox.next()).response.writeHead(400).end(UNSUBSCRIBE_IMMEDIATE)
  assert.equal(await webhooks.confirmed(message), 0)
  await until(() => store.rows.size === 1, 'the registration goes')
  const next = await publish('a', '2')
  ;(await receiver.inbox.next()).confirm()
  assert.equal(await webhooks.confirmed(next), 1)
  assert.deepEqual(failures, [])
})

test('registrations of hubs are counted apart from all others, so that neither can use up the room of the other', async (t) => {
  const { register, webhooks, store, registry } = await open(t, `http://own.example${PATH}`)
  for (let i = 0; i < 5; i++) await register(`http://hub.example${PATH}`, 'exact', `t${i}`)
  for (let i = 0; i < 3; i++) await register('http://receiver.example/receive', 'glob', `t${i}`)
  await register(`http://own.example${PATH}`, 'exact', 't')
  assert.deepEqual([webhooks.registrations('http://receiver.example/other'), webhooks.registrations(`http://another.example${PATH}`)], [3, 5])
  for (const { id } of [...store.rows.values()].filter(({ url }) => url.includes('hub.example')).slice(2)) await registry.removeId(id)
  assert.deepEqual([webhooks.registrations('http://receiver.example/other'), webhooks.registrations(`http://another.example${PATH}`)], [3, 2])
})

test('a url is that of a hub by the end of its path', () => {
  for (const url of [`http://a${PATH}`, `https://a:1/b/c${PATH}`, `HTTP://a${PATH}?x=1`, `http://a${PATH}#x`]) assert.ok(isHubUrl(url), url)
  for (const url of [`http://a${PATH}/`, `http://a/?${PATH}`, `http://a/#${PATH}`, 'http://a/v1/missed_for_websockets', `ftp://a${PATH}`, PATH, '']) assert.ok(!isHubUrl(url), url)
})

test('nothing is kept of registrations that are gone', () => {
  const hubs = createHubRegistrations(undefined)
  const registration = { id: 1, url: `http://a${PATH}`, kind: 'exact', target: topicFromText('a'), recovery: undefined } as const
  const message: Message = { ...draft(topicFromText('a'), Buffer.from('x')), offset: 1, epoch: 'e', time: 0 }
  const changes = [{ type: 'added', registration }] as const
  assert.equal(hubs.withoutOwn(changes), changes)
  assert.equal(hubs.isRepeated(registration, message), false)
  assert.equal(hubs.isRepeated(registration, message), true)
  hubs.withoutOwn([{ type: 'removed', id: 1 }])
  assert.equal(hubs.isRepeated(registration, message), false)
})

test('a notice of something that another hub could not bring here goes to our own sockets, and nowhere else', async (t) => {
  const receiver = await openReceiver(t)
  const own = receiver.url(PATH)
  const { store, registry, missed } = await open(t, own)
  await registry.add(own, { kind: 'glob', target: topicFromText('n*'), recovery: `${own}/missed` })
  const [id] = store.rows.keys()
  await registry.postpone({ id: id as number, topic: topicFromText('news'), attempts: 0, dueAt: Date.now() })
  assert.equal(await missed.next(), 'news')
  await until(() => store.notices.size === 0, 'the notice to be settled')
})
