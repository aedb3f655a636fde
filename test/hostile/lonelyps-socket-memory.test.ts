import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { claims } from '../../src/protocol/lonelyps/claims.ts'
import { encodeMissed } from '../../src/protocol/lonelyps/requests.ts'
import { post, sign } from '../support/lonelyps.ts'
import { openCompany } from '../support/lonelyps-company.ts'
import { headOf } from '../support/lonelyps-socket.ts'
import { buffersUsed } from '../support/memory.ts'

// What waits for a socket costs more than its body.

const NONE = Buffer.alloc(0)
const MIB = 1_048_576
const LONG = 'x'.repeat(60_000)

test('notices that something was missed are counted while they wait for a socket that reads nothing', async (t) => {
  const url = 'http://hub.example/v1/missed_for_websockets'
  const company = await openCompany(t, { publicUrl: 'http://hub.example', maxSocketBytes: 4 * MIB }, 'hmac')
  const client = await company.connect()
  client.subscribe('glob', '*x')
  await client.next('confirm_subscribe_glob')
  const tcp = (client.ws as unknown as { _socket: Socket })._socket
  tcp.pause()
  let n = 0
  for (; company.reasons.length === 0; n++) {
    assert.ok(n < 1_000, 'nothing came of 60 MB')
    const topic = Buffer.from(`${n} ${LONG}`)
    const proof = sign('hmac', claims.missed({ url, topic, tracing: NONE }), Date.now(), 'subscribers')
    assert.equal((await post(company.port, '/v1/missed_for_websockets', encodeMissed({ topic, tracing: NONE }), proof, { Host: 'hub.example' })).status, 200)
  }
  tcp.resume()
  await company.endedFor(client, /too much waits/)
})

test('of several notices on one topic that wait for a socket, one is told', async (t) => {
  const url = 'http://hub.example/v1/missed_for_websockets'
  const company = await openCompany(t, { publicUrl: 'http://hub.example' }, 'hmac')
  const client = await company.connect()
  client.subscribe('glob', 'a*')
  await client.next('confirm_subscribe_glob')
  // They wait behind a message that waits for an acknowledgement.
  for (let i = 0; i < 4; i++) await company.server.hub.publish('a', `${i}`)
  const parts = [await client.next('receive_stream'), await client.next('receive_stream'), await client.next('receive_stream')]
  for (let i = 0; i < 5; i++) {
    for (const name of ['a', 'ab']) {
      const topic = Buffer.from(name)
      const proof = sign('hmac', claims.missed({ url, topic, tracing: NONE }), Date.now(), 'subscribers')
      assert.equal((await post(company.port, '/v1/missed_for_websockets', encodeMissed({ topic, tracing: NONE }), proof, { Host: 'hub.example' })).status, 200)
    }
  }
  for (const part of parts) client.acknowledge(part)
  client.acknowledge(await client.next('receive_stream'))
  assert.deepEqual([(await client.next('missed')).topic.toString(), (await client.next('missed')).topic.toString()], ['a', 'ab'])
  await company.server.hub.publish('a', 'after')
  assert.equal((await client.next('receive_stream')).body.toString(), 'after', 'and no more of them')
})

test('maxSocketBytes: long topics are counted, too', async (t) => {
  const company = await openCompany(t, { maxSocketBytes: 8 * MIB })
  const client = await company.connect()
  client.subscribe('glob', '*x')
  await client.next('confirm_subscribe_glob')
  // Three go out; four of 240 KB are less than a MiB.
  for (let i = 0; i < 3 + 4; i++) await company.server.hub.publish(`${i} ${LONG}`, '1')
  await company.othersGoOn()
  assert.deepEqual(company.reasons, [])
  await company.server.hub.publish(LONG, '1')
  await company.endedFor(client, /too much waits/)
})

test('a message that waits does not keep the rest of the frame that it came in', async (t) => {
  const company = await openCompany(t)
  const [client, publisher] = [await company.connect(), await company.connect()]
  client.subscribe('exact', 'much')
  await client.next('confirm_subscribe_exact')
  const before = await buffersUsed()
  const [body, tracing] = [Buffer.from('1'), Buffer.alloc(65_000)]
  for (let i = 0; i < 1_000; i++) {
    publisher.send({ type: 'notify', identifier: Buffer.from('1'), head: headOf(Buffer.from('much'), body), body, tracing, authorization: undefined })
    await publisher.next('confirm_notify')
  }
  const more = (await buffersUsed() - before) / MIB
  assert.ok(more < 20, `${more} MiB for a thousand bytes that wait`)
})
