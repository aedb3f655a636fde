import assert from 'node:assert/strict'
import { createHash, hash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { encodeNotifyPrefix, parseReceivePrefix } from '../../src/protocol/lonelyps/requests.ts'
import { encodeConfirmReceive, parseNotifyResponse } from '../../src/protocol/lonelyps/responses.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { createInbox, until } from '../support/events.ts'
import { createClient, post } from '../support/lonelyps.ts'
import { run } from '../support/process.ts'

const MIB = 1_048_576
const NONE = Buffer.alloc(0)
const source = (path: string): string => JSON.stringify(pathToFileURL(join(import.meta.dirname, '../..', path)).href)

/** A hub in a process of its own, that says how much memory it needs when asked. */
async function openHub(t: TestContext): Promise<{ port: number; memory: () => Promise<number> }> {
  const script = `
    import { createInterface } from 'node:readline'
    const { createServer } = await import(${source('src/index.ts')})
    const { heapUsed } = await import(${source('test/support/memory.ts')})
    const server = createServer({ addr: '127.0.0.1:0', logLevel: 'silent', dataDir: ${JSON.stringify(temporaryFolder(t))}, allowPrivate: true, spoolAbove: '1MiB', webhookReadTimeout: '60s' })
    await server.listen()
    console.log('port=' + new URL(server.url).port + ';')
    for await (const line of createInterface(process.stdin)) console.log(line + '=' + (heapUsed() + process.memoryUsage().external) + ';')`
  const file = join(temporaryFolder(t), 'hub.mjs')
  writeFileSync(file, script)
  const child = run(t, process.execPath, [file])
  const said = async (name: string): Promise<number> => {
    const line = new RegExp(`${name}=(\\d+);`)
    await child.says(line)
    return Number(line.exec(child.stdout())?.[1])
  }
  let asked = 0
  return {
    port: await said('port'),
    memory() {
      const name = `m${++asked}`
      child.child.stdin?.write(`${name}\n`)
      return said(name)
    },
  }
}

/** Takes webhooks piece by piece, and waits for leave after each so many bytes. */
async function openSlowReader(t: TestContext, step: number) {
  const stops = createInbox<() => void>('a stop on the way')
  const digests = createInbox<string>('digest')
  const server = createServer(async (message, response) => {
    const digest = createHash('sha512')
    let begun: Buffer = NONE
    let size = 0
    let next = step
    let identifier: Buffer | undefined
    for await (const chunk of message as AsyncIterable<Buffer>) {
      let piece: Buffer = chunk
      if (identifier === undefined) {
        begun = Buffer.concat([begun, chunk])
        const prefix = parseReceivePrefix(begun)
        if (prefix === 'more') continue
        identifier = Buffer.from(prefix.identifier)
        piece = begun.subarray(prefix.size)
      }
      digest.update(piece)
      size += piece.length
      if (size < next) continue
      next += step
      await new Promise<void>((resolve) => stops.push(resolve))
    }
    digests.push(`${size}:${digest.digest('hex')}`)
    response.end(encodeConfirmReceive({ authorization: '', tracing: NONE, identifier: identifier ?? NONE, subscribers: 1 }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/receive`, stops, digests }
}

test('a notify of 64 MiB to three slow webhooks needs a few MiB of the hub, and each gets every byte', async (t) => {
  const hub = await openHub(t)
  const client = createClient(hub.port)
  const readers = await Promise.all([1, 2, 3].map(() => openSlowReader(t, 24 * MIB)))
  for (const { url } of readers) assert.equal((await client.subscribe('exact', url, 'a')).status, 200)
  const message = Buffer.alloc(64 * MIB)
  for (let at = 0; at < message.length; at += 4) message.writeUInt32BE((at * 2_654_435_761) >>> 0, at)
  const sha512 = hash('sha512', message, 'buffer')
  const send = async (bytes: Buffer, digest: Buffer): Promise<number | undefined> => {
    const prefix = encodeNotifyPrefix({ topic: Buffer.from('a'), identifier: NONE, tracing: NONE, sha512: digest, length: BigInt(bytes.length) })
    return parseNotifyResponse((await post(hub.port, '/v1/notify', Buffer.concat([prefix, bytes]))).body)?.subscribers
  }
  // The same way once with little, so that what is needed once and for all is there.
  const little = message.subarray(0, 2 * MIB)
  assert.equal(await send(little, hash('sha512', little, 'buffer')), 3)
  for (const { digests } of readers) await digests.next()
  const before = await hub.memory()

  const notified = send(message, sha512)
  for (const stop of ['at 24 MiB', 'at 48 MiB']) {
    const held = await Promise.all(readers.map(({ stops }) => stops.next()))
    const more = (await hub.memory()) - before
    assert.ok(more < 6 * MIB, `${(more / MIB).toFixed(1)} MiB more ${stop}`)
    for (const release of held) release()
  }
  assert.equal(await notified, 3)
  for (const { digests } of readers) assert.equal(await digests.next(), `${message.length}:${sha512.toString('hex')}`)
  const spooled = async (): Promise<string | undefined> => /^waystation_spool_bytes (\d+)$/m.exec(await (await fetch(`http://127.0.0.1:${hub.port}/_/metrics`)).text())?.[1]
  await until(async () => (await spooled()) === '0', 'an empty spool')
})
