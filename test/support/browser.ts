import { after, type TestContext } from 'node:test'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import { CHROMIUM } from './parts.ts'

const ARGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
]

export interface BrowserPage {
  readonly page: Page
  /** Everything that went wrong on the page: errors of scripts, and what its policy has kept from happening. */
  readonly complaints: string[]
  /** The addresses of the WebSockets that it opened, the latest last. */
  readonly sockets: string[]
  /** Where it asked for anything over HTTP. */
  readonly requests: string[]
}

export interface Browsing {
  open(t: TestContext, url: string, options?: BrowserContextOptions): Promise<BrowserPage>
  /** Opens a channel's page, and waits until it is connected. */
  openLive(t: TestContext, url: string, options?: BrowserContextOptions): Promise<BrowserPage>
}

/** Waits until the page of a channel is in a state. */
export function state(page: Page, name: 'live' | 'waiting'): Promise<void> {
  return page.locator(`body[data-state=${name}]`).waitFor()
}

/** One real browser for the tests of a file, started for the first that asks. Tests that open pages say `needs(CHROMIUM)`. */
export function useBrowser(): Browsing {
  let launched: Promise<Browser> | undefined
  after(async () => (await launched)?.close())

  function launch(): Promise<Browser> {
    if (CHROMIUM.path === undefined) throw new Error('there is no browser')
    return chromium.launch({ executablePath: CHROMIUM.path, args: ARGS })
  }

  const browsing: Browsing = {
    async open(t, url, options = {}) {
      const browser = await (launched ??= launch())
      const context = await browser.newContext({ locale: 'en-GB', ...options })
      t.after(() => context.close())
      const page = await context.newPage()
      page.setDefaultTimeout(20_000)
      const complaints: string[] = []
      const sockets: string[] = []
      const requests: string[] = []
      page.on('pageerror', (error) => complaints.push(`error: ${error.message}`))
      page.on('dialog', (dialog) => {
        complaints.push(`dialog: ${dialog.message()}`)
        void dialog.dismiss()
      })
      page.on('console', (line) => {
        if (/Content.Security.Policy|Trusted ?Type|Refused to/i.test(line.text())) complaints.push(`policy: ${line.text()}`)
      })
      page.on('websocket', (socket) => sockets.push(socket.url()))
      page.on('request', (request) => requests.push(request.url()))
      await page.goto(url)
      return { page, complaints, sockets, requests }
    },
    async openLive(t, url, options) {
      const opened = await browsing.open(t, url, options)
      await state(opened.page, 'live')
      return opened
    },
  }
  return browsing
}
