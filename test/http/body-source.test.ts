import assert from 'node:assert/strict'
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { createBodySource, type BodySource } from '../../src/http/body-source.ts'
import { createInbox } from '../support/events.ts'
import { raw } from '../support/raw.ts'

async function open(t: TestContext) {
  const sources = createInbox<{ source: BodySource; message: IncomingMessage; response: ServerResponse }>('request')
  const answer = (message: IncomingMessage, response: ServerResponse): void => sources.push({ source: createBodySource(message, response), message, response })
  const server = createServer(answer).on('checkContinue', answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const post = (headers: Record<string, string | number> = {}) => request({ port, host: '127.0.0.1', method: 'POST', headers }).on('error', () => {})
  return { port, sources, post }
}

async function rest(source: BodySource): Promise<string> {
  let text = ''
  for (let piece = await source.next(); piece !== undefined; piece = await source.next()) text += piece.toString()
  return text
}

test('the beginning ends where it is enough, and what was read too far comes again', async (t) => {
  const { sources, post } = await open(t)
  const sent = post()
  sent.write('head')
  const { source, response } = await sources.next()
  const looks: string[] = []
  const head = source.head((bytes) => {
    looks.push(bytes.toString())
    return bytes.length >= 6
  })
  sent.write('er')
  sent.end('body')
  const begun = (await head).toString()
  assert.ok(begun.startsWith('header'), begun)
  assert.equal(looks.at(-1), begun)
  source.unread(Buffer.from(begun.slice(4)))
  assert.equal(await rest(source), 'erbody')
  assert.equal(await source.next(), undefined)
  response.end()
})

test('a body that ends before it is enough is its own beginning, an empty one too', async (t) => {
  const { sources, post } = await open(t)
  for (const text of ['short', '']) {
    post().end(text)
    const { source, response } = await sources.next()
    assert.equal((await source.head(() => false)).toString(), text)
    assert.equal(await source.next(), undefined)
    response.end()
  }
})

test('to give nothing back changes nothing', async (t) => {
  const { sources, post } = await open(t)
  post().end('body')
  const { source, response } = await sources.next()
  source.unread(Buffer.alloc(0))
  assert.equal((await source.next())?.toString(), 'body')
  assert.equal(await rest(source), '')
  response.end()
})

test('a client that waits to be told to go on is told once somebody reads, and only one that waits', async (t) => {
  const { port, sources } = await open(t)
  for (const [header, told] of [['Expect: 100-Continue\r\n', true], ['', false]] as const) {
    const connection = await raw(t, port)
    connection.send(`POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${header}Content-Length: 4\r\n\r\n`)
    const { source, response } = await sources.next()
    if (told) await connection.until((received) => received.includes('100 Continue'))
    connection.send('body')
    assert.equal(await rest(source), 'body')
    response.end()
    assert.equal((await connection.ended).includes('100 Continue'), told)
  }
})

test('a request that breaks off rejects whoever waits for its next piece, and whoever asks later', async (t) => {
  const { port, sources } = await open(t)
  const connection = await raw(t, port)
  connection.send('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 400\r\n\r\nbegun')
  const { source } = await sources.next()
  assert.equal((await source.next())?.toString(), 'begun')
  const waiting = source.next()
  connection.socket.resetAndDestroy()
  await assert.rejects(waiting)
})

test('a sender is slowed down to the pace of the reader', async (t) => {
  const { sources, post } = await open(t)
  const sent = post({ 'Content-Length': 50_000_000 })
  let flushed = false
  sent.write(Buffer.alloc(50_000_000), () => (flushed = true))
  const { source, message, response } = await sources.next()
  await source.next()
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(flushed, false)
  assert.ok(message.readableLength < 1_000_000, `${message.readableLength} bytes wait`)
  sent.end()
  let size = 0
  for (let piece = await source.next(); piece !== undefined; piece = await source.next()) size += piece.length
  assert.ok(size > 49_000_000)
  response.end()
})
