import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { temporaryFolder } from '../../support/certificates.ts'
import { claims } from '../../../src/protocol/lonelyps/claims.ts'
import { encodeSet } from '../../../src/protocol/lonelyps/requests.ts'
import { strongEtag } from '../../../src/protocol/lonelyps/strong-etag.ts'
import { createClient, notifyBody, post, schemes, sign } from '../../support/lonelyps.ts'
import { until } from '../../support/events.ts'
import { startServer } from '../../support/server.ts'

test('a large notify that is refused at its beginning is read away: the sender gets its answer, and no reset', async (t) => {
  const { port } = await startServer(t, { ...schemes('hmac', 'hmac'), dataDir: temporaryFolder(t) })
  const [body] = notifyBody('none', 'a', Buffer.alloc(30 * 1_048_576))
  const headers = { Authorization: 'Bearer wrong', 'Content-Length': body.length }
  const sent = request({ port, host: '127.0.0.1', method: 'POST', path: '/v1/notify', headers })
  const errors: Error[] = []
  sent.on('error', (error) => errors.push(error))
  const closed = once(sent, 'close')
  sent.end(body)
  const [response] = await once(sent, 'response') as [IncomingMessage]
  response.resume()
  await closed
  assert.deepEqual([response.statusCode, sent.writableFinished, errors], [403, true, []])
})

test('a refusal with a body has it also when the request\'s own body comes later', async (t) => {
  const { port } = await startServer(t, { dataDir: temporaryFolder(t) })
  const sent = request({ port, host: '127.0.0.1', method: 'POST', path: '/v1/receive_for_websockets', headers: { 'Content-Length': 14 } })
  sent.on('error', () => {})
  sent.flushHeaders()
  const [response] = await once(sent, 'response') as [IncomingMessage]
  const chunk = once(response, 'data')
  assert.deepEqual([response.statusCode, response.headers['content-length'], (await chunk)[0].toString('hex')], [400, '2', '000a'])
  sent.end(Buffer.alloc(14))
  await buffer(response)
})

test('a signed request that broke off in its middle may be sent again as it was, once', async (t) => {
  const dataDir = temporaryFolder(t)
  const file = join(dataDir, 'waystation.db-signatures')
  const { port, url } = await startServer(t, { ...schemes('hmac', 'hmac'), dataDir, allowPrivate: true })
  const tracing = Buffer.alloc(0)
  const mine = 'http://127.0.0.1:9/receive'
  const topics = Array.from({ length: 20_000 }, (_, i) => ({ target: Buffer.from(`topic ${String(i).padStart(5, '0')}`), recovery: undefined }))
  const etag = strongEtag(mine, topics, [])
  const body = encodeSet({ tracing, url: mine, etag, topics, globs: [] })
  const proof = sign('hmac', claims.setSubscriptions({ url: mine, etag, tracing })) as string
  const broken = request({ port, host: '127.0.0.1', method: 'POST', path: '/v1/set_subscriptions', headers: { Authorization: proof, 'Content-Length': body.length } })
  broken.on('error', () => {})
  const again = async (): Promise<number> => (await post(port, '/v1/set_subscriptions', body, proof)).status
  // The database must be there before anybody looks into it.
  await createClient(port, 'hmac').unsubscribe('exact', mine, 'nothing')
  using database = new DatabaseSync(file, { readOnly: true, timeout: 2_000 })
  const remembered = (): number => (database.prepare('SELECT count(*) AS n FROM signatures').get() as { n: number }).n
  broken.write(body.subarray(0, 140_000))
  await until(() => remembered() === 2, 'the signature in use')
  assert.equal(await again(), 403)
  broken.destroy()
  await until(async () => (await again()) === 200, 'the signature free again')
  assert.equal(await again(), 403)
  assert.match(await (await fetch(`${url}/_/metrics`)).text(), /^waystation_registrations 20000$/m)
})
