import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from './support/server.ts'
import { connect } from './support/websocket.ts'

test('a POST reaches a WebSocket on the same path', async (t) => {
  const server = await startServer(t)
  const socket = await connect(t, `${server.ws}/demo`)
  const response = await fetch(`${server.url}/demo`, { method: 'POST', body: 'hello' })
  assert.equal(await response.text(), 'OK\n')
  assert.equal(response.headers.get('waystation-subscribers'), '1')
  assert.equal(await socket.next(), 'hello')
})
