import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Config } from '../../src/index.ts'
import { createClient, openReceiver } from './lonelyps.ts'
import { startServer } from './server.ts'

/** Pairs that are under way at once. */
const AT_ONCE = 8

/** How often a registration is raced. More of them: `SHARED_TIMES=1000`. */
export const TIMES = Number(process.env['SHARED_TIMES'] ?? 300)

/**
 * Two hubs on one database. So many times somebody registers at one of them and, once that is answered with 200, a message is
 * published at the other, which must find the registration; and none that was taken back before.
 * @returns figures for the reader
 */
export async function registerAndNotify(t: TestContext, databases: readonly [string, string], pairs: number, config: Config = {}): Promise<string> {
  const options = { toBroadcastersAuth: 'none', allowPrivate: true, ...config } as const
  const hubs = await Promise.all(databases.map((database) => startServer(t, { ...options, database })))
  const clients = hubs.map(({ port }) => createClient(port))
  const receiver = await openReceiver(t)
  const missed: string[] = []
  let next = 0

  async function pair(i: number): Promise<void> {
    const [here, there] = [clients[i % 2], clients[(i + 1) % 2]] as [ReturnType<typeof createClient>, ReturnType<typeof createClient>]
    const topic = `pair/${i}`
    const kind = i % 10 === 9 ? 'glob' : 'exact'
    const target = kind === 'glob' ? `pair/${i}*` : topic
    assert.equal((await here.subscribe(kind, receiver.url(), target)).status, 200)
    const { status, subscribers } = await there.notify(topic, 'x')
    if (status !== 200 || subscribers !== 1) missed.push(`${topic}: ${status}, ${subscribers} subscribers`)
    if (i % 10 < 9) return
    assert.equal((await here.unsubscribe(kind, receiver.url(), target)).status, 200)
    if ((await there.notify(topic, 'x')).subscribers !== 0) missed.push(`${topic} was taken back`)
  }

  const began = performance.now()
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < pairs) await pair(next++)
  }))
  assert.deepEqual(missed, [])
  return `${pairs} pairs in ${((performance.now() - began) / 1_000).toFixed(1)} s`
}
