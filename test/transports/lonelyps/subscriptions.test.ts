import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { encodeSubscribe, encodeUnsubscribe, type Entry } from '../../../src/protocol/lonelyps/requests.ts'
import { parseCheckResponse } from '../../../src/protocol/lonelyps/responses.ts'
import { strongEtag } from '../../../src/protocol/lonelyps/strong-etag.ts'
import type { Config } from '../../../src/index.ts'
import { temporaryFolder } from '../../support/certificates.ts'
import { createClient, openReceiver, post } from '../../support/lonelyps.ts'
import { startServer } from '../../support/server.ts'

const url = 'http://127.0.0.1:9/receive'
const recovery = 'http://127.0.0.1:9/recover'
const entry = (name: string, told?: string): Entry => ({ target: Buffer.from(name), recovery: told })

async function open(t: TestContext, config: Config = {}) {
  const server = await startServer(t, { dataDir: temporaryFolder(t), allowPrivate: true, ...config })
  const client = createClient(server.port)
  return {
    port: server.port, client,
    async etag(of = url): Promise<Buffer | undefined> {
      const reply = await client.check(of)
      assert.equal(reply.status, 200)
      return parseCheckResponse(reply.body)?.etag
    },
  }
}

for (const kind of ['exact', 'glob'] as const) {
  test(`a second ${kind} subscribe is answered 409 and changes nothing, the recovery url neither`, async (t) => {
    const { client, etag } = await open(t)
    const lists = (told?: string): [Entry[], Entry[]] => (kind === 'exact' ? [[entry('a', told)], []] : [[], [entry('a', told)]])
    assert.equal((await client.subscribe(kind, url, 'a', recovery)).status, 200)
    const again = await client.subscribe(kind, url, 'a')
    assert.deepEqual([again.status, again.body.length, again.headers['content-type']], [409, 0, undefined])
    assert.equal((await client.subscribe(kind, url, 'a', `${recovery}/2`)).status, 409)
    assert.deepEqual(await etag(), strongEtag(url, ...lists(recovery)))
    assert.equal((await client.unsubscribe(kind, url, 'a')).status, 200)
    assert.equal((await client.unsubscribe(kind, url, 'a')).status, 409)
    assert.equal((await client.subscribe(kind, url, 'a')).status, 200)
    assert.deepEqual(await etag(), strongEtag(url, ...lists()))
  })
}

test('a topic and a glob of the same text are two subscriptions, and so are two urls', async (t) => {
  const { client, etag } = await open(t)
  assert.equal((await client.subscribe('exact', url, 'a')).status, 200)
  assert.equal((await client.unsubscribe('glob', url, 'a')).status, 409)
  assert.equal((await client.unsubscribe('exact', `${url}#other`, 'a')).status, 409)
  assert.equal((await client.subscribe('glob', url, 'a')).status, 200)
  assert.deepEqual(await etag(), strongEtag(url, [entry('a')], [entry('a')]))
  assert.deepEqual(await etag(`${url}#other`), strongEtag(`${url}#other`, [], []))
})

test('an empty url and an empty topic are taken, as the original takes them', async (t) => {
  const { client, etag } = await open(t)
  assert.equal((await client.subscribe('exact', '', '')).status, 200)
  assert.deepEqual(await etag(''), strongEtag('', [entry('')], []))
  assert.equal((await client.notify('', 'm')).subscribers, 0)
})

test('bytes behind the last field are ignored, and tracing of 65,535 bytes is taken', async (t) => {
  const { port, etag } = await open(t)
  const tracing = randomBytes(65_535)
  const one = { url, target: Buffer.from('a'), tracing }
  const more = Buffer.from('more')
  assert.equal((await post(port, '/v1/subscribe/exact', Buffer.concat([encodeSubscribe({ ...one, recovery: undefined }), more]))).status, 200)
  assert.deepEqual(await etag(), strongEtag(url, [entry('a')], []))
  assert.equal((await post(port, '/v1/unsubscribe/exact', Buffer.concat([encodeUnsubscribe(one), more]))).status, 200)
})

for (const count of [0, 1, 15, 16, 17, 20, 1_000]) {
  test(`setting the same ${count} topics and globs twice leaves all of them (the original loses some from 16 on)`, async (t) => {
    const { client, etag } = await open(t)
    const topics = Array.from({ length: count }, (_, i) => entry(`topic/${i}`, i % 2 === 0 ? recovery : undefined))
    const globs = Array.from({ length: count }, (_, i) => entry(`glob/${i}/*`, i % 3 === 0 ? recovery : undefined))
    for (let round = 0; round < 3; round++) {
      assert.equal((await client.set(url, topics, globs)).status, 200)
      assert.deepEqual(await etag(), strongEtag(url, topics, globs))
    }
    const [fewer, fewerGlobs] = [topics.slice(count / 2), globs.slice(0, count / 3)]
    assert.equal((await client.set(url, fewer, fewerGlobs)).status, 200)
    assert.deepEqual(await etag(), strongEtag(url, fewer, fewerGlobs))
  })
}

test('what a check says after a set is what was set, recovery urls of what stays included', async (t) => {
  const { client, etag } = await open(t)
  for (const told of [undefined, recovery, `${recovery}/2`, undefined]) {
    const lists = [[entry('a', told), entry('b', recovery)], [entry('*', told)]] as const
    assert.equal((await client.set(url, ...lists)).status, 200)
    assert.deepEqual(await etag(), strongEtag(url, ...lists))
  }
})

