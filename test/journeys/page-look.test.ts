import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { state, useBrowser } from '../support/browser.ts'
import { post } from '../support/channel-page.ts'
import { until } from '../support/events.ts'
import { CHROMIUM, needs } from '../support/parts.ts'
import { startServer } from '../support/server.ts'

const { open, openLive } = useBrowser()

const count = (page: Page, text: string): Promise<void> => until(async () => (await page.textContent('#count')) === text, text)
const fromBottom = (page: Page): Promise<number> =>
  page.locator('#log').evaluate((log) => Math.round(log.scrollHeight - log.scrollTop - log.clientHeight))

/** The brightness of an element's colours, 0 to 255. */
function brightness(page: Page, selector: string, property: string): Promise<number> {
  return page.locator(selector).first().evaluate((element, name) => {
    const [red = 0, green = 0, blue = 0] = (element.ownerDocument.defaultView?.getComputedStyle(element).getPropertyValue(name).match(/\d+/g) ?? []).map(Number)
    return (red + green + blue) / 3
  }, property)
}

test('light is dark on light and dark is light on dark', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  for (const [colorScheme, wanted] of [['light', 1], ['dark', -1]] as const) {
    const { page } = await openLive(t, `${server.url}/demo`, { colorScheme })
    await post(`${server.url}/demo`, 'hello')
    await page.locator('.message').waitFor()
    for (const [text, ground] of [['h3', '.sheet'], ['.message .text', '.sheet'], ['.message time', '.sheet'], ['#field', '#field'], ['#count', '.bar'], ['.lead', 'html']] as const) {
      const difference = (await brightness(page, ground, 'background-color')) - (await brightness(page, text, 'color'))
      assert.ok(difference * wanted > 90, `${colorScheme}: ${text} on ${ground} differs by ${difference}`)
    }
  }
})

test('on a telephone nothing is wider than the screen, and the field is in reach', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const path = `/${'x'.repeat(255)}`
  const { page } = await openLive(t, `${server.url}${path}`, { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true })
  await post(`${server.url}${path}`, 'x'.repeat(500))
  await post(`${server.url}${path}`, JSON.stringify({ long: 'y'.repeat(300) }))
  await count(page, '2 messages')
  for (const selector of ['html', '#log', '#channel', '#address']) {
    const [inner, outer] = await page.locator(selector).evaluate((element) => [element.scrollWidth, element.clientWidth])
    assert.ok(Number(inner) <= Number(outer), `${selector} is ${inner} wide in ${outer}`)
  }
  const field = await page.locator('#field').boundingBox()
  assert.ok(field !== null && field.y + field.height <= 640, 'the field is on the screen')
})

test('the page keeps a bounded number of messages and stays at the end', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const { page } = await openLive(t, `${server.url}/demo`, { viewport: { width: 1280, height: 720 } })
  for (let i = 0; i < 600; i++) await server.hub.publish('demo', `message ${i}`)
  await count(page, '600 messages')
  assert.equal(await page.locator('.message').count(), 500)
  assert.equal(await page.locator('.message .text').first().textContent(), 'message 100')
  assert.equal(await page.textContent('#older'), '100 older messages no longer shown')
  assert.equal(await fromBottom(page), 0)
  const [last, field] = [await page.locator('.message').last().boundingBox(), await page.locator('#field').boundingBox()]
  assert.ok(last !== null && field !== null && last.y + last.height <= field.y && field.y + field.height <= 720, 'the last one stands above the field')
  // The box gets smaller when a notice comes; the end stays in sight.
  await page.locator('#notice').evaluate((notice) => (notice.hidden = false))
  await until(async () => (await fromBottom(page)) === 0, 'the end in sight')
  await page.click('#clear')
  assert.equal(await page.isVisible('#empty'), true)
  assert.equal(await page.textContent('#count'), '0 messages')
})

