import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { MessageHead, ToBroadcaster } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { until } from '../support/events.ts'
import { openCompany } from '../support/lonelyps-company.ts'
import { headOf, openSocket, type SocketClient } from '../support/lonelyps-socket.ts'
import { buffersUsed } from '../support/memory.ts'
import { handshake, raw } from '../support/raw.ts'

/* What lonelyps WebSockets send that never comes to its end, or only takes time. */
const NONE = Buffer.alloc(0)
const MIB = 1_048_576
const bare = { tracing: NONE, authorization: undefined }
const tcp = (client: SocketClient): Socket => (client.ws as unknown as { _socket: Socket })._socket

/** A part of a message of so many bytes. */
const part = (number: number, body: Buffer, length: number): ToBroadcaster => ({
  type: 'notify_stream', identifier: Buffer.from('s'), part: number, head: number > 0 ? undefined : { ...headOf(Buffer.from('x'), NONE), compressedLength: BigInt(length), decompressedLength: BigInt(length) }, body, ...bare,
})

/** The beginning of a binary frame of so many bytes. */
function begun(announced: number, come: number): Buffer {
  const head = Buffer.alloc(14)
  head.set([0x82, 0xff])
  head.writeBigUInt64BE(BigInt(announced), 2)
  return Buffer.concat([head, Buffer.alloc(come)])
}

const halves: readonly [what: string, say: (client: SocketClient) => void][] = [
  ['half a frame', (client) => void tcp(client).write(begun(MIB, MIB / 2))],
  ['a byte of a frame', (client) => void tcp(client).write(begun(MIB, 0).subarray(0, 1))],
  ['a frame in fragments, without the last', (client) => client.ws.send('x', { binary: true, fin: false })],
  ['half a message in parts', (client) => client.send(part(0, Buffer.alloc(MIB - 1), MIB))],
  ['half a message in parts that goes to disk', (client) => client.send(part(0, Buffer.alloc(2 * MIB), 4 * MIB))],
]
for (const [what, say] of halves) {
  test(`requestTimeout: ends a socket that sends ${what} and falls silent`, async (t) => {
    const company = await openCompany(t, { requestTimeout: 200, configureTimeout: 100, spoolAbove: 3 * MIB })
    const client = await company.join()
    say(client)
    await company.endedFor(client, /a message it began does not come/)
    await until(async () => (await company.metric('waystation_spool_bytes')) === 0, 'an empty spool')
  })
}

test('maxUnfinishedBytes: holds for sockets from the first packet of a message, and what was held is given back', async (t) => {
  const company = await openCompany(t, { maxUnfinishedBytes: 65_536, maxMessageBytes: 65_536 })
  const [client, second] = [await company.connect(), await company.connect()]
  const post = async (): Promise<number> => (await fetch(`${company.server.url}/x`, { method: 'POST', body: Buffer.alloc(30_000) })).status
  tcp(client).write(begun(MIB, 50_000))
  await until(async () => (await post()) === 503, 'a POST that is refused')
  tcp(second).write(begun(MIB, 30_000))
  await company.endedFor(second, /too much is on its way/)
  client.ws.terminate()
  await until(async () => (await post()) === 200, 'a POST that is taken')
})

test('a message that announces more than a handshake has ends its socket before it has come', async (t) => {
  const company = await openCompany(t)
  const client = await openSocket(t, company.port)
  tcp(client).write(begun(200_000, 10))
  await company.endedFor(client, /a long message before CONFIGURE/)
})

test('what comes behind a goodbye is not kept, though it is one long message', async (t) => {
  const company = await openCompany(t)
  const client = await raw(t, company.port)
  client.send(handshake('/v1/websocket'))
  await client.until((received) => received.includes('\r\n\r\n'))
  const before = await buffersUsed()
  const data = begun(16 * MIB, 16 * MIB - 1_000)
  client.send(data)
  await until(() => company.reasons.length === 1, 'the goodbye')
  await until(() => client.socket.bytesWritten > data.length && client.socket.writableLength === 0, 'that all of it is taken')
  // What the hub has read in this moment may not be let go yet; what it keeps never is.
  await until(async () => await buffersUsed() - before - data.length < 2 * MIB, 'all of it to be let go')
  client.send(Buffer.alloc(2_000))
  await client.ended
  await company.othersGoOn()
})

test('millions of empty blocks are refused by their length alone, at once and in parts', async (t) => {
  const blocks = Buffer.concat([Buffer.from('28b52ffd0058', 'hex'), Buffer.alloc(3 * 100_000), Buffer.from('010000', 'hex')])
  const head: MessageHead = { topic: Buffer.from('x'), compressor: 1, compressedLength: BigInt(blocks.length), decompressedLength: 0n, sha512: createHash('sha512').update(blocks).digest() }
  for (const spoolAbove of [undefined, 1_000]) {
    for (const type of ['notify', 'notify_stream'] as const) {
      const company = await openCompany(t, spoolAbove === undefined ? {} : { spoolAbove })
      const client = await company.connect({ zstd: true })
      const message = { identifier: Buffer.from('n'), head, body: blocks, ...bare }
      client.send(type === 'notify' ? { type, ...message } : { type, part: 0, ...message })
      await company.endedFor(client, /^300009 bytes where 0 are compressed$/)
      await until(async () => (await company.metric('waystation_spool_bytes')) === 0, 'an empty spool')
    }
  }
})
