import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { state, useBrowser } from '../support/browser.ts'
import { openFrozen, post, say, shows } from '../support/channel-page.ts'
import { until } from '../support/events.ts'
import { CHROMIUM, needs } from '../support/parts.ts'
import { startRelay } from '../support/relay.ts'
import { startServer } from '../support/server.ts'

const browser = useBrowser()

const notes = (page: Page): Promise<string[]> => page.locator('#messages .note').allTextContents()

test('when the hub restarts the page says so, comes back by itself, and says that messages may be missing', needs(CHROMIUM), async (t) => {
  const first = await startServer(t, { drainTime: 200 })
  const { page, complaints } = await browser.openLive(t, `${first.url}/demo`)
  const { url } = first
  await post(`${url}/demo`, 'before')
  await shows(page, ['before'])
  await first.close()
  await page.getByText(/^Reconnecting in \d+ s$/).waitFor()
  await page.getByText('The hub cannot be reached.').waitFor()

  await say(page, 'too early')
  await page.getByText('Not connected.').waitFor()
  assert.equal(await page.inputValue('#field'), 'too early')

  await startServer(t, { addr: `127.0.0.1:${first.port}` })
  await state(page, 'live')
  assert.equal(await page.isVisible('#why'), false)
  assert.equal(await page.isVisible('#notice'), false)
  await post(`${url}/demo`, 'after')
  await shows(page, ['before', 'after'])
  assert.match((await notes(page)).join(), /^Messages may be missing from \d\d:\d\d:\d\d to \d\d:\d\d:\d\d, while this page was away\.$/)
  await page.press('#field', 'Enter')
  await shows(page, ['before', 'after', 'too early'])
  assert.deepEqual(complaints, [])
})

test('a goodbye from the hub is told with the reason the hub gave', needs(CHROMIUM), async (t) => {
  const server = await startServer(t, { drainTime: 200 })
  const { page } = await openFrozen(browser, t, `${server.url}/demo`)
  await state(page, 'live')
  await server.close()
  await page.getByText('The hub closed the connection: the server is going away.').waitFor()
})

test('where messages are kept, a page whose connection was cut goes on without loss or repeat', needs(CHROMIUM), async (t) => {
  const server = await startServer(t, { rules: [{ topics: 'kept', keep: { messages: 1_000, age: '1h' } }] })
  const relay = await startRelay(t, server.port)
  const { page, sockets } = await browser.openLive(t, `http://127.0.0.1:${relay.port}/kept?token=a%20b&since=&format=x`)
  const sent: string[] = []
  const publish = async (n: number): Promise<void> => {
    for (let i = 0; i < n; i++) {
      sent.push(`message ${sent.length}`)
      await post(`${server.url}/kept`, sent.at(-1) as string)
    }
  }
  for (let round = 0; round < 2; round++) {
    await publish(10)
    await shows(page, sent)
    relay.cut()
    await state(page, 'waiting')
    await publish(10)
    relay.mend()
    await state(page, 'live')
    await publish(10)
    await shows(page, sent)
  }
  assert.deepEqual(await notes(page), [])
  for (const url of sockets) assert.match(url, /\/kept\?format=json&(since=\w+%3A\d+&)?token=a%20b$/)
  assert.match(sockets.at(-1) ?? '', /since=/)
})

test('an address with a cursor shows what came after it, or says that some may be missing', needs(CHROMIUM), async (t) => {
  const server = await startServer(t, { rules: [{ topics: 'kept', keep: { messages: 2, age: '1h' } }] })
  const cursors: string[] = []
  for (const text of ['one', 'two', 'three']) {
    cursors.push(server.hub.cursor)
    await server.hub.publish('kept', text)
  }
  const known = await browser.openLive(t, `${server.url}/kept?since=${cursors[1]}`)
  await shows(known.page, ['two', 'three'])
  assert.deepEqual(await notes(known.page), [])
  const lost = await browser.openLive(t, `${server.url}/kept?since=${cursors[0]}`)
  await lost.page.getByText('Messages before this may be missing.').waitFor()
})

