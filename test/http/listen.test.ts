import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { listen, ListenError } from '../../src/http/listen.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { raw } from '../support/raw.ts'
import { run } from '../support/process.ts'

function serverFor(t: TestContext): Server {
  // Whoever looks whether somebody listens hangs up without a word.
  const server = createServer((socket) => socket.on('error', () => {}).end('hello'))
  t.after(() => server.close())
  return server
}

async function greeting(t: TestContext, to: number | { path: string }): Promise<string> {
  return (await (await raw(t, to)).ended).toString()
}

function fails(says: RegExp) {
  return (error: unknown): boolean => error instanceof ListenError && says.test(error.message)
}

/** Leaves a socket file behind, as a process does that is killed. */
async function leaveStale(t: TestContext, path: string): Promise<void> {
  const child = run(t, process.execPath, ['-e', `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`])
  await child.exited
  assert.ok(existsSync(path))
}

test('it listens on TCP, on one interface and on all', async (t) => {
  for (const host of ['127.0.0.1', undefined]) {
    const server = serverFor(t)
    await listen(server, { host, port: 0 })
    const { address, port } = server.address() as AddressInfo
    assert.match(address, host === undefined ? /^(::|0\.0\.0\.0)$/ : /^127\.0\.0\.1$/)
    assert.equal(await greeting(t, port), 'hello')
  }
})

test('it listens on a UNIX socket, which goes with the server', async (t) => {
  const path = join(temporaryFolder(t), 'hub.sock')
  const server = serverFor(t)
  await listen(server, { path })
  assert.ok(statSync(path).isSocket())
  assert.equal(await greeting(t, { path }), 'hello')
  await new Promise((resolve) => server.close(resolve))
  assert.equal(existsSync(path), false)
})

test('a socket file that a killed process left behind is replaced', async (t) => {
  const path = join(temporaryFolder(t), 'hub.sock')
  await leaveStale(t, path)
  await listen(serverFor(t), { path })
  assert.equal(await greeting(t, { path }), 'hello')
})

test('a socket that somebody listens on is left alone', async (t) => {
  const path = join(temporaryFolder(t), 'hub.sock')
  await listen(serverFor(t), { path })
  await assert.rejects(listen(serverFor(t), { path }), fails(/another process listens on .*hub\.sock/))
  assert.equal(await greeting(t, { path }), 'hello')
})

test('anything else that stands in the way is left alone', async (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'file')
  writeFileSync(file, 'precious')
  const directory = join(folder, 'directory')
  mkdirSync(directory)
  const link = join(folder, 'link')
  await leaveStale(t, join(folder, 'stale.sock'))
  symlinkSync(join(folder, 'stale.sock'), link)
  for (const path of [file, directory, link]) {
    await assert.rejects(listen(serverFor(t), { path }), fails(/exists and is no socket/))
    assert.ok(existsSync(path))
  }
})

test('a port that is taken is an error that names it and says what to do', async (t) => {
  const first = serverFor(t)
  await listen(first, { host: '127.0.0.1', port: 0 })
  const { port } = first.address() as AddressInfo
  await assert.rejects(listen(serverFor(t), { host: '127.0.0.1', port }), fails(new RegExp(`127\\.0\\.0\\.1:${port} is in use .*--addr`)))
})

test('an address of another machine is an error that says so', async (t) => {
  await assert.rejects(listen(serverFor(t), { host: '192.0.2.1', port: 0 }), fails(/192\.0\.2\.1:0 is no address of this machine/))
})

test('a folder that is not there is an error that names the path', async (t) => {
  const path = join(temporaryFolder(t), 'nowhere', 'hub.sock')
  await assert.rejects(listen(serverFor(t), { path }), fails(/nowhere.hub\.sock/))
})

/** What the system would say, on a machine where it does. */
const spoken: [code: string, address: Parameters<typeof listen>[1], says: RegExp][] = [
  ['EACCES', { host: undefined, port: 80 }, /:80 may not be listened on by this user; choose a port above 1023/],
  ['EACCES', { path: '/nowhere/hub.sock' }, /hub\.sock may not be listened on by this user; choose another folder/],
  ['ENOTFOUND', { host: 'no.such.host', port: 1 }, /no\.such\.host:1: there is no such host name/],
  ['EMFILE', { host: undefined, port: 1 }, /:1: too many/],
]

for (const [code, address, says] of spoken) {
  test(`${code} on ${JSON.stringify(address)} becomes a sentence for an operator, with the cause kept`, async () => {
    const error = Object.assign(new Error('too many'), { code })
    const server = Object.assign(new EventEmitter(), { listen: () => void queueMicrotask(() => server.emit('error', error)) })
    await assert.rejects(listen(server as unknown as Server, address), (thrown: Error) => fails(says)(thrown) && thrown.cause === error)
  })
}