test('what the page keeps is bounded in size too', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const { page } = await openLive(t, `${server.url}/demo`)
  for (let i = 0; i < 6; i++) await post(`${server.url}/demo`, String(i).repeat(1_000_000))
  await count(page, '6 messages')
  assert.equal(await page.locator('.message').count(), 4)
})

test('messages of another day stand under their date', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const { page } = await open(t, 'about:blank')
  await page.clock.install({ time: Date.now() + 48 * 3_600_000 })
  await page.goto(`${server.url}/demo`)
  await state(page, 'live')
  await post(`${server.url}/demo`, 'one')
  await post(`${server.url}/demo`, 'two')
  await count(page, '2 messages')
  const year = new Date().getFullYear()
  assert.match((await page.locator('#messages > li').allTextContents()).join('|'), new RegExp(`^\\w+,? \\d+ \\w+ ${year}\\|[\\d:]+one\\|[\\d:]+two$`))
})

test('who reads further up is left there, and told how many came', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const { page } = await openLive(t, `${server.url}/demo`)
  for (let i = 0; i < 100; i++) await server.hub.publish('demo', `message ${i}`)
  await count(page, '100 messages')
  await page.locator('#log').focus()
  await page.keyboard.press('Home')
  // The browser scrolls there in steps; only at the top has it come to rest.
  await until(() => page.locator('#log').evaluate((log) => log.scrollTop === 0), 'the reader at the top')
  for (let i = 0; i < 3; i++) await server.hub.publish('demo', `later ${i}`)
  await page.getByText('3 new messages').waitFor()
  assert.ok((await fromBottom(page)) > 500)
  await page.click('#jump')
  await page.locator('#jump').waitFor({ state: 'hidden' })
  assert.equal(await fromBottom(page), 0)
  await server.hub.publish('demo', 'the last')
  await count(page, '104 messages')
  assert.equal(await fromBottom(page), 0)
})

test('a long message is folded, and opens whole', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const { page } = await openLive(t, `${server.url}/demo`)
  const long = Array.from({ length: 400 }, (_, i) => `line ${i}`).join('\n')
  await post(`${server.url}/demo`, long)
  const text = page.locator('.message .text')
  await page.getByRole('button', { name: `Show all ${long.length.toLocaleString('en-GB')} characters` }).click()
  assert.equal(await text.textContent(), long)
  await page.getByRole('button', { name: 'Show less' }).press('Enter')
  assert.ok(((await text.textContent()) ?? '').length < 200)
  assert.equal(await page.locator('.more').getAttribute('aria-expanded'), 'false')
})

test('JSON is laid out without a change to its tokens, and as it came when that is wanted', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const { page } = await openLive(t, `${server.url}/demo`)
  const raw = '{"id":12345678901234567890,"price":1.10,"text":"a \\"b\\" {c: [d]}, \\\\","none":{},"list":[],"of":[1,{"x":null}]}'
  const deep = '['.repeat(20_000) + ']'.repeat(20_000)
  await post(`${server.url}/demo`, raw)
  await post(`${server.url}/demo`, deep)
  await count(page, '2 messages')
  const text = page.locator('.message .text').first()
  assert.equal(await text.textContent(), [
    '{', '  "id": 12345678901234567890,', '  "price": 1.10,', '  "text": "a \\"b\\" {c: [d]}, \\\\",', '  "none": {},', '  "list": [],',
    '  "of": [', '    1,', '    {', '      "x": null', '    }', '  ]', '}',
  ].join('\n'))
  await page.click('#format')
  assert.equal(await text.textContent(), raw)
})

test('a body that is no text is shown in base64 and named', needs(CHROMIUM), async (t) => {
  const server = await startServer(t)
  const { page } = await openLive(t, `${server.url}/demo`)
  await server.hub.publish('demo', Buffer.from([0, 255, 128]), 'application/octet-stream')
  await page.getByText('binary, in base64: application/octet-stream').waitFor()
  assert.equal(await page.textContent('.message .text'), 'AP+A')
})
