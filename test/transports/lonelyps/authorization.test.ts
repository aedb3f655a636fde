import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { createChecker, readScheme } from '../../../src/protocol/lonelyps/authorization.ts'
import { claims, type Claim } from '../../../src/protocol/lonelyps/claims.ts'
import { encodeCheck, encodeSubscribe, encodeSet } from '../../../src/protocol/lonelyps/requests.ts'
import { parseCheckResponse, parseGeneric, parseNotifyResponse } from '../../../src/protocol/lonelyps/responses.ts'
import { strongEtag } from '../../../src/protocol/lonelyps/strong-etag.ts'
import type { Config } from '../../../src/index.ts'
import { temporaryFolder } from '../../support/certificates.ts'
import { createClient, notifyBody, post, schemes, type Reply, type SchemeName } from '../../support/lonelyps.ts'
import { raw } from '../../support/raw.ts'
import { startServer } from '../../support/server.ts'

const NONE = Buffer.alloc(0)
const url = 'http://127.0.0.1:9/receive'
const target = Buffer.from('a')
const etag = strongEtag(url, [], [])
const BODIES: Readonly<Record<string, Buffer>> = {
  '/v1/subscribe/exact': encodeSubscribe({ url, target, recovery: undefined, tracing: NONE }),
  '/v1/subscribe/glob': encodeSubscribe({ url, target, recovery: undefined, tracing: NONE }),
  '/v1/unsubscribe/exact': encodeSubscribe({ url, target, recovery: undefined, tracing: NONE }),
  '/v1/unsubscribe/glob': encodeSubscribe({ url, target, recovery: undefined, tracing: NONE }),
  '/v1/check_subscriptions': encodeCheck({ url, tracing: NONE }),
  '/v1/set_subscriptions': encodeSet({ url, tracing: NONE, etag, topics: [], globs: [] }),
  '/v1/notify': notifyBody('none', 'a', 'm')[0],
}

async function start(t: TestContext, config: Config = {}): Promise<number> {
  const { port } = await startServer(t, { dataDir: temporaryFolder(t), allowPrivate: true, ...config })
  return port
}

for (const scheme of ['token', 'hmac'] as const) {
  test(`with ${scheme}, a body that cannot be parsed is answered 400 before anyone asks who it is from; then nothing is 401 and wrong is 403`, async (t) => {
    const port = await start(t, schemes(scheme, 'none'))
    for (const [path, body] of Object.entries(BODIES)) {
      const status = async (bytes: Buffer, authorization?: string): Promise<number> => {
        const reply = await post(port, path, bytes, authorization)
        assert.deepEqual([reply.body.length, reply.headers['content-type']], [0, undefined], path)
        return reply.status
      }
      assert.equal(await status(body.subarray(0, 3)), 400, path)
      assert.equal(await status(body.subarray(0, 3), 'Bearer wrong'), 400, path)
      assert.equal(await status(body), 401, path)
      for (const wrong of ['', 'Bearer wrong', 'Bearer \u00e9', 'X-HMAC 1:a:b']) assert.equal(await status(body, wrong), 403, `${path} ${wrong}`)
    }
  })
}

test('with a token, the whole text counts: case, spaces and all', async (t) => {
  const secret = 'A secret'
  const port = await start(t, { toBroadcastersAuth: 'token', toBroadcastersSecret: secret })
  const status = async (authorization: string): Promise<number> => (await post(port, '/v1/notify', ...[notifyBody('none', 'a', 'm')[0], authorization] as const)).status
  assert.equal(await status(`Bearer ${secret}`), 200)
  for (const wrong of [secret, `bearer ${secret}`, `Bearer  ${secret}`, `Bearer ${secret}x`, `Bearer ${secret.toLowerCase()}`, 'Bearer ', 'Bearer']) assert.equal(await status(wrong), 403, wrong)
})

test('authorization comes before what is there already: nobody learns from a 409 what is registered', async (t) => {
  const port = await start(t, schemes('token', 'none'))
  await createClient(port, 'token').subscribe('exact', url, 'a')
  for (const path of ['/v1/subscribe/exact', '/v1/unsubscribe/glob']) assert.equal((await post(port, path, BODIES[path] as Buffer, 'Bearer wrong')).status, 403)
})

test('a url that may not be called is spoken of only to those who are let in', async (t) => {
  const port = await start(t, { ...schemes('token', 'none'), allowPrivate: false })
  assert.equal((await post(port, '/v1/subscribe/exact', BODIES['/v1/subscribe/exact'] as Buffer)).status, 401)
  assert.equal((await createClient(port, 'token').subscribe('exact', url, 'a')).status, 403)
})

async function begin(t: TestContext, port: number, path: string, of: { authorization: string; length: number; first: Buffer }) {
  const connection = await raw(t, port)
  connection.send(`POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${of.length}\r\nAuthorization: ${of.authorization}\r\n\r\n`)
  connection.send(of.first)
  return connection
}

