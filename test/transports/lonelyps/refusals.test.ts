import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { temporaryFolder } from '../../support/certificates.ts'
import { notifyBody, schemes } from '../../support/lonelyps.ts'
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
