import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { openCrowd, openMember, type Member } from '../support/crowd.ts'
import { until } from '../support/events.ts'
import { startHubProcess } from '../support/hub.ts'
import { connect, type TestSocket } from '../support/websocket.ts'

const SEED = Number(process.env['SURVIVORS_SEED'] ?? 7)
const CONNECTIONS = 1_000
const CHANNELS = 5
const KILLED = 700
const NEWCOMERS = 100
const PER_PUBLISHER = 100

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

  // The deaths are spread over the publishing: some after each message that somebody has sent. So are newcomers.
  const alive = new Set(crowd)
  const candidates = [...crowd]
  const newcomers: Promise<Member>[] = []
  let owed = 0
  function killSome(): void {
    for (owed += KILLED / (0.95 * CHANNELS * 3 * PER_PUBLISHER); owed >= 1 && CONNECTIONS - alive.size < KILLED; owed--) {
      const [victim] = candidates.splice(random.below(candidates.length), 1)
      alive.delete(victim as Member)
      kill(victim as Member, random.below(3))
      const killed = CONNECTIONS - alive.size
      if (killed % (KILLED / NEWCOMERS) === 0) newcomers.push(openMember(t, hub.port, killed % 2 === 0 ? 'websocket' : 'sse', channel(killed)))
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
  const sockets: TestSocket[] = []
  for (let i = 0; i < CHANNELS; i++) {
    const socket = await connect(t, `${hub.url.replace('http', 'ws')}${channel(i)}`)
    sockets.push(socket)
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
  const late = await Promise.all(newcomers)
  assert.equal(late.length, NEWCOMERS)
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
    const lateHere = late.filter(({ path }) => path === channel(i))
    await until(() => lateHere.every(({ got }) => got.length === 0 || got.at(-1) === order.at(-1)), 'the last message for those who came late')
    for (const { got } of lateHere) assert.deepEqual(got, order.slice(total - got.length), 'the same from where they came in')
  }

  const open = survivors.length + NEWCOMERS + CHANNELS
  await until(async () => (await hub.metric('waystation_connections')) === open, 'the dead to be let go')
  assert.equal(await hub.metric('waystation_topics'), CHANNELS)
  for (const { socket } of [...survivors, ...late]) socket.destroy()
  for (const socket of sockets) socket.ws.terminate()
  await until(async () => (await hub.metric('waystation_topics')) === 0, 'nothing to be left behind')
  assert.equal(hub.stderr(), '')
})
