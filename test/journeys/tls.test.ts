import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { test, type TestContext } from 'node:test'
import { pino } from 'pino'
import { compose } from '../../src/server/create-server.ts'
import { effective, fromProgram } from '../../src/server/config.ts'
import { selfSigned, temporaryFolder } from '../support/certificates.ts'
import { createInbox, until } from '../support/events.ts'
import { connect } from '../support/websocket.ts'

async function startTls(t: TestContext) {
  const folder = temporaryFolder(t)
  const [one, two] = [selfSigned(folder, 'one'), selfSigned(folder, 'two')]
  const [cert, key] = [join(folder, 'live.pem'), join(folder, 'live.key')]
  writeFileSync(cert, one.cert)
  writeFileSync(key, one.key)
  const log = createInbox<{ level: number; msg: string }>('log line')
  const logger = pino({ level: 'info' }, { write: (line: string) => log.push(JSON.parse(line)) })
  const { options } = effective([fromProgram({ addr: '127.0.0.1:0', tlsCert: cert, tlsKey: key })])
  const server = compose(options, { logger })
  await server.listen()
  t.after(() => server.close(AbortSignal.abort()))
  return { server, port: Number(new URL(server.url).port), cert, key, one, two, log }
}

/** The name in the certificate that a newcomer is shown. */
function servedName(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

test('with a certificate the port speaks HTTPS, WebSocket and event streams included', async (t) => {
  const { server, one, port } = await startTls(t)
  assert.match(server.url, /^https:/)
  const socket = await connect(t, server.url.replace('https', 'wss') + '/demo', { ca: one.cert })
  const answer = await new Promise<number | undefined>((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path: '/demo', method: 'POST', ca: one.cert }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    call.on('error', reject)
    call.end('hello')
  })
  assert.equal(answer, 200)
  assert.equal(await socket.next(), 'hello')
})

test('a request line with two blanks is refused over TLS too', async (t) => {
  const { port } = await startTls(t)
  const answer = await new Promise<string>((resolve, reject) => {
    let text = ''
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => socket.write('GET  /demo HTTP/1.1\r\nHost: a\r\n\r\n'))
    socket.on('data', (chunk) => (text += chunk))
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
  })
  assert.match(answer, /^HTTP\/1\.1 400 /)
})

test('a new pair is used for newcomers as soon as the files change, and those who are here stay', async (t) => {
  const { server, port, cert, key, one, two, log } = await startTls(t)
  const socket = await connect(t, server.url.replace('https', 'wss') + '/demo', { ca: one.cert })
  assert.equal(await servedName(port), 'one')
  writeFileSync(cert, two.cert)
  writeFileSync(key, two.key)
  while ((await log.next()).msg !== 'the certificate was read again');
  assert.equal(await servedName(port), 'two')
  await server.hub.publish('demo', 'still here')
  assert.equal(await socket.next(), 'still here')
})

test('a broken pair is told and not used; mending it is enough', async (t) => {
  const { port, cert, key, two, log } = await startTls(t)
  writeFileSync(cert, 'no certificate at all')
  const told = await log.next()
  assert.equal(told.level, 50)
  assert.match(told.msg, /the old one stays/)
  assert.equal(await servedName(port), 'one')
  writeFileSync(cert, two.cert)
  writeFileSync(key, two.key)
  await until(async () => (await servedName(port)) === 'two', 'the mended pair')
})

test('a certificate and a key that do not belong together are refused at the start', async (t) => {
  const folder = temporaryFolder(t)
  selfSigned(folder, 'one')
  selfSigned(folder, 'two')
  const { options } = effective([fromProgram({ addr: '127.0.0.1:0', tlsCert: join(folder, 'one.pem'), tlsKey: join(folder, 'two.key') })])
  const server = compose(options, { logger: pino({ level: 'silent' }) })
  await assert.rejects(server.listen(), /two\.key is not the key of .*one\.pem/)
})
