import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { connectSubscriber } from '../../src/subscriber/index.ts'
import { createUnproved, type Newcomer } from '../../src/subscriber/unproved.ts'
import { createManualClock } from '../../src/testing/index.ts'
import { until } from '../support/events.ts'
import { createClient } from '../support/lonelyps.ts'
import { raw, type Raw } from '../support/raw.ts'
import { startServer } from '../support/server.ts'
import { nextOf } from '../support/subscriber.ts'
import { temporaryFolder } from '../support/certificates.ts'

const BOUNDS = { total: 6, perClient: 2, time: 5_000 }
const HEAD = `POST /v1/receive HTTP/1.1\r\nHost: x\r\nRepr-Digest: sha-512=${'A'.repeat(86)}==\r\nContent-Length: 100\r\n\r\n`
const NOTICE = 'POST /v1/recover HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n'

function openWaitingRoom() {
  const clock = createManualClock()
  const unproved = createUnproved(BOUNDS, clock)
  const ends: string[] = []
  const begin = (client: string, name: string): Newcomer => unproved.begin(client, (why) => ends.push(`${name} ${why}`))
  return { clock, unproved, ends, begin }
}

test('past the bound of one client its own oldest gives way, and nobody else', () => {
  const { unproved, ends, begin } = openWaitingRoom()
  begin('b', 'b1')
  const first = begin('a', 'a1')
  begin('a', 'a2')
  begin('a', 'a3')
  begin('a', 'a4')
  assert.deepEqual(ends, ['a1 too_many', 'a2 too_many'])
  assert.equal(first.ended, true)
  assert.equal(unproved.count, 3)
})

test('clients on this machine have no bound of their own; past the bound of all the oldest of all gives way', () => {
  const { unproved, ends, begin } = openWaitingRoom()
  for (let i = 1; i <= 6; i++) begin('', `here${i}`)
  assert.deepEqual(ends, [])
  begin('a', 'a1')
  begin('b', 'b1')
  assert.deepEqual(ends, ['here1 too_many', 'here2 too_many'])
  assert.equal(unproved.count, 6)
})

test('each has its time, whoever has proved itself has all the time, and nothing is left', () => {
  const { clock, unproved, ends, begin } = openWaitingRoom()
  begin('a', 'first')
  clock.advance(3_000)
  const proved = begin('b', 'proved')
  begin('c', 'second')
  proved.proved()
  proved.proved()
  clock.advance(1_999)
  assert.deepEqual(ends, [])
  clock.advance(2)
  assert.deepEqual(ends, ['first late'])
  clock.advance(3_000)
  assert.deepEqual(ends, ['first late', 'second late'])
  assert.equal(proved.ended, false)
  assert.equal(unproved.count, 0)
  begin('a', 'later')
  clock.advance(5_001)
  assert.equal(ends.at(-1), 'later late')
})

async function open(t: TestContext, waiting: number) {
  const clock = createManualClock()
  const { port } = await startServer(t, { dataDir: temporaryFolder(t), allowPrivate: true })
  const one = await connectSubscriber({ broadcasters: [`http://127.0.0.1:${port}`], receive: { port: 0 }, bounds: { waiting }, clock })
  t.after(() => one.close())
  const feed = one.subscribe('t')
  await feed.ready
  return { one, clock, feed, client: createClient(port) }
}

async function strangers(t: TestContext, port: number, count: number, bytes: string): Promise<Raw[]> {
  return Promise.all(Array.from({ length: count }, async () => {
    const stranger = await raw(t, port)
    stranger.send(bytes)
    return stranger
  }))
}

test('strangers who send one byte of a body and no more take no place from those who wait, and have five seconds', async (t) => {
  const { one, clock, feed, client } = await open(t, 2)
  const all = [...await strangers(t, one.port as number, 40, `${HEAD}x`), ...await strangers(t, one.port as number, 10, `${NOTICE}x`)]
  const sent = client.notify('t', 'hello')
  assert.equal(await (await nextOf(feed)).text(), 'hello')
  assert.equal(one.gauges().waiting, 1)
  const over = feed.next()
  assert.equal((await sent).subscribers, 1)
  assert.deepEqual(one.gauges(), { waiting: 0, bytes: 0, spoolBytes: 0 })
  for (const { received } of all) assert.equal(received().length, 0)
  await until(() => {
    clock.advance(5_001)
    return all.every(({ received }) => received().length > 0)
  }, 'an answer for each')
  for (const { received } of all) assert.match(received().toString(), /^HTTP\/1\.1 408 /)
  await feed.close()
  await over
})

test('a webhook that has proved itself may take its time', async (t) => {
  const { one, clock, feed } = await open(t, 1)
  const prefix = Buffer.from([0, 0, 0, 1, 0x74, 1, 7, 0, 0, 0, 0, 0, 0, 0, 2])
  const digest = 'D5FK2VcksaCjJUDF8XkyAnu6Oz7OCMGP3l8m7wuBqVDr4s5+WBYFbJiYxv2cBRpCBPnpNK6bGsMWk0tqZgHIpQ=='
  const slow = await raw(t, one.port as number)
  slow.send(Buffer.concat([Buffer.from(`POST /v1/receive HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRepr-Digest: sha-512=${digest}\r\nContent-Length: ${prefix.length + 2}\r\n\r\n`), prefix, Buffer.from('h')]))
  await until(() => one.gauges().waiting === 1, 'it to wait')
  clock.advance(20_000)
  slow.send('i')
  assert.match((await slow.ended).toString(), /^HTTP\/1\.1 403 /, 'its digest is another')
  assert.equal(one.gauges().waiting, 0)
  await feed.close()
})