test('what was sent into a connection that broke is given back, and taken back when it turns out to be published', needs(CHROMIUM), async (t) => {
  const server = await startServer(t, { rules: [{ topics: 'kept', keep: { messages: 10, age: '1h' } }] })
  const { page } = await browser.openLive(t, `${server.url}/kept`)
  // The browser loses the answers but not the message: a route between them that passes one way.
  const lame = await browser.open(t, 'about:blank')
  await lame.page.routeWebSocket(/\/kept/, (route) => {
    const hub = route.connectToServer()
    const resumed = route.url().includes('since=')
    hub.onMessage((data) => {
      if (resumed || String(data).length < 60) route.send(data)
      else void route.close({ code: 1011, reason: 'cut' })
    })
  })
  await lame.page.goto(`${server.url}/kept`)
  await state(lame.page, 'live')
  await say(lame.page, 'did it arrive?')
  await lame.page.getByText('the message may not have been published').waitFor()
  assert.equal(await lame.page.inputValue('#field'), 'did it arrive?')
  await shows(page, ['did it arrive?'])
  await shows(lame.page, ['did it arrive?'])
  await until(async () => (await lame.page.inputValue('#field')) === '', 'the field to be emptied')
  assert.equal(await lame.page.isVisible('#notice'), false)
})

test('where a rule refuses the channel, the page says so', needs(CHROMIUM), async (t) => {
  const server = await startServer(t, { rules: [{ topics: 'secret', subscribe: 'nobody' }] })
  const { page } = await browser.open(t, `${server.url}/secret`)
  await page.getByText('The hub is there, but refuses to open this channel').waitFor()
})

for (const [random, waits] of [[0, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]], [0.999999, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]]] as const) {
  test(`a refused page tries on, waiting ${waits.map((ms) => ms / 1000).join(', ')} s when chance gives ${random}`, needs(CHROMIUM), async (t) => {
    const server = await startServer(t, { rules: [{ topics: 'secret', subscribe: 'nobody' }] })
    const { page, sockets } = await openFrozen(browser, t, `${server.url}/secret`, random)
    for (const [i, ms] of waits.entries()) {
      await page.getByText(`Reconnecting in ${Math.ceil(ms / 1_000)} s`, { exact: true }).waitFor()
      assert.equal(sockets.length, i + 1)
      await page.clock.runFor(ms - 50)
      assert.equal(sockets.length, i + 1, `no attempt before ${ms} ms`)
      await page.clock.runFor(100)
      await until(() => sockets.length === i + 2, `an attempt after ${ms} ms`)
    }
  })
}

test('a connection that stood for a while makes the next wait a short one again, a brief one does not', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const relay = await startRelay(t, server.port)
  const { page } = await openFrozen(browser, t, `http://127.0.0.1:${relay.port}/demo`, 0.999999)
  for (const [stood, wait] of [[0, 1_000], [1_000, 2_000], [9_000, 4_000], [11_000, 1_000], [1_000, 2_000]] as const) {
    await state(page, 'live')
    await page.clock.runFor(stood)
    relay.cut()
    await page.getByText(`Reconnecting in ${wait / 1_000} s`, { exact: true }).waitFor()
    relay.mend()
    await page.clock.runFor(wait)
  }
  await state(page, 'live')
})

test('whoever does not want to wait can try now', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const relay = await startRelay(t, server.port)
  const { page } = await openFrozen(browser, t, `http://127.0.0.1:${relay.port}/demo`)
  await state(page, 'live')
  relay.cut()
  await state(page, 'waiting')
  relay.mend()
  await page.getByRole('button', { name: 'Try now' }).click()
  await state(page, 'live')
  assert.equal(await page.isVisible('#retry'), false)
})

test('who may not publish is told why, keeps what was written, and still sees what comes', needs(CHROMIUM), async (t) => {
  const server = await startServer(t, { rules: [{ topics: 'closed', publish: 'nobody' }] })
  const { page } = await browser.openLive(t, `${server.url}/closed`)
  await say(page, 'may I?')
  await page.getByText('You cannot publish to this channel: a rule does not allow publishing here.').waitFor()
  assert.equal(await page.inputValue('#field'), 'may I?')
  await state(page, 'live')
  await server.hub.publish('closed', 'from the house')
  await shows(page, ['from the house'])
  assert.equal(await page.isVisible('#notice'), true)
})

test('a message that is too large for the hub is given back with the reason', needs(CHROMIUM), async (t) => {
  const server = await startServer(t, { maxFrameBytes: 1_000 })
  const { page } = await browser.openLive(t, `${server.url}/demo`)
  await say(page, 'x'.repeat(1_001))
  await page.getByText('larger than the hub takes').waitFor()
  assert.equal((await page.inputValue('#field')).length, 1_001)
  await state(page, 'live')
  await say(page, 'x'.repeat(1_000))
  await shows(page, ['x'.repeat(1_000)])
})