test('a set concerns its url alone', async (t) => {
  const { client, etag } = await open(t)
  const other = `${url}/other`
  await client.subscribe('exact', other, 'a', recovery)
  assert.equal((await client.set(url, [entry('a'), entry('b')], [])).status, 200)
  assert.equal((await client.set(url, [], [])).status, 200)
  assert.deepEqual(await etag(other), strongEtag(other, [entry('a', recovery)], []))
  assert.deepEqual(await etag(), strongEtag(url, [], []))
})

test('what stays through a set is never absent: not one of the messages published meanwhile misses it', async (t) => {
  const { client } = await open(t)
  const receiver = await openReceiver(t)
  const receive = receiver.url()
  const others = Array.from({ length: 40 }, (_, i) => entry(`other/${i}`))
  await client.set(receive, [entry('kept')], [])
  let sets = 0
  let over = false
  const setting = (async () => {
    for (; sets < 40; sets++) {
      const lists: [Entry[], Entry[]] = sets % 2 === 0 ? [[entry('kept', recovery), ...others.slice(0, sets)], []] : [[entry('kept')], [entry('other/*')]]
      assert.equal((await client.set(receive, ...lists)).status, 200)
    }
    over = true
  })()
  let notified = 0
  while (!over) {
    assert.equal((await client.notify('kept', `${notified}`)).subscribers, 1)
    notified++
  }
  await setting
  assert.ok(notified > 0)
  assert.deepEqual((await receiver.inbox.take(notified)).map(({ message }) => message.toString()), Array.from({ length: notified }, (_, i) => `${i}`))
})

test('a subscription is in force when its answer comes, and so is its end', async (t) => {
  const { client } = await open(t)
  const receiver = await openReceiver(t)
  for (let i = 0; i < 20; i++) {
    await client.subscribe('exact', receiver.url(), 'a')
    assert.equal((await client.notify('a', 'm')).subscribers, 1)
    await client.unsubscribe('exact', receiver.url(), 'a')
    assert.equal((await client.notify('a', 'm')).subscribers, 0)
  }
})

test('while a webhook is unanswered its subscriber may unsubscribe and set', async (t) => {
  const { client, etag } = await open(t)
  const receiver = await openReceiver(t, { manual: true })
  await client.subscribe('exact', receiver.url(), 'a')
  const notified = client.notify('a', 'm')
  const webhook = await receiver.inbox.next()
  assert.equal((await client.unsubscribe('exact', receiver.url(), 'a')).status, 200)
  assert.equal((await client.set(receiver.url(), [entry('b')], [])).status, 200)
  assert.deepEqual(await etag(receiver.url()), strongEtag(receiver.url(), [entry('b')], []))
  webhook.confirm()
  assert.equal((await notified).subscribers, 1)
})

test('a url that webhooks may not go to is refused with 403, as is such a recovery url, and nothing is registered', async (t) => {
  const { client, etag } = await open(t, { allowPrivate: false })
  const fine = 'https://example.com/receive'
  for (const refused of ['http://127.0.0.1:9/', 'http://10.0.0.1/', 'http://[::1]/', 'http://169.254.169.254/', 'http://0x7f.1/', 'http://localhost/']) {
    assert.equal((await client.subscribe('exact', refused, 'a')).status, 403, refused)
    assert.equal((await client.subscribe('glob', fine, 'a', refused)).status, 403, refused)
    assert.equal((await client.set(refused, [entry('a')], [])).status, 403, refused)
    assert.equal((await client.set(fine, [entry('a'), entry('b', refused)], [])).status, 403, refused)
    // What is not there can be taken away without harm: a rule that came later must not hold it fast.
    assert.equal((await client.unsubscribe('exact', refused, 'a')).status, 409, refused)
    assert.equal((await client.set(refused, [], [])).status, 200, refused)
    assert.deepEqual(await etag(refused), strongEtag(refused, [], []))
  }
  assert.deepEqual(await etag(fine), strongEtag(fine, [], []))
  assert.equal((await client.subscribe('exact', fine, 'a', `${fine}?recover`)).status, 200)
})

test('the hub does not call itself, whatever is allowed', async (t) => {
  const { client, port } = await open(t, { allowWebhooks: ['127.0.0.0/8', '::1'] })
  for (const own of [`http://127.0.0.1:${port}/a`, `http://127.1:${port}/`, `http://[::ffff:127.0.0.1]:${port}/`, `http://localhost:${port}/`]) {
    assert.equal((await client.subscribe('exact', own, 'a')).status, 403, own)
    assert.equal((await client.subscribe('exact', url, 'a', own)).status, 403, own)
  }
  assert.equal((await client.subscribe('exact', url, 'a')).status, 200)
})

test('rules hold for subscriptions of urls: what nobody may subscribe to is refused, and a glob that could match it too', async (t) => {
  const { client, etag } = await open(t, { rules: [{ topics: 'secret/*', subscribe: 'nobody' }] })
  assert.equal((await client.subscribe('exact', url, 'secret/a')).status, 403)
  assert.equal((await client.subscribe('glob', url, 'secret/?')).status, 403)
  assert.equal((await client.subscribe('glob', url, '*')).status, 403)
  assert.equal((await client.set(url, [entry('open'), entry('secret/a')], [])).status, 403)
  assert.deepEqual(await etag(), strongEtag(url, [], []))
  assert.equal((await client.set(url, [entry('open')], [entry('open/*')])).status, 200)
})
