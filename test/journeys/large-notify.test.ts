import assert from 'node:assert/strict'
import { createHash, hash } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, request, type ClientRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { encodeNotifyPrefix, parseReceivePrefix } from '../../src/protocol/lonelyps/requests.ts'
import { encodeConfirmReceive, parseNotifyResponse } from '../../src/protocol/lonelyps/responses.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { createInbox, until } from '../support/events.ts'
import { createClient, post } from '../support/lonelyps.ts'
import { startHubProcess } from '../support/hub.ts'
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
    assert.ok(more < 20 * MIB, `${(more / MIB).toFixed(1)} MiB more ${stop}`)
    for (const release of held) release()
  }
  assert.equal(await notified, 3)
  for (const { digests } of readers) assert.equal(await digests.next(), `${message.length}:${sha512.toString('hex')}`)
  const spooled = async (): Promise<string | undefined> => /^waystation_spool_bytes (\d+)$/m.exec(await (await fetch(`http://127.0.0.1:${hub.port}/_/metrics`)).text())?.[1]
  await until(async () => (await spooled()) === '0', 'an empty spool')
})

const HUGE = 192 * MIB
const LARGE = 48 * MIB
/** Over the figure of the idle hub: buffers of sockets and of the disk, whatever the size of the message. */
const MOST_GROWTH = 96 * MIB
const piece = Buffer.alloc(MIB, 'a huge message ')

/** The highest memory that a process has had since it was last asked, in bytes, as the system counts it. */
function peakOf(pid: number): number {
  const peak = Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
  return peak
}

/** Begins a notify of a message of so many bytes on topic a; `send` adds whole MiB, as fast as the hub takes them. */
function beginHuge(t: TestContext, port: number, size: number) {
  const digest = createHash('sha512')
  for (let i = 0; i < size / MIB; i++) digest.update(piece)
  const prefix = encodeNotifyPrefix({ topic: Buffer.from('a'), identifier: NONE, tracing: NONE, sha512: digest.digest(), length: BigInt(size) })
  const sent: ClientRequest = request({ port, host: '127.0.0.1', method: 'POST', path: '/v1/notify', headers: { 'Content-Length': prefix.length + size } })
  const answer = new Promise<Buffer | undefined>((resolve) => {
    sent.on('error', () => resolve(undefined))
    sent.on('response', (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('end', () => resolve(Buffer.concat(parts)))
    })
  })
  t.after(() => sent.destroy())
  sent.write(prefix)
  return {
    answer,
    async send(count: number): Promise<void> {
      for (let i = 0; i < count; i++) if (!sent.write(piece)) await new Promise((resolve) => sent.once('drain', resolve))
    },
    end: () => void sent.end(),
  }
}

/** Files of the spool that have a name, and bytes of those that a process holds open without one. */
function leftIn(folder: string, pid?: number): { names: string[]; open: number } {
  const names = readdirSync(folder).includes('spool') ? readdirSync(join(folder, 'spool')) : []
  let open = 0
  for (const descriptor of pid === undefined ? [] : readdirSync(`/proc/${pid}/fd`)) {
    const file = statSync(`/proc/${pid}/fd/${descriptor}`, { throwIfNoEntry: false })
    if (file?.isFile() === true && file.nlink === 0) open += file.size
  }
  return { names, open }
}

const skip = process.platform === 'linux' ? false : 'reads /proc'

test('a message of 192 MiB to three webhooks lets the memory of the hub grow by less than half of it, at its highest', { skip }, async (t) => {
  const folder = temporaryFolder(t)
  const hub = await startHubProcess(t, '--data-dir', folder, '--allow-private', '--webhook-read-timeout', '60s')
  const pid = hub.child.pid as number
  const client = createClient(hub.port)
  const readers = await Promise.all([1, 2, 3].map(() => openSlowReader(t, 2 * HUGE)))
  for (const { url } of readers) assert.equal((await client.subscribe('exact', url, 'a')).status, 200)
  assert.equal((await client.notify('a', 'x')).subscribers, 3)
  for (const { digests } of readers) await digests.next()
  peakOf(pid)
  const idle = peakOf(pid)

  const huge = beginHuge(t, hub.port, HUGE)
  await huge.send(HUGE / MIB)
  huge.end()
  assert.equal(parseNotifyResponse(await huge.answer ?? NONE)?.subscribers, 3)
  const growth = peakOf(pid) - idle
  assert.ok(growth < MOST_GROWTH, `${(growth / MIB).toFixed(1)} MiB more than the idle ${(idle / MIB).toFixed(1)} MiB`)
  const got = await Promise.all(readers.map(({ digests }) => digests.next()))
  assert.equal(new Set(got).size, 1)
  assert.ok(got[0]?.startsWith(`${HUGE}:`))
  await until(async () => (await hub.metric('waystation_spool_bytes')) === 0, 'an empty spool')
  assert.deepEqual(leftIn(folder, pid), { names: [], open: 0 })
})

for (const where of ['taken in', 'delivered'] as const) {
  test(`a hub that is killed while a huge message is ${where} leaves nothing of it on the disk, and takes the next`, { skip }, async (t) => {
    const folder = temporaryFolder(t)
    const args = ['--data-dir', folder, '--allow-private', '--webhook-read-timeout', '60s']
    const hub = await startHubProcess(t, ...args)
    const reader = await openSlowReader(t, 16 * MIB)
    assert.equal((await createClient(hub.port).subscribe('exact', reader.url, 'a')).status, 200)
    const huge = beginHuge(t, hub.port, LARGE)
    if (where === 'taken in') await huge.send(32)
    else {
      await huge.send(LARGE / MIB)
      huge.end()
      await reader.stops.next()
    }
    await until(async () => (await hub.metric('waystation_spool_bytes')) >= 16 * MIB, 'a part of it on the disk')
    assert.ok(leftIn(folder, hub.child.pid).open >= 16 * MIB)
    hub.child.kill('SIGKILL')
    await hub.exited
    assert.equal(await huge.answer, undefined)
    assert.deepEqual(leftIn(folder), { names: [], open: 0 })

    const next = await startHubProcess(t, ...args)
    assert.equal(await next.metric('waystation_spool_bytes'), 0)
    const quick = await openSlowReader(t, 2 * HUGE)
    assert.equal((await createClient(next.port).subscribe('exact', quick.url, 'b')).status, 200)
    assert.equal((await createClient(next.port).notify('b', Buffer.alloc(12 * MIB))).subscribers, 1)
    await until(async () => (await next.metric('waystation_spool_bytes')) === 0, 'an empty spool')
  })
}
