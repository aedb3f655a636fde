import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { createSeededRandom, type SeededRandom } from '../../../src/testing/seeded-random.ts'
import { startServer } from '../../support/server.ts'
import { connect, type TestSocket } from '../../support/websocket.ts'

/*
 * pinghub, section 11: what the original's own tests assert. `SEED=n` repeats a run; a failure prints its seed.
 */

const ORIGIN = 'https://example.com'
const SEED = Number(process.env['SEED'] ?? 170_718)

test('HTML: the page of a path is a page and names the path', async (t) => {
  const { url } = await startServer(t, { origin: [ORIGIN] })
  const page = await (await fetch(`${url}/somestring`)).text()
  assert.ok(page.includes('<html>'))
  assert.ok(page.includes('/somestring'))
})

test('XSS: a tag in the path is not a tag in the page', async (t) => {
  const { url } = await startServer(t, { origin: [ORIGIN] })
  const page = await (await fetch(`${url}/%3Cxss%3E`)).text()
  assert.equal(page.includes('<xss>'), false)
  assert.ok(page.includes('/&lt;xss&gt;'))
})

test('BadOrigin1, BadOrigin2: a page of another host or another scheme may not connect', async (t) => {
  const { ws } = await startServer(t, { origin: [ORIGIN] })
  for (const origin of ['https://example.net', 'http://example.com']) {
    await assert.rejects(connect(t, `${ws}/testpath`, { origin }), { status: 403 })
  }
})

/** Up to `most` characters from all of Unicode, without the surrogates, which are none. */
function randomText(random: SeededRandom, most: number, least = 0): string {
  const ranges = [[0x20, 0x7e], [0xa0, 0x24f], [0x370, 0x5ff], [0x3040, 0x30ff], [0x4e00, 0x9fff], [0xe000, 0xfffd], [0x1_f300, 0x1_faff], [0x1, 0x1f], [0x10_0000, 0x10_fffd]] as const
  const length = least + random.below(most - least + 1)
  return Array.from({ length }, () => {
    const [from, to] = random.pick(ranges)
    return String.fromCodePoint(from + random.below(to - from + 1))
  }).join('')
}

interface Client {
  readonly socket: TestSocket
  /** Every message issued at or after its own subscription, in the order of issue, put together. */
  expected: string
  /** What it got, put together. */
  got: string
}

/** One step after the other: each connects and sends, or posts; at the end everyone has exactly what was issued since it came. */
async function runClients(t: TestContext, steps: number, path: string, seed: number): Promise<void> {
  const { url, ws } = await startServer(t, { origin: [ORIGIN] })
  const random = createSeededRandom(seed)
  const clients: Client[] = []
  async function post(body: string): Promise<void> {
    const response = await fetch(url + path, { method: 'POST', body, headers: { 'Content-Type': 'text/plain' } })
    assert.deepEqual([response.status, response.statusText, await response.text()], [200, 'OK', 'OK\n'], `seed ${seed}`)
  }
  for (let step = 0; step < steps; step++) {
    const text = randomText(random, 50)
    let own: Client | undefined
    if (random.below(2) === 0) {
      own = { socket: await connect(t, ws + path, { origin: ORIGIN }), expected: '', got: '' }
      clients.push(own)
    }
    for (const client of clients) client.expected += text
    if (own === undefined) await post(text)
    else {
      own.socket.send(text)
      if (text !== '') own.got = await own.socket.next()
    }
  }
  // A last message takes the place of waiting a while: when it is there, everything before it is.
  const end = 'the end, which is longer than what the steps send, so that it is none of those'
  await post(end)
  for (const [i, client] of clients.entries()) {
    for (let text = await client.socket.next(); text !== end; text = await client.socket.next()) client.got += text
    assert.equal(client.got, client.expected, `seed ${seed}, client ${i}`)
  }
}

for (const steps of [1, 10, 100]) {
  test(`Clients${steps}, on a fixed path and on a random Unicode path: everyone gets everything from its own subscription on, in one order`, async (t) => {
    await runClients(t, steps, '/testpath1', SEED + steps)
    const random = createSeededRandom(SEED - steps)
    // Dots and slashes could make it a path that is sent elsewhere.
    const path = randomText(random, 250, 1).replace(/[./]/g, '-')
    await runClients(t, steps, `/${encodeURIComponent(path)}`, SEED * steps)
  })
}

test('Clients100 passes with twenty seeds more', async (t) => {
  for (let i = 1; i <= 20; i++) await runClients(t, 100, '/testpath1', SEED + 1_000 * i)
})
