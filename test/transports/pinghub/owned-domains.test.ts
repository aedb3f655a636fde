import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import { WebSocket } from 'ws'
import { hashed, openDatabase, plain } from '../../support/keys.ts'
import { createClient, schemes } from '../../support/lonelyps.ts'
import { raw, type Raw } from '../../support/raw.ts'
import { startServer } from '../../support/server.ts'
import { until } from '../../support/events.ts'
import type { Config } from '../../../src/index.ts'

/* A domain that has an API key is owned: nobody else publishes under it, whatever the protocol. */

async function open(t: TestContext, config: Config = {}) {
  const server = await startServer(t, config)
  const database = openDatabase(t, server.options)
  await database.addKey(hashed('acme', 'the-key'))
  await database.addKey(plain('other', 'another-key'))
  const post = (path: string, authorization?: string, body = 'x'): Promise<Response> =>
    fetch(`${server.url}${path}`, { method: 'POST', body, ...(authorization !== undefined && { headers: { Authorization: authorization } }) })
  await until(async () => (await (await post('/acme/heard')).text()).includes('key_required'), 'the hub to hear of the key')
  return { server, database, post }
}

const KEY = 'Bearer the-key'

test('without the key of the domain no POST publishes under it, and everything else is as it was', async (t) => {
  const { server, post } = await open(t)
  const seen = server.hub.subscribe('*')
  for (const path of ['/acme/prices', '/acme/', '/acme', '/acme%2Fprices', '/acme/a/b?since=x']) {
    const refused = await post(path)
    assert.deepEqual([refused.status, await refused.text()], [403, 'Error: key_required. the domain has an API key, and only who has it publishes there: bring it as Authorization: Bearer.\n'], path)
  }
  for (const wrong of ['Bearer another-key', 'Bearer The-key', 'Bearer the-key2', 'Bearer x', "Bearer '--"]) {
    const refused = await post('/acme/prices', wrong)
    assert.deepEqual([refused.status, await refused.text()], [403, 'Error: key_refused. the API key does not let publish there.\n'], wrong)
  }
  for (const none of ['Basic dGhlLWtleQ==', 'Bearer', 'the-key']) assert.equal((await post('/acme/prices', none)).status, 403, none)
  for (const path of ['/acm/prices', '/ACME/prices', '/x/acme/prices', '/other2']) assert.equal((await post(path)).status, 200, path)
  assert.equal((await post('/acme/prices', KEY, 'by key')).status, 200)
  assert.equal((await post('/acme', 'bearer  the-key ', 'root')).status, 200)
  assert.equal((await post('/other/x', 'Bearer another-key', 'by plain key')).status, 200)
  const texts: string[] = []
  for await (const message of seen) if (texts.push(message.text()) === 7) break
  assert.deepEqual(texts, ['x', 'x', 'x', 'x', 'by key', 'root', 'by plain key'])
})

test('a WebSocket listens under an owned domain, and is closed with 1008 when it publishes there', async (t) => {
  const { server, post } = await open(t)
  const [listener, talker] = ['acme/prices', 'acme/prices'].map((path) => new WebSocket(`${server.ws}/${path}`)) as [WebSocket, WebSocket]
  await Promise.all([once(listener, 'open'), once(talker, 'open')])
  talker.send('mine')
  const [code, reason] = (await once(talker, 'close')) as [number, Buffer]
  assert.deepEqual([code, reason.toString()], [1008, 'the domain has an API key: POST with it'])
  const heard = once(listener, 'message')
  assert.equal((await post('/acme/prices', KEY, 'by key')).status, 200)
  assert.equal(String((await heard)[0]), 'by key')
})

test('an unsigned broadcaster is refused under an owned domain, a signed one is not', async (t) => {
  const unsigned = await open(t, schemes('none', 'none'))
  assert.equal((await createClient(unsigned.server.port).notify('acme/prices', 'x')).status, 403)
  assert.equal((await createClient(unsigned.server.port).notify('acm/prices', 'x')).status, 200)
  for (const scheme of ['token', 'hmac'] as const) {
    const { server } = await open(t, schemes(scheme, 'none'))
    assert.equal((await createClient(server.port, scheme).notify('acme/prices', 'x')).status, 200)
  }
})

test('a key that is revoked lets nobody in any more, and its domain stays owned; without its row it is free', async (t) => {
  const { database, post } = await open(t)
  assert.equal((await post('/acme/prices', KEY)).status, 200)
  await database.changeKey('acme', { active: false })
  await until(async () => (await post('/acme/prices', KEY)).status === 403, 'the revocation')
  assert.equal((await post('/acme/prices')).status, 403)
  await database.removeKey('acme')
  await until(async () => (await post('/acme/prices')).status === 200, 'the domain to be free')
})

test('a key that is revoked while the body is on its way does not publish it; where the domain is free by then, anybody does', async (t) => {
  const { server, database, post } = await open(t)
  const begin = async (path: string, key: string): Promise<Raw> => {
    const slow = await raw(t, server.port)
    slow.send(`POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`)
    await slow.until((received) => received.includes('100 Continue'))
    slow.send('x')
    return slow
  }
  const [revoked, freed] = [await begin('/acme/prices', 'the-key'), await begin('/other/prices', 'another-key')]
  await database.changeKey('acme', { active: false })
  await database.removeKey('other')
  await until(async () => (await post('/acme/prices', KEY)).status === 403 && (await post('/other/prices')).status === 200, 'the hub to hear of it')
  revoked.send('y')
  assert.match((await revoked.ended).toString(), /\r\n\r\nHTTP\/1\.1 403 [^]*key_refused/)
  freed.send('y')
  assert.match((await freed.ended).toString(), /\r\n\r\nHTTP\/1\.1 200 /)
})

test('rules hold beside keys: whoever has the key is as one who has signed', async (t) => {
  const { post } = await open(t, { rules: [{ topics: 'acme/closed', publish: 'nobody' }, { topics: '*', publish: 'signed' }] })
  assert.deepEqual([(await post('/acme/prices', KEY)).status, (await post('/acme/closed', KEY)).status, (await post('/free', KEY)).status], [200, 403, 403])
})
