import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { createLogger } from '../../src/server/log.ts'
import { until } from './events.ts'
import { hashed, openDatabase } from './keys.ts'
import { createClient, openReceiver } from './lonelyps.ts'
import { startServer } from './server.ts'
import { connect } from './websocket.ts'

/** A database that can be taken away and brought back. */
export interface Outage {
  readonly database: string
  stop(): Promise<void>
  start(): Promise<void>
}

const KEY = 'outage-key'

/**
 * The database goes away in the middle of a storm of registrations, and comes back. Meanwhile the hub delivers to whom it
 * knows, answers 503 to what needs the database, and says so; afterwards all that was answered with 200 is there.
 * @returns figures for the reader
 */
export async function surviveOutage(t: TestContext, { database, stop, start }: Outage): Promise<string> {
  const lines: string[] = []
  const logger = createLogger('info', { write: (line) => void lines.push(line) })
  const hub = await startServer(t, { database, toBroadcastersAuth: 'none', allowPrivate: true, keyCacheTime: 0 }, { logger })
  const client = createClient(hub.port)
  const receiver = await openReceiver(t)
  const admin = openDatabase(t, hub.options)
  await admin.addKey(hashed('acme', KEY))
  assert.equal((await client.subscribe('exact', receiver.url('/known'), 'known')).status, 200)
  const path = `${hub.ws}/ws/pub/${KEY}/acme/live`
  const publisher = await connect(t, path)
  const [listener, watcher] = [await connect(t, `${hub.ws}/ws/sub/acme/live`), await connect(t, `${hub.ws}/watched`)]
  const get = async (at: string): Promise<[number, string]> => {
    const reply = await fetch(hub.url + at)
    return [reply.status, await reply.text()]
  }
  assert.deepEqual(await get('/_/readyz'), [200, 'ready\n'])

  const answers = new Map<string, number>()
  let over = false
  let next = 0
  const storm = Promise.all(Array.from({ length: 8 }, async () => {
    while (!over) {
      const topic = `storm/${next++}`
      answers.set(topic, (await client.subscribe('exact', receiver.url('/storm'), topic)).status)
    }
  }))
  const has = (status: number, n: number): boolean => [...answers.values()].filter((one) => one === status).length >= n
  await until(() => has(200, 50), 'registrations')
  await stop()
  await until(() => has(503, 5), 'refusals', 60_000)
  assert.deepEqual([...new Set(answers.values())].sort(), [200, 503])

  await until(async () => (await get('/_/readyz'))[0] === 503, 'readiness to say so')
  assert.deepEqual(await get('/_/readyz'), [503, 'the registry is unavailable\n'])
  assert.equal((await get('/_/readyz?exclude=registry'))[0], 200)
  assert.match((await get('/_/metrics'))[1], /^waystation_registry_up 0$/m)
  // To whom it knows: a webhook, a WebSocket, and from a publisher whose key was checked before.
  assert.equal((await client.notify('known', 'during')).subscribers, 1)
  publisher.send('live')
  assert.equal(await listener.next(), 'live')
  assert.equal((await fetch(`${hub.url}/watched`, { method: 'POST', body: 'seen' })).status, 200)
  assert.equal(await watcher.next(), 'seen')
  assert.equal((await client.unsubscribe('exact', receiver.url('/known'), 'known')).status, 503)
  await assert.rejects(connect(t, `${hub.ws}/ws/pub/${KEY}/acme/other`), /503/)
  assert.equal(publisher.ws.readyState, publisher.ws.OPEN)

  await until(() => lines.some((line) => line.includes('the registry is unavailable')), 'the log to say so')
  await start()
  const before = next
  await until(() => [...answers].some(([topic, status]) => status === 200 && Number(topic.slice(6)) > before), 'registrations to go on', 60_000)
  over = true
  await storm
  await until(async () => (await get('/_/readyz'))[0] === 200, 'readiness to come back')
  assert.match((await get('/_/metrics'))[1], /^waystation_registry_up 1$/m)
  await until(() => lines.some((line) => line.includes('the registry is back')), 'the log to say so')
  const kept = new Set((await admin.list(receiver.url('/storm'))).map(({ target }) => String(target)))
  const lost = [...answers].filter(([topic, status]) => status === 200 && !kept.has(topic))
  assert.deepEqual(lost, [], 'what was answered with 200 is not there')
  for (const topic of [...kept].slice(0, 20)) assert.equal((await client.notify(topic, 'after')).subscribers, 1, topic)
  await connect(t, `${hub.ws}/ws/pub/${KEY}/acme/other`)
  const counts = [200, 503].map((status) => [...answers.values()].filter((one) => one === status).length)
  return `${counts[0]} registrations answered with 200, ${counts[1]} with 503, none lost`
}
