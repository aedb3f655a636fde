import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Page } from 'playwright-core'
import type { Browsing, BrowserPage } from './browser.ts'
import { until } from './events.ts'

/** The messages that the page of a channel shows. */
export function messages(page: Page): Promise<string[]> {
  return page.locator('.message .text').allTextContents()
}

/** Waits until the page shows as many messages as these, and compares. */
export async function shows(page: Page, expected: readonly string[]): Promise<void> {
  await until(async () => (await messages(page)).length >= expected.length, `${expected.length} messages on the page`)
  assert.deepEqual(await messages(page), expected)
}

/** Publishes as a person does. */
export async function say(page: Page, text: string): Promise<void> {
  await page.fill('#field', text)
  await page.press('#field', 'Enter')
}

export function post(url: string, body: string): Promise<Response> {
  return fetch(url, { method: 'POST', body })
}

/** Opens a page whose clock stands still, where chance is not left to chance. */
export async function openFrozen(browsing: Browsing, t: TestContext, url: string, random = 0): Promise<BrowserPage> {
  const opened = await browsing.open(t, 'about:blank')
  await opened.page.clock.install()
  await opened.page.clock.pauseAt(Date.now() + 60_000)
  await opened.page.addInitScript(`Math.random = () => ${random}`)
  await opened.page.goto(url)
  return opened
}

/** An init script for `sentBy`. */
export const RECORD_SENDING = `{
  globalThis.sent = []
  const { send } = WebSocket.prototype
  WebSocket.prototype.send = function (data) { sent.push(data); send.call(this, data) }
}`

/** What the page has given to its WebSockets, empty messages too: the browser's own record leaves those out. */
export function sentBy(page: Page): Promise<string[]> {
  return page.evaluate(() => (globalThis as unknown as { sent: string[] }).sent)
}
