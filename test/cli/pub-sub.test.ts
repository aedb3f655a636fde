import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { pub } from '../../src/cli/pub.ts'
import { until } from '../support/events.ts'
import { waystation } from '../support/process.ts'
import { startServer } from '../support/server.ts'
import { connect } from '../support/websocket.ts'

/** Something that answers HTTP as a hub would not. */
async function answering(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('pub refuses a topic whose path stands for another one, and nothing is published', async (t) => {
  const server = await startServer(t)
  const subscribers = await Promise.all(['a/b', 'b'].map((path) => connect(t, `ws://127.0.0.1:${server.port}/${path}`)))
  for (const [topic, why] of [['a//b', 'doubled slashes'], ['//b', 'doubled slashes'], ['x/../b', 'the segment ".."'], ['./b', 'the segment "."'], ['b/..', 'the segment ".."']] as const) {
    const refused = waystation(t, ['pub', topic, 'lost', '--url', server.url])
    assert.equal((await refused.exited).code, 2, topic)
    assert.match(refused.stderr(), /^[^\n]+\n$/)
    assert.ok(refused.stderr().includes(why), refused.stderr())
    assert.equal(refused.stdout(), '')
  }
  await server.hub.publish('a/b', 'first')
  await server.hub.publish('b', 'first')
  for (const subscriber of subscribers) assert.equal(await subscriber.next(), 'first')
})

test('pub follows no redirect and takes no page for an answer', async (t) => {
  const url = await answering(t, (request, response) => {
    if (request.url === '/away') response.writeHead(301, { Location: '/page' }).end()
    else response.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>\nwelcome\n</p>')
  })
  for (const [topic, says] of [['away', /answered 301, which leads to \/page/], ['page', /answered text\/html, not the answer to a message/]] as const) {
    const failing = waystation(t, ['pub', topic, 'hello', '--url', url])
    assert.notEqual((await failing.exited).code, 0)
    assert.match(failing.stderr(), says)
    assert.equal(failing.stdout(), '')
  }
})

test('pub takes the OK of a hub that tells no offset', async (t) => {
  const url = await answering(t, (_, response) => response.end('OK\n'))
  const done = waystation(t, ['pub', 'demo', 'hello', '--url', url])
  assert.deepEqual([(await done.exited).code, done.stdout()], [0, 'OK\n'])
})

test('a message that begins with a dash stands behind --, and pub says so', async (t) => {
  const server = await startServer(t)
  const subscriber = await connect(t, `ws://127.0.0.1:${server.port}/demo`)
  const refused = waystation(t, ['pub', 'demo', '-10', '--url', server.url])
  assert.equal((await refused.exited).code, 2)
  assert.match(refused.stderr(), /: -10 is no option; write -- before a message that begins with a dash\n$/)
  for (const word of ['-1', '-h', '--help']) {
    assert.equal((await waystation(t, ['pub', '--url', server.url, 'demo', '--', word]).exited).code, 0)
    assert.equal(await subscriber.next(), word)
  }
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`one ${signal} ends a pub that waits for standard input, and nothing is sent`, async (t) => {
    let asked = 0
    const url = await answering(t, (_, response) => void (asked++, response.end('OK\n')))
    // The pipe takes far less than this: when all of it is written, it is being read.
    const waiting = waystation(t, ['pub', 'demo', '--url', url])
    await new Promise((resolve) => waiting.child.stdin?.write('x'.repeat(4_000_000), resolve))
    waiting.child.kill(signal)
    assert.deepEqual(await waiting.exited, { code: 130, signal: null })
    assert.equal(asked, 0)
  })
}

test('pub says on a terminal that it reads the message from there', async (t) => {
  const url = await answering(t, (request, response) => void text(request).then((body) => response.end(body === 'typed' ? 'OK\n' : 'another body')))
  const err = new PassThrough()
  const input = Object.assign(new PassThrough(), { isTTY: true })
  const done = pub.run(['demo', '--url', url], { in: input, out: new PassThrough(), err, env: {}, cwd: '/', stop: new AbortController().signal })
  assert.match(String((await once(err, 'data'))[0]), /from the terminal until Ctrl-D\n$/)
  input.end('typed')
  assert.equal(await done, 0)
})

test('sub tells in one line that what answers has no event stream', async (t) => {
  const url = await answering(t, (_, response) => response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).write('<p>never ends'))
  const failing = waystation(t, ['sub', 'demo', '--url', url])
  assert.equal((await failing.exited).code, 1)
  assert.match(failing.stderr(), /^[^\n]*answered text\/html, not an event stream[^\n]*\n$/)
})

test('sub pauses between tries though the hub wants none, or writes nonsense', async (t) => {
  const tries: number[] = []
  const url = await answering(t, (_, response) => {
    tries.push(performance.now())
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end('retry: 0\nretry: soon\n\n')
  })
  waystation(t, ['sub', 'demo', '--url', url])
  await until(() => tries.length >= 3, 'three tries')
  // A timer may be early by a millisecond.
  for (const [i, time] of tries.slice(1, 3).entries()) assert.ok(time - (tries[i] as number) >= 95, String(tries))
})

test('sub --since names itself when it is no cursor', async (t) => {
  const failing = waystation(t, ['sub', 'demo', '--since', 'nope', '--url', 'http://127.0.0.1:1'])
  assert.equal((await failing.exited).code, 2)
  assert.match(failing.stderr(), /: --since nope: write epoch:offset/)
})