test('a notify with a wrong signature is refused before its body is read; with the right one the rest is waited for', async (t) => {
  const port = await start(t, schemes('hmac', 'none'))
  const [body, right] = notifyBody('hmac', 'a', Buffer.alloc(5_000))
  const of = { length: body.length, first: body.subarray(0, 200) }
  const wrong = await begin(t, port, '/v1/notify', { ...of, authorization: 'X-HMAC 1:a:b' })
  await wrong.until((received) => received.includes('HTTP/1.1 403'))
  const good = await begin(t, port, '/v1/notify', { ...of, authorization: right as string })
  good.send(body.subarray(200))
  const answer = (await good.until((received) => received.includes('HTTP/1.1'))).toString()
  assert.match(answer, /^HTTP\/1\.1 200 /)
})

test('a set_subscriptions with a wrong signature is refused before its lists are there', async (t) => {
  const port = await start(t, schemes('hmac', 'none'))
  // The head may take 131,000 bytes: with that many it is all there, whatever is still to come.
  const first = Buffer.concat([BODIES['/v1/set_subscriptions'] as Buffer, Buffer.alloc(200_000)])
  const connection = await begin(t, port, '/v1/set_subscriptions', { authorization: 'X-HMAC 1:a:b', length: 60_000_000, first })
  await connection.until((received) => received.includes('HTTP/1.1 403'))
})

test('by default only this machine is let in: no proxied request, no foreign name, no page from elsewhere', async (t) => {
  const port = await start(t, { trustedProxies: ['127.0.0.1'] })
  const foreign: [string, Record<string, string>][] = [
    ['through a trusted proxy', { 'X-Forwarded-For': '192.0.2.7' }],
    ['through a trusted proxy, for this machine', { 'X-Forwarded-For': '127.0.0.1' }],
    ['through some proxy', { Via: '1.1 proxy' }],
    ['under a name of somebody else\'s', { Host: 'rebound.example' }],
    ['from a page of somebody else\'s', { Origin: 'https://page.example' }],
  ]
  for (const [path, body] of Object.entries(BODIES)) {
    for (const [what, headers] of foreign) {
      const reply = await post(port, path, body, undefined, headers)
      assert.deepEqual([reply.status, reply.body.length], [401, 0], `${path} ${what}`)
    }
  }
  for (const path of ['/v1/subscribe/exact', '/v1/notify', '/v1/check_subscriptions']) assert.equal((await post(port, path, BODIES[path] as Buffer)).status, 200, path)
})

test('with none, anyone is let in; with a signature, from anywhere', async (t) => {
  const from = { Host: 'hub.example', 'X-Forwarded-For': '192.0.2.7' }
  const open = await start(t, { toBroadcastersAuth: 'none', trustedProxies: ['127.0.0.1'] })
  assert.equal((await post(open, '/v1/notify', ...notifyBody('none', 'a', 'm'), from)).status, 200)
  const signed = await start(t, schemes('hmac', 'none'))
  assert.equal((await post(signed, '/v1/notify', ...notifyBody('hmac', 'a', 'm'), from)).status, 200)
})

for (const scheme of ['none', 'token', 'hmac'] satisfies SchemeName[]) {
  test(`every answer with a body is proved to its subscriber, with ${scheme}`, async (t) => {
    const stated = schemes('none', scheme)
    const port = await start(t, stated)
    const read = readScheme(scheme, stated.toSubscribersSecret || undefined)
    assert.ok(typeof read !== 'string')
    const checker = createChecker(read, { now: Date.now, lifetime: 120_000, remember: () => true })
    const proved = async (authorization: string | undefined, claim: Claim): Promise<void> => {
      assert.equal(authorization === '', scheme === 'none')
      assert.equal(await checker.check(authorization || undefined, claim), 'ok')
    }
    const generic = (reply: Reply): string | undefined => parseGeneric(reply.body)?.authorization
    const client = createClient(port)
    const recovery = 'http://127.0.0.1:9/recover'
    const of = { url, recovery, topic: target, glob: target, tracing: NONE }
    const without = { ...of, recovery: undefined }
    await proved(generic(await client.subscribe('exact', url, 'a', recovery)), claims.confirmSubscribeExact(of))
    await proved(generic(await client.subscribe('glob', url, 'a', recovery)), claims.confirmSubscribeGlob(of))
    await proved(generic(await client.unsubscribe('exact', url, 'a')), claims.confirmSubscribeExact(without))
    await proved(generic(await client.unsubscribe('glob', url, 'a')), claims.confirmSubscribeGlob(without))
    await proved(generic(await client.set(url, [], [])), claims.setResponse({ etag, tracing: NONE }))
    await proved(parseCheckResponse((await client.check(url)).body)?.authorization, claims.checkResponse({ etag, tracing: NONE }))
    const answer = parseNotifyResponse((await client.notify('a', 'm')).body)
    assert.ok(answer !== undefined)
    await proved(answer.authorization, claims.confirmNotify({ ...answer, topic: target, sha512: hash('sha512', 'm', 'buffer') }))
  })
}
