import assert from 'node:assert/strict'
import { test } from 'node:test'
import { handshake } from '../../support/raw.ts'
import { openFrames } from '../../support/frames.ts'
import { ask, openWire, request } from '../../support/responses.ts'
import { startServer } from '../../support/server.ts'

// pinghub, section 2.3.

const NOT_TEXT = 'Error: bad request. Path must be valid Unicode (UTF-8).\n'
const LENGTH = 'Error: bad request. Path length must be 1-256 Unicode characters (UTF-8).\n'

/** Paths of one channel each; every two channels differ. */
const CHANNELS: readonly (readonly string[])[] = [
  ['/'],
  ['/a/b', '/a%2Fb', '/%61/b', '/a/b?x=1'],
  ['/m1', '/%6d1', '/%6D1'],
  ['/M1'],
  ['/m1/'],
  ['/a+b', '/a%2Bb'],
  ['/a%20b'],
  ['/caf%C3%A9', '/caf%c3%a9', '/caf\xc3\xa9'],
  // The same letter in two code points is another path.
  ['/cafe%CC%81'],
  ['/a%00b'],
  ['/%F0%9F%91%8B', '/\xf0\x9f\x91\x8b'],
  ['/%25'],
  ['/~x', '/%7Ex'],
]

test('the channel is the decoded path, byte for byte, and nothing else is the same channel', async (t) => {
  const { port } = await startServer(t)
  const subscribers = await Promise.all(CHANNELS.map(([path]) => openFrames(t, port, path as string)))
  for (const [i, paths] of CHANNELS.entries()) {
    for (const path of paths) {
      const answer = await ask(t, port, request(`POST ${path}`, { body: `to ${i}` }))
      assert.deepEqual([path, answer.headers.get('waystation-subscribers')], [path, '1'])
      assert.equal(await subscribers[i]?.text(), `to ${i}`)
    }
  }
  for (const subscriber of subscribers) assert.deepEqual(subscriber.frames.taken(), [])
})

test('every spelling of a path subscribes to the same channel', async (t) => {
  const { port } = await startServer(t)
  for (const paths of CHANNELS) {
    const subscribers = await Promise.all(paths.map((path) => openFrames(t, port, path)))
    await ask(t, port, request(`POST ${paths[0]}`, { body: 'x' }))
    for (const subscriber of subscribers) assert.equal(await subscriber.text(), 'x')
  }
})

const BAD: readonly (readonly [path: string, error: string])[] = [
  ['/%ff', NOT_TEXT], ['/\xff', NOT_TEXT], ['/%C3', NOT_TEXT], ['/%ED%A0%80', NOT_TEXT], ['/%F4%90%80%80', NOT_TEXT], ['/%C0%AF', NOT_TEXT],
  [`/${'a'.repeat(256)}`, LENGTH], [`/${'%F0%9F%91%8B'.repeat(256)}`, LENGTH],
  // UTF-8 is looked at before the length.
  [`/${'a'.repeat(300)}%ff`, NOT_TEXT],
]

test('a path that is not UTF-8, or above 256 code points, is refused with 400 for page, POST and WebSocket alike, and the connection stays', async (t) => {
  const { port } = await startServer(t)
  const connection = await openWire(t, port)
  for (const [path, error] of BAD) {
    for (const text of [request(`GET ${path}`), request(`POST ${path}`, { body: 'x' }), handshake(path)]) {
      connection.send(text)
      const answer = await connection.answer()
      assert.deepEqual([path, answer.status, answer.body], [path, 400, error])
      assert.equal(answer.headers.get('content-type'), 'text/plain; charset=utf-8')
      assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
    }
  }
})

test('the path is looked at before anything else of a handshake', async (t) => {
  const { port } = await startServer(t, { origin: ['https://example.com'] })
  const answer = await ask(t, port, handshake('/%ff', { Origin: 'https://evil.example', 'Sec-WebSocket-Version': '7', 'Sec-WebSocket-Key': 'x' }))
  assert.deepEqual([answer.status, answer.body], [400, NOT_TEXT])
})

test('the limit counts code points, not bytes: the slash and 255 characters of four bytes each are accepted', async (t) => {
  const { port } = await startServer(t)
  for (const character of ['a', '%F0%9F%91%8B', '\xf0\x9f\x91\x8b']) {
    const path = `/${character.repeat(255)}`
    const subscriber = await openFrames(t, port, path)
    assert.equal((await ask(t, port, request(`GET ${path}`))).status, 200)
    assert.equal((await ask(t, port, request(`POST ${path}`, { body: 'x' }))).status, 200)
    assert.equal(await subscriber.text(), 'x')
  }
})
