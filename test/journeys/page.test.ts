import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { createServer as createHub } from '../../src/index.ts'
import { state, useBrowser } from '../support/browser.ts'
import { messages, openFrozen, post, RECORD_SENDING, say, sentBy, shows } from '../support/channel-page.ts'
import { until } from '../support/events.ts'
import { CHROMIUM, needs } from '../support/parts.ts'
import { startServer } from '../support/server.ts'

const browser = useBrowser()

test('two pages on one channel see what both publish, in one order', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const one = await browser.openLive(t, `${server.url}/demo`)
  const two = await browser.openLive(t, `${server.url}/demo`)
  const from = async (page: Page, name: string): Promise<void> => {
    for (let i = 0; i < 15; i++) await say(page, `${name} ${i}`)
  }
  await Promise.all([from(one.page, 'one'), from(two.page, 'two')])
  for (const { page } of [one, two]) await until(async () => (await messages(page)).length === 30, 'all messages')
  const seen = await messages(one.page)
  assert.deepEqual(await messages(two.page), seen)
  for (const name of ['one', 'two']) {
    assert.deepEqual(seen.filter((text) => text.startsWith(name)), Array.from({ length: 15 }, (_, i) => `${name} ${i}`))
  }
  assert.equal(await one.page.textContent('#count'), '30 messages')
  assert.equal(await one.page.inputValue('#field'), '')
})

test('the page says what it is connected to, and shows a POST with its time', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const { page, requests } = await browser.openLive(t, `${server.url}/news/eu`)
  assert.equal(await page.textContent('h3'), '/news/eu')
  assert.equal(await page.title(), '/news/eu · Waystation')
  assert.equal(await page.textContent('#state'), 'Live')
  assert.equal(await page.textContent('#address'), `${server.ws}/news/eu`)
  assert.equal(await page.textContent('#command'), `curl -d hello ${server.url}/news/eu`)
  assert.equal(await page.isVisible('#empty'), true)
  const before = Date.now()
  await post(`${server.url}/news/eu`, 'hello')
  await shows(page, ['hello'])
  const time = Date.parse((await page.getAttribute('.message time', 'datetime')) ?? '')
  assert.ok(time >= before - 1 && time <= Date.now(), 'the time is the one of the message')
  assert.equal(await page.isVisible('#empty'), false)
  assert.equal(await page.textContent('#count'), '1 message')
  assert.deepEqual(requests.filter((url) => !url.startsWith('data:')), [`${server.url}/news/eu`])
})

test('markup in a message or a path is text, and nothing of it runs', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const evil = `<script>alert('x')</script><img src=x onerror="alert(1)">`
  const path = `/${encodeURIComponent(`</title></h3>"'+&${evil}`)}`
  const { page, complaints, requests } = await browser.openLive(t, server.url + path)
  assert.equal(await page.textContent('h3'), `/</title></h3>"'+&${evil}`)
  assert.equal(await page.title(), `/</title></h3>"'+&${evil} · Waystation`)
  const sent = [evil, '&lt;b&gt;', '{"html":"<b>"}', '  two\n  lines', 'javascript:alert(1)']
  for (const text of sent) await post(server.url + path, text)
  await shows(page, sent)
  assert.equal(await page.locator('#messages :is(script, img, b, a)').count(), 0)
  assert.deepEqual(complaints, [])
  assert.equal(requests.filter((url) => !url.startsWith('data:')).length, 1)
})

test('an empty field is not sent', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const { page } = await browser.open(t, 'about:blank')
  await page.addInitScript(RECORD_SENDING)
  await page.goto(`${server.url}/demo`)
  await state(page, 'live')
  await page.press('#field', 'Enter')
  await page.click('.send')
  await say(page, 'full')
  await shows(page, ['full'])
  assert.deepEqual(await sentBy(page), ['full'])
})

test('a quiet page sends an empty message every 30 s, which nobody gets', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const { page } = await openFrozen(browser, t, 'about:blank')
  await page.addInitScript(RECORD_SENDING)
  await page.goto(`${server.url}/demo`)
  await state(page, 'live')
  await page.clock.runFor(95_000)
  await say(page, 'not empty')
  await until(async () => {
    await page.clock.runFor(100)
    return (await messages(page)).length > 0
  }, 'the message')
  assert.deepEqual(await messages(page), ['not empty'])
  assert.deepEqual(await sentBy(page), ['', '', '', 'not empty'])
})

test('Shift and Enter break the line, Enter sends both lines as one message', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const { page } = await browser.openLive(t, `${server.url}/demo`)
  await page.fill('#field', 'first')
  await page.press('#field', 'Shift+Enter')
  await page.locator('#field').pressSequentially('second')
  await page.press('#field', 'Enter')
  await shows(page, ['first\nsecond'])
})

test('the page works where the hub is mounted under a prefix of another server', needs(CHROMIUM), async (t) => {
  const host: Server = createServer((_request, response) => response.end('the other server'))
  const hub = createHub({ logLevel: 'silent' })
  t.after(() => hub.close(AbortSignal.abort()))
  await hub.attach(host, { prefix: '/hub' })
  host.listen(0, '127.0.0.1')
  await once(host, 'listening')
  t.after(() => host.close())
  const origin = `127.0.0.1:${(host.address() as AddressInfo).port}`
  const { page } = await browser.openLive(t, `http://${origin}/hub/demo`)
  assert.equal(await page.textContent('h3'), '/demo')
  assert.equal(await page.textContent('#address'), `ws://${origin}/hub/demo`)
  await say(page, 'under a prefix')
  await shows(page, ['under a prefix'])
})

test('the command to copy can be pasted into a shell whatever the path is', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const context = { permissions: ['clipboard-read', 'clipboard-write'] }
  const { page } = await browser.openLive(t, `${server.url}/it's;a[b]{c}$(d)?k=v&w=1`, context)
  const expected = `curl -d hello '${server.url}/it%27s;a%5Bb%5D%7Bc%7D$(d)?k=v&w=1'`
  assert.equal(await page.textContent('#command'), expected)
  await page.click('#copy')
  await page.getByText('Copied').waitFor()
  await page.click('#field')
  await page.press('#field', 'ControlOrMeta+v')
  assert.equal(await page.inputValue('#field'), expected)
})
