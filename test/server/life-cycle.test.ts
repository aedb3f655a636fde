import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { createServer as createHttp } from 'node:http'
import { createServer as createTcp, Server, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { createServer, type Config, type WaystationServer } from '../../src/index.ts'
import { createLogger, type Logger } from '../../src/server/log.ts'
import { selfSigned, temporaryFolder } from '../support/certificates.ts'
import { createInbox, type Inbox } from '../support/events.ts'

const STOPPED = { name: 'WaystationError', code: 'stopped' }

function hubOn(t: TestContext, config: Config = {}, parts: { logger?: Logger } = {}): WaystationServer {
  const server = createServer({ addr: '127.0.0.1:0', logLevel: 'silent', ...config }, parts)
  t.after(() => server.close(AbortSignal.abort()))
  return server
}

/** Gives how many of the servers that were told to listen from here on do so now. */
function watchListening(t: TestContext): () => number {
  const { mock } = t.mock.method(Server.prototype, 'listen')
  return () => mock.calls.filter((call) => (call.this as Server).listening).length
}

/** A port that is taken until the test ends, or until it is given back. */
async function takenPort(t: TestContext): Promise<{ port: number; giveBack(): Promise<void> }> {
  const server = createTcp()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const giveBack = () => new Promise<void>((resolve) => server.close(() => resolve()))
  t.after(giveBack)
  return { port: (server.address() as AddressInfo).port, giveBack }
}

test('listening twice opens one port, whether the first is still on its way or not', async (t) => {
  const listening = watchListening(t)
  const server = hubOn(t)
  await Promise.all([server.listen(), server.listen()])
  const { url } = server
  await server.listen()
  assert.equal(server.url, url)
  assert.equal(listening(), 1)
  await server.close()
  assert.equal(listening(), 0)
})

test('after the close nothing listens and nothing is mounted any more: both say that the hub has stopped', async (t) => {
  const listening = watchListening(t)
  const host = createHttp()
  for (const first of ['nothing', 'listen', 'attach']) {
    const server = hubOn(t)
    if (first === 'listen') await server.listen()
    if (first === 'attach') await server.attach(host)
    const closing = server.close()
    await assert.rejects(server.listen(), STOPPED, first)
    await assert.rejects(server.attach(host), STOPPED, first)
    await closing
    await assert.rejects(server.listen(), STOPPED, first)
    await assert.rejects(server.attach(host), STOPPED, first)
    assert.equal(listening(), 0, first)
    assert.equal(Object.hasOwn(host, 'emit'), false, first)
  }
})

test('a close while it begins to listen leaves no port open, no socket file and no mount', async (t) => {
  const listening = watchListening(t)
  const folder = temporaryFolder(t)
  selfSigned(folder, 'hub')
  const tls = { tlsCert: join(folder, 'hub.pem'), tlsKey: join(folder, 'hub.key') }
  const path = join(folder, 'hub.sock')
  for (const config of [{}, { addr: 'localhost:0' }, tls, { addr: path }]) {
    // Each pause lets the listening come further before the close.
    for (const pauses of [0, 1, 2, 4, 8]) {
      const host = createHttp()
      const server = hubOn(t, config)
      const both = Promise.allSettled([server.listen(), server.attach(host)])
      let over = false
      void both.then(() => (over = true))
      for (let i = 0; i < pauses; i++) await Promise.resolve()
      await server.close()
      assert.equal(listening(), 0, `${JSON.stringify(config)} after ${pauses}`)
      assert.equal(existsSync(path), false)
      assert.equal(Object.hasOwn(host, 'emit'), false)
      // The close has waited for it, so nothing opens afterwards.
      await setImmediate()
      assert.equal(over, true)
      for (const result of await both) if (result.status === 'rejected') assert.equal(result.reason.code, 'stopped', String(result.reason))
      assert.equal(listening(), 0)
    }
  }
})

test('where the address cannot be had both calls say so, and a later one may try again', async (t) => {
  const { port, giveBack } = await takenPort(t)
  const server = hubOn(t, { addr: `127.0.0.1:${port}` })
  const results = await Promise.allSettled([server.listen(), server.listen()])
  assert.deepEqual(results.map((result) => result.status === 'rejected' && result.reason.code), ['listen_failed', 'listen_failed'])
  await giveBack()
  await server.listen()
  assert.equal((await fetch(`${server.url}/demo`, { method: 'POST', body: 'x' })).status, 200)
})

function recorder(): { logger: Logger; errors: Inbox<unknown> } {
  const errors = createInbox<unknown>('logged error')
  const logger: Logger = Object.assign(createLogger('silent'), { error: (what: unknown) => errors.push(what) })
  return { logger, errors }
}

test('a hub that failed to listen does not look after its certificate', async (t) => {
  const folder = temporaryFolder(t)
  selfSigned(folder, 'hub')
  const tls = { tlsCert: join(folder, 'hub.pem'), tlsKey: join(folder, 'hub.key') }
  const { port } = await takenPort(t)
  const [failed, good] = [recorder(), recorder()]
  await assert.rejects(hubOn(t, { ...tls, addr: `127.0.0.1:${port}` }, failed).listen(), { code: 'listen_failed' })
  await hubOn(t, tls, good).listen()
  // By its second look the one that listens is a whole period behind what the other would have seen.
  writeFileSync(tls.tlsCert, 'no certificate')
  await good.errors.next()
  writeFileSync(tls.tlsKey, 'nor a key')
  await good.errors.next()
  assert.deepEqual(failed.errors.taken(), [])
})

test('the rates of pinghub tick from the first start, and only where pinghub is on', async (t) => {
  const timers = t.mock.method(globalThis, 'setTimeout').mock
  const ticks = () => timers.calls.filter((call) => call.arguments[1] === 5_000).length
  const without = hubOn(t, { pinghub: false })
  await without.listen()
  const server = hubOn(t)
  assert.equal(ticks(), 0)
  await server.listen()
  await server.attach(createHttp())
  assert.equal(ticks(), 1)
})

test('a hub whose database is away when it starts says so, and is closed like any other', async () => {
  const closed = createTcp()
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
  const { port } = closed.address() as AddressInfo
  await new Promise((resolve) => closed.close(resolve))
  const begin = async (): Promise<void> => {
    await using server = createServer({ addr: '127.0.0.1:0', logLevel: 'silent', database: `postgres://127.0.0.1:${port}/none` })
    await server.listen()
  }
  await assert.rejects(begin(), { name: 'WaystationError', code: 'registry_unavailable' })
})
