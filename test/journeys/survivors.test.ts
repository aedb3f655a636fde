import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { openCrowd, type Member } from '../support/crowd.ts'
import { until } from '../support/events.ts'
import { startHubProcess } from '../support/hub.ts'
import { connect } from '../support/websocket.ts'

const SEED = Number(process.env['SURVIVORS_SEED'] ?? 7)
const CONNECTIONS = 1_000
const CHANNELS = 5
const KILLED = 700
const PER_PUBLISHER = 150

/** One of three ways to die: in order, without a word, or by falling silent and being reset later. */
function kill({ socket }: Member, way: number): void {
  if (way === 0) socket.end()
  else if (way === 1) socket.resetAndDestroy()
  else {
    socket.pause()
    setTimeout(() => socket.destroy(), 200)
  }
}

test(`a thousand connections are killed at random under load, and those who survive have every message, once, in one order (seed ${SEED})`, async (t) => {
  const random = createSeededRandom(SEED)
  const hub = await startHubProcess(t, '--log-level', 'error')
  const channel = (i: number): string => `/channel/${i % CHANNELS}`
  const crowd = await openCrowd(t, hub.port, CONNECTIONS, (i) => ({ kind: random.below(2) === 0 ? 'websocket' : 'sse', path: channel(i) }))

  // The deaths are spread over the publishing: some after each message that somebody has sent.
  const alive = new Set(crowd)
  const candidates = [...crowd]
  let owed = 0
  function killSome(): void {
    for (owed += KILLED / (0.95 * CHANNELS * 3 * PER_PUBLISHER); owed >= 1 && CONNECTIONS - alive.size < KILLED; owed--) {
      const [victim] = candidates.splice(random.below(candidates.length), 1)
      alive.delete(victim as Member)
      kill(victim as Member, random.below(3))
    }
  }
  async function publish(name: string, send: (body: string) => Promise<void>): Promise<void> {
    for (let n = 0; n < PER_PUBLISHER; n++) {
      await send(`${name} ${n}`)
      killSome()
    }
  }

  // On each channel three publishers: a WebSocket, which hears itself, and two that post.
  const publishing: Promise<void>[] = []
  for (let i = 0; i < CHANNELS; i++) {
    const socket = await connect(t, `${hub.url.replace('http', 'ws')}${channel(i)}`)
    publishing.push(publish('socket', async (body) => {
      socket.send(body)
      while ((await socket.next()) !== body);
    }))
    for (const name of ['post1', 'post2']) {
      publishing.push(publish(name, async (body) => {
        const answer = await fetch(`${hub.url}${channel(i)}`, { method: 'POST', body })
        assert.equal(await answer.text(), 'OK\n')
      }))
    }
  }
  await Promise.all(publishing)
  assert.equal(CONNECTIONS - alive.size, KILLED)

  const total = 3 * PER_PUBLISHER
  const survivors = [...alive]
  await until(() => survivors.every(({ got, closed }) => got.length >= total || closed), 'the last message')
  for (let i = 0; i < CHANNELS; i++) {
    const here = survivors.filter(({ path }) => path === channel(i))
    const order = here[0]?.got ?? []
    for (const name of ['socket', 'post1', 'post2']) {
      const own = order.filter((body) => body.startsWith(`${name} `))
      assert.deepEqual(own, Array.from({ length: PER_PUBLISHER }, (_, n) => `${name} ${n}`), 'each publisher in its own order, no hole, no repeat')
    }
    for (const { got, ids, kind, closed } of here) {
      assert.equal(closed, false)
      assert.deepEqual(got, order, `one order for all (${kind})`)
      const offsets = ids.map((id) => Number(id.split(':')[1]))
      assert.ok(offsets.every((offset, at) => at === 0 || offset > (offsets[at - 1] as number)), 'offsets rise')
    }
  }

  const open = survivors.length + CHANNELS
  await until(async () => (await hub.metric('waystation_connections')) === open, 'the dead to be let go')
  assert.equal(await hub.metric('waystation_topics'), CHANNELS)
  assert.equal(hub.stderr(), '')
})
