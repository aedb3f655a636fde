import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { encodeNotifyPrefix } from '../../src/protocol/lonelyps/requests.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { raw, type Raw } from '../support/raw.ts'
import { startServer } from '../support/server.ts'

/* Bodies that come slowly: small ones have the request time, large ones as long as each span of it brings its due. */
const MIB = 1_048_576
const PIECE = Buffer.alloc(MIB, 'x')

async function open(t: TestContext, requestTimeout: number) {
  const dataDir = temporaryFolder(t)
  const server = await startServer(t, { dataDir, spoolAbove: 1_000, requestTimeout })
  const spooled = async (): Promise<number> => Number(/^waystation_spool_bytes (\d+)$/m.exec(await (await fetch(`${server.url}/_/metrics`)).text())?.[1])
  return {
    spooled,
    async begin(length: number, of: { sha512?: Buffer } = {}): Promise<Raw> {
      const prefix = encodeNotifyPrefix({ topic: Buffer.from('a'), identifier: Buffer.alloc(4), tracing: Buffer.alloc(0), sha512: of.sha512 ?? Buffer.alloc(64), length: BigInt(length) })
      const connection = await raw(t, server.port)
      connection.send(`POST /v1/notify HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: ${prefix.length + length}\r\n\r\n`)
      connection.send(prefix)
      return connection
    },
    async nothingIsLeft(): Promise<void> {
      await until(async () => (await spooled()) === 0, 'an empty spool')
      const folder = join(dataDir, 'spool')
      assert.deepEqual(existsSync(folder) ? readdirSync(folder) : [], [])
    },
  }
}

test('a small notify that does not come within the request time is answered 408', async (t) => {
  const hub = await open(t, 300)
  const connection = await hub.begin(500)
  connection.send(Buffer.alloc(400))
  assert.match((await connection.ended).toString(), /^HTTP\/1\.1 408 /)
  await hub.nothingIsLeft()
})

test('a large notify may take many times the request time, as long as it keeps coming', async (t) => {
  const hub = await open(t, 600)
  const pieces = 48
  const digest = createHash('sha512')
  for (let i = 0; i < pieces; i++) digest.update(PIECE)
  const connection = await hub.begin(pieces * MIB, { sha512: digest.digest() })
  const began = performance.now()
  for (let i = 0; i < pieces; i++) {
    connection.send(PIECE)
    await pause(40)
  }
  assert.ok(performance.now() - began > 3 * 600)
  assert.match((await connection.ended).toString('latin1'), /^HTTP\/1\.1 200 /)
  await hub.nothingIsLeft()
})

test('a large notify that trickles is cut, and its file is gone', async (t) => {
  const hub = await open(t, 300)
  const connection = await hub.begin(100 * MIB)
  connection.send(PIECE.subarray(0, 10_000))
  await until(async () => (await hub.spooled()) > 0, 'bytes in the spool')
  const trickle = setInterval(() => connection.send(PIECE.subarray(0, 100)), 20)
  t.after(() => clearInterval(trickle))
  assert.match((await connection.ended).toString(), /^HTTP\/1\.1 408 /)
  await hub.nothingIsLeft()
})

test('a large notify that stops in the middle after a good beginning is cut, and its file is gone', async (t) => {
  const hub = await open(t, 300)
  const connection = await hub.begin(100 * MIB)
  for (let i = 0; i < 4; i++) connection.send(PIECE)
  assert.match((await connection.ended).toString(), /^HTTP\/1\.1 408 /)
  await hub.nothingIsLeft()
})
