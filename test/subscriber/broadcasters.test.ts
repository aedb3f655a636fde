import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { encodeReceivePrefix, parseNotifyPrefix, reprDigest } from '../../src/protocol/lonelyps/requests.ts'
import { encodeGeneric, encodeNotifyResponse } from '../../src/protocol/lonelyps/responses.ts'
import { connectSubscriber } from '../../src/subscriber/index.ts'
import { realClock } from '../../src/http/real-world.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { post, schemes } from '../support/lonelyps.ts'
import { startServer } from '../support/server.ts'
import { openSubscriber } from '../support/subscriber.ts'

const NONE = Buffer.alloc(0)
/** Retries without their sleep. */
const hasty = { ...realClock, after: (_: number, fn: () => void) => realClock.after(0, fn) }

interface Said {
  status: number
  body?: Buffer
}
type Say = (message: IncomingMessage, body: Buffer) => Said | Promise<Said>

/** A broadcaster that says what it is told to; gives its port and the requests that came, path and authorization. */
async function openFake(t: TestContext, answers: Say[]): Promise<{ port: number; asked: [string, string | undefined][] }> {
  const asked: [string, string | undefined][] = []
  const server = createServer(async (message, response) => {
    const bytes = await buffer(message)
    asked.push([message.url as string, message.headers.authorization])
    const { status, body = NONE } = await (answers.shift() ?? generic)(message, bytes)
    response.writeHead(status).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: (server.address() as AddressInfo).port, asked }
}

const generic: Say = () => ({ status: 200, body: encodeGeneric('', NONE) })
const only = (status: number): Say => () => ({ status })
const notified = (identifier?: Buffer): Say => (_, body) => {
  const prefix = parseNotifyPrefix(body)
  const own = prefix === 'more' ? NONE : prefix.identifier
  return { status: 500, body: encodeNotifyResponse({ authorization: '', tracing: NONE, subscribers: 7, identifier: identifier ?? own }) }
}

test('a change is tried again after 502, 503 and 504, signed anew, and any other refusal is final', async (t) => {
  const { port, asked } = await openFake(t, [only(503), only(502), only(504), generic, only(400)])
  const one = await openSubscriber(t, port, { pair: ['hmac', 'none'], retries: 4, clock: hasty })
  await one.subscribe('a').ready
  assert.deepEqual(asked.map(([path]) => path), Array(4).fill('/v1/set_subscriptions'))
  assert.equal(new Set(asked.map(([, authorization]) => authorization)).size, 4)
  await assert.rejects(one.subscribe('b').ready, { code: 'bad_request', detail: 'a broadcaster answers 400' })
  assert.equal(asked.length, 5)
})

test('a notify is tried again whatever the status, and the one answer that counts is for this very request', async (t) => {
  const { port, asked } = await openFake(t, [only(403), only(200), notified(Buffer.from('else')), notified()])
  const one = await openSubscriber(t, port, { pair: ['hmac', 'none'], retries: 4, clock: hasty })
  assert.deepEqual(await one.notify('a', 'b'), { subscribers: 7 })
  assert.equal(new Set(asked.map(([, authorization]) => authorization)).size, 4)
})

test('past five hundred targets single requests go out, for which 409 is success', async (t) => {
  const { port, asked } = await openFake(t, [generic, only(409), generic, only(409)])
  const one = await openSubscriber(t, port, { retries: 1 })
  await one.subscribe(Array.from({ length: 512 }, (_, i) => `t${i}`)).ready
  const feed = one.subscribe('exact')
  await feed.ready
  await feed.close()
  await one.subscribe('glob/*').ready
  assert.deepEqual(asked.map(([path]) => path), ['/v1/set_subscriptions', '/v1/subscribe/exact', '/v1/set_subscriptions', '/v1/subscribe/glob'])
})

test('one change goes out after the other, and those that wait go together', async (t) => {
  const first = Promise.withResolvers<Said>()
  const { port, asked } = await openFake(t, [() => first.promise])
  const one = await openSubscriber(t, port, { retries: 1 })
  const feeds = ['a', 'b', 'c'].map((topic) => one.subscribe(topic))
  await until(() => asked.length === 1, 'the first change')
  feeds.push(one.subscribe('d'), one.subscribe('e'))
  // Other requests overtake them, so they had their chance.
  for (let i = 0; i < 3; i++) await one.notify('x', '').catch(() => {})
  const changes = (): number => asked.filter(([path]) => path === '/v1/set_subscriptions').length
  assert.equal(changes(), 1)
  first.resolve({ status: 200, body: encodeGeneric('', NONE) })
  await Promise.all(feeds.map(({ ready }) => ready))
  assert.equal(changes(), 2)
})

test('while it takes back what is registered, webhooks are answered 503', async (t) => {
  const last = Promise.withResolvers<Said>()
  const { port, asked } = await openFake(t, [generic, () => last.promise])
  const one = await openSubscriber(t, port, { retries: 1 })
  await one.subscribe('a').ready
  const closed = one.close()
  await until(() => asked.length === 2, 'the last list')
  const body = encodeReceivePrefix({ tracing: NONE, topic: Buffer.from('a'), identifier: NONE, length: 0n })
  const { status, body: said } = await post(one.port as number, '/v1/receive', body, undefined, { 'Repr-Digest': reprDigest(hash('sha512', NONE, 'buffer')) })
  assert.deepEqual([status, said.length], [503, 0])
  last.resolve({ status: 200, body: encodeGeneric('', NONE) })
  await closed
})

test('a body that lies about its size is not sent', async (t) => {
  const { port, asked } = await openFake(t, [])
  const one = await openSubscriber(t, port)
  const body = {
    size: 3,
    async *read() {
      yield Buffer.from('four')
    },
  }
  await assert.rejects(one.notify('a', body), { code: 'bad_request' })
  await assert.rejects(one.notify(Buffer.alloc(65_536), ''), { code: 'bad_request' })
  assert.deepEqual(asked, [])
})

test('a secrets file is taken, and what cannot be meant is refused without a secret in the message', async (t) => {
  const file = join(temporaryFolder(t), 'secrets.json')
  writeFileSync(file, JSON.stringify({ version: '2', 'to-broadcaster': { type: 'hmac', secret: Buffer.alloc(64, 1).toString('base64url') } }))
  const { port } = await startServer(t, { ...schemes('hmac', 'none'), dataDir: temporaryFolder(t) })
  const one = await openSubscriber(t, port, { auth: { secretsFile: file } })
  assert.deepEqual(await one.notify('a', ''), { subscribers: 0 })
  const broadcasters = ['http://127.0.0.1:1']
  for (const options of [
    { broadcasters: [] },
    { broadcasters: ['ftp://secret'] },
    { broadcasters: ['http://user:secret@host'] },
    { broadcasters, auth: { toBroadcaster: { type: 'hmac' as const, secret: 'secret' } } },
    { broadcasters, auth: { secretsFile: join(file, 'none') } },
    { broadcasters, receive: { port: 0, host: '0.0.0.0' } },
    { broadcasters, receive: { port: 0, url: 'http://h/?secret' } },
    { broadcasters, retries: 0 },
    { broadcasters, spoolAbove: -1 },
  ]) {
    await assert.rejects(connectSubscriber(options), (error: { code: string; message: string }) => error.code === 'config_invalid' && !error.message.includes('secret@') && !/: secret|"secret"|\?secret/.test(error.message))
  }
})
