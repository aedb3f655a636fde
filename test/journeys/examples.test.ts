import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { test, type TestContext } from 'node:test'
import { until } from '../support/events.ts'
import { run, type TestProcess } from '../support/process.ts'
import { exchange, raw } from '../support/raw.ts'
import { openStream } from '../support/sse.ts'
import { connect } from '../support/websocket.ts'

/** Runs an example from this clone, as its first lines say, on a free port. */
async function start(t: TestContext, name: string): Promise<{ child: TestProcess; url: string; port: number }> {
  const file = fileURLToPath(new URL(`../../examples/${name}/main.ts`, import.meta.url))
  const child = run(t, process.execPath, ['--conditions=waystation/source', file], { env: { PORT: '0' } })
  await child.says(/listening on http:\S+\n/)
  const url = /listening on (\S+)/.exec(child.stdout())?.[1] as string
  return { child, url, port: Number(new URL(url).port) }
}

const TEXT = { 'Content-Type': 'text/plain' }
const post = (url: string, body: string) => fetch(url, { method: 'POST', body, headers: TEXT })

for (const name of ['embedding-node', 'embedding-express', 'embedding-fastify']) {
  test(`${name}: the application and the hub under its prefix answer side by side, and stop cleanly`, async (t) => {
    const { child, url } = await start(t, name)
    const page = await fetch(`${url}/hub/orders`)
    assert.match(page.headers.get('content-type') ?? '', /^text\/html/)
    assert.match(await page.text(), /orders/)

    const socket = await connect(t, `${url.replace('http', 'ws')}/hub/orders`)
    const stream = await openStream(t, `${url}/hub/orders`)
    const byRoute = await post(`${url}/orders`, 'by the route')
    assert.deepEqual([byRoute.status, await byRoute.text()], [201, 'told 3\n'])
    const byHub = await post(`${url}/hub/orders`, 'by the hub')
    assert.deepEqual([byHub.status, await byHub.text()], [200, 'OK\n'])
    socket.send('by WebSocket')

    const all = ['by the route', 'by the hub', 'by WebSocket']
    assert.deepEqual([await socket.next(), await socket.next(), await socket.next()], all)
    assert.deepEqual((await stream.inbox.take(3)).map(({ data }) => data), all)
    let taken: unknown
    await until(async () => ((taken = await (await fetch(`${url}/orders`)).json()) as unknown[]).length === 3, 'the program took its orders')
    assert.deepEqual(taken, all)

    for (const [path, location] of [['/hub', '/hub/'], ['/hub//orders?x=1', '/hub/orders?x=1'], ['/hub/./orders', '/hub/orders']] as const) {
      const answer = await exchange(t, Number(new URL(url).port), `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
      assert.match(answer, /^HTTP\/1.1 301 /)
      assert.equal(/\r\nLocation: (\S+)/i.exec(answer)?.[1], location)
    }
    assert.equal((await fetch(`${url}/hubble`)).status, 404)
    await assert.rejects(connect(t, `${url.replace('http', 'ws')}/orders-of-mine`), /refused with 404/)

    child.child.kill('SIGTERM')
    assert.deepEqual(await socket.closed, { code: 1001, reason: 'the server is going away' })
    await stream.ended
    assert.deepEqual(await child.exited, { code: 0, signal: null }, child.stderr())
    assert.match(child.stdout(), /stopped\n$/)
  })
}

test('embedding-node: the program\'s own upgrade goes on beside the hub\'s WebSockets', async (t) => {
  const { url, port } = await start(t, 'embedding-node')
  const echo = await raw(t, port)
  echo.send('GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
  await echo.until((received) => received.includes('\r\n\r\n'))
  echo.send('hello')
  const answer = await echo.until((received) => received.toString().endsWith('hello'))
  assert.match(answer.toString(), /^HTTP\/1.1 101 [^]*Upgrade: echo\r\n\r\nhello$/)
  const socket = await connect(t, `${url.replace('http', 'ws')}/hub/echo`)
  socket.send('by the hub')
  assert.equal(await socket.next(), 'by the hub')
})
