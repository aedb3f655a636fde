import assert from 'node:assert/strict'
import { connect as connectTcp } from 'node:net'
import { test, type TestContext } from 'node:test'
import { createSeededRandom, type SeededRandom } from '../../src/testing/seeded-random.ts'
import { until } from '../support/events.ts'
import { startHubProcess } from '../support/hub.ts'
import { openStream } from '../support/sse.ts'
import { connect } from '../support/websocket.ts'
import { HTTP, mutate, WEBSOCKET } from './mutations.ts'

/*
 * Thousands of spoiled byte streams at the real process. It must live, let go of everything, stay small, and serve a
 * healthy client beside them without a loss. FUZZ_SEED and FUZZ_RUNS choose another storm; a failure names its seed.
 */
const SEED = Number(process.env['FUZZ_SEED'] ?? 1_021)
const RUNS = Number(process.env['FUZZ_RUNS'] ?? 5_000)
const AT_ONCE = 40

/** Sends one spoiled conversation in a few pieces, and leaves in one of three ways. Resolves when the hub has let go too. */
function attack(port: number, random: SeededRandom, corpus: readonly Buffer[]): Promise<void> {
  const bytes = mutate(random, corpus)
  const cuts = Array.from({ length: random.below(4) }, () => random.below(bytes.length + 1)).sort((a, b) => a - b)
  const leaving = random.below(10)
  return new Promise((resolve, reject) => {
    const socket = connectTcp(port, '127.0.0.1')
    const late = setTimeout(() => {
      socket.destroy()
      reject(new Error(`the hub holds on to ${JSON.stringify(bytes.toString('latin1').slice(0, 2_000))}`))
    }, 20_000)
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(late)
      resolve()
    })
    // What comes back is read, except by some who never do.
    if (leaving > 1) socket.resume()
    void (async () => {
      let from = 0
      for (const to of [...cuts, bytes.length]) {
        socket.write(bytes.subarray(from, to))
        from = to
        await new Promise(setImmediate)
      }
      if (leaving === 0) socket.destroy()
      else if (leaving < 4) socket.resetAndDestroy()
      else socket.end()
    })()
  })
}

async function storm(port: number, seed: number, runs: number, corpus: readonly Buffer[]): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < runs) await attack(port, createSeededRandom(seed * 1_000_003 + next++), corpus)
  }))
}

async function survives(t: TestContext, corpus: readonly Buffer[]): Promise<void> {
  const rules = JSON.stringify([{ topics: '*', keep: { messages: 5 } }])
  const hub = await startHubProcess(t, '--log-level', 'error', '--rules', rules, '--origin', 'https://a.example')
  const { url, port } = hub
  const memory = (): Promise<number> => hub.metric('process_resident_memory_bytes')
  const healthy = await connect(t, `${url.replace('http', 'ws')}/healthy`)
  const stream = await openStream(t, `${url}/healthy`)
  let sent = 0
  const publisher = setInterval(() => healthy.send(String(sent++)), 5)
  t.after(() => clearInterval(publisher))

  await storm(port, SEED, 300, corpus)
  const before = await memory()
  await storm(port, SEED + 1, RUNS, corpus)
  clearInterval(publisher)

  await until(async () => (await hub.metric('waystation_connections')) === 2 && (await hub.metric('waystation_topics')) === 1, 'everything to be let go')
  for (let n = 0; n < sent; n++) {
    assert.equal(await healthy.next(), String(n))
    assert.equal((await stream.next()).data, String(n))
  }
  const after = await memory()
  assert.ok(after - before < 150_000_000, `grew from ${before} to ${after} bytes`)
  assert.equal(hub.child.exitCode, null)
  assert.equal(hub.stderr(), '')
}

test(`the hub survives thousands of spoiled HTTP requests (seed ${SEED})`, (t) => survives(t, HTTP))
test(`the hub survives thousands of spoiled WebSockets (seed ${SEED})`, (t) => survives(t, WEBSOCKET))
