import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { umask } from 'node:process'
import { test, type TestContext } from 'node:test'
import { settings } from '../../src/cli/pinghub.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { openFrames, OPCODE } from '../support/frames.ts'
import { waystation, type TestProcess } from '../support/process.ts'
import { raw } from '../support/raw.ts'
import { ask, request } from '../support/responses.ts'
import { connect } from '../support/websocket.ts'

// pinghub, section 1, with the decisions of section 12.

interface Running {
  readonly process: TestProcess
  readonly port: number
  readonly metrics: number
  readonly log: string
}

/** Starts it on free ports, which its log file tells. */
async function start(t: TestContext, args: readonly string[] = ['-addr=127.0.0.1:0', '-mport=0'], options: Parameters<typeof waystation>[2] = {}): Promise<Running> {
  const log = join(temporaryFolder(t), 'pinghub.log')
  const process = waystation(t, ['pinghub', `-log=${log}`, ...args], options)
  let text = ''
  let gone = false
  void process.exited.then(() => (gone = true))
  await until(() => {
    text = existsSync(log) ? readFileSync(log, 'utf8') : ''
    if (gone) throw new Error(`ended: ${text}${process.stderr()}`)
    return text.includes(' pid ')
  }, 'the line that tells of the start')
  const [, port, metrics] = /on http:\/\/127\.0\.0\.1:(\d+), metrics on 127\.0\.0\.1:(\d+), pid/.exec(text) ?? []
  return { process, port: Number(port), metrics: Number(metrics), log }
}

/** The end of a process that is to end by itself. */
async function ended(process: TestProcess): Promise<{ code: number | null; out: string; err: string }> {
  const { code } = await process.exited
  return { code, out: process.stdout(), err: process.stderr() }
}

/** Starts it on a UNIX socket and waits until that answers. */
async function startOnSocket(t: TestContext, path: string): Promise<TestProcess> {
  const process = waystation(t, ['pinghub', `-addr=${path}`, '-mport=0'])
  await until(async () => {
    if (process.child.exitCode !== null) throw new Error(process.stderr())
    return raw(t, { path }).then((connection) => connection.socket.destroy(), () => undefined).then((there) => there !== undefined)
  }, 'the socket to answer')
  return process
}

async function taken(t: TestContext): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

test('without flags it is :8081 for everyone, metrics on 8082, no origin check and no log', () => {
  assert.deepEqual(settings({}), { addr: ':8081', origin: [], mport: 8082, log: undefined })
})

test('flags are taken with one dash or two, with an equals sign or a blank, and the last one counts', async (t) => {
  const folder = temporaryFolder(t)
  const forms = [
    (name: string, value: string) => [`-${name}=${value}`],
    (name: string, value: string) => [`-${name}`, value],
    (name: string, value: string) => [`--${name}=${value}`],
    (name: string, value: string) => [`--${name}`, value],
  ]
  await Promise.all(forms.map(async (form, i) => {
    const log = join(folder, `${i}.log`)
    const args = [...form('addr', '127.0.0.1:1'), ...form('addr', '127.0.0.1:0'), ...form('mport', '0'), ...form('origin', 'https://example.com'), ...form('log', log)]
    const process = waystation(t, ['pinghub', ...args])
    await until(() => existsSync(log) && readFileSync(log, 'utf8').includes(' pid '), `the start with ${args.join(' ')}`)
    const port = /127\.0\.0\.1:(\d+), metrics/.exec(readFileSync(log, 'utf8'))?.[1]
    await assert.rejects(connect(t, `ws://127.0.0.1:${port}/a`, { origin: 'https://evil.example' }), { status: 403 })
    await connect(t, `ws://127.0.0.1:${port}/a`, { origin: 'https://example.com' })
    process.child.kill('SIGKILL')
  }))
})

test('-h and -help print the usage on stderr and exit 0', async (t) => {
  await Promise.all(['-h', '-help'].map(async (flag) => {
    const { code, out, err } = await ended(waystation(t, ['pinghub', flag]))
    assert.deepEqual([flag, code, out], [flag, 0, ''])
    for (const name of ['addr', 'origin', 'mport', 'log']) assert.match(err, new RegExp(`-${name}\\b`))
  }))
})

test('a flag that is none, or has no value, is an error with the usage on stderr and exit 2', async (t) => {
  await Promise.all([['-bogus=1'], ['--bogus'], ['-x'], ['-addr'], ['--addr']].map(async (args) => {
    const { code, out, err } = await ended(waystation(t, ['pinghub', ...args]))
    assert.deepEqual([args, code, out], [args, 2, ''])
    assert.ok(err.startsWith(`${args[0]?.replace(/=.*/, '')} `), err)
    assert.match(err, /Usage: waystation pinghub \[-addr=:8081\]/)
  }))
})

test('an origin without scheme and host, and a metrics port that is none, are refused', () => {
  // Without a scheme an origin would match what browsers send as `null`, and never a real page.
  for (const origin of ['example.com', '//example.com', '*', '%zz', 'null', 'https://', 'https://*.example.com']) {
    assert.throws(() => settings({ origin }), { code: 'config_invalid', detail: `-origin=${origin}: write scheme://host[:port], for example -origin=https://ws.example.com` })
  }
  for (const mport of ['none', '', '-1', '70000', '80.5', '0x50']) assert.throws(() => settings({ mport }), { code: 'config_invalid' })
  assert.deepEqual(settings({ origin: '' }).origin, [])
})

test('values that cannot be used are told on stderr, with exit 1', async (t) => {
  const cases: readonly (readonly [flag: string, says: RegExp])[] = [
    ['-origin=example.com', /-origin=example\.com: write scheme:\/\/host/],
    ['-addr=nonsense', /"nonsense" is no address/],
    ['-log=/no/such/folder/log', /-log=\/no\/such\/folder\/log: ENOENT/],
  ]
  await Promise.all(cases.map(async ([flag, says]) => {
    const { code, out, err } = await ended(waystation(t, ['pinghub', flag]))
    assert.deepEqual([flag, code, out], [flag, 1, ''])
    assert.match(err, says)
  }))
})

test('a value that begins with a dash stays as it was typed', async (t) => {
  for (const value of ['-foo', '-addr']) {
    const { code, err } = await ended(waystation(t, ['pinghub', '-origin', value]))
    assert.equal(code, 1)
    assert.ok(err.includes(` -origin=${value}: write scheme`), err)
  }
})

test('a log file on a full disk does not end the hub; it is told once on stderr', { skip: existsSync('/dev/full') ? false : 'there is no /dev/full here' }, async (t) => {
  const path = join(temporaryFolder(t), 'hub.sock')
  const process = waystation(t, ['pinghub', '-log=/dev/full', `-addr=${path}`, '-mport=0'])
  await process.says('ENOSPC')
  assert.equal((await ask(t, { path }, request('POST /a', { body: 'x' }))).body, 'OK\n')
  process.child.kill('SIGTERM')
  const { code, err } = await ended(process)
  assert.equal(code, 0)
  assert.match(err, /^waystation pinghub: -log=\/dev\/full: [^\n]*ENOSPC[^\n]*\n$/)
})

test('other arguments, the environment and a configuration file are ignored', async (t) => {
  const cwd = temporaryFolder(t)
  writeFileSync(join(cwd, 'waystation.config.json'), '{"nonsense": true}')
  const env = { WAYSTATION_ADDR: 'nonsense', WAYSTATION_MAX_FRAME_BYTES: '125', WAYSTATION_NONSENSE: '1' }
  const { port } = await start(t, ['word', '-addr=127.0.0.1:0', 'another', '-mport', '0', 'third'], { cwd, env })
  const socket = await connect(t, `ws://127.0.0.1:${port}/a`)
  socket.send('x'.repeat(1_000))
  assert.equal((await socket.next()).length, 1_000)
})

test('an address without a host is every interface, of IPv4 and of IPv6', async (t) => {
  const { port } = await start(t, ['-addr=:0', '-mport=0'])
  const loopbacks = Object.values(networkInterfaces()).flat().filter((one) => one?.internal === true).map((one) => one?.address as string)
  assert.ok(loopbacks.includes('127.0.0.1'))
  for (const host of loopbacks.filter((address) => address === '127.0.0.1' || address === '::1')) {
    assert.equal((await ask(t, { host, port }, request('POST /a', { body: 'x' }))).status, 200, host)
  }
})

test('its whole path space is channels', async (t) => {
  const { port } = await start(t)
  for (const path of ['/', '/_/healthz', '/_/metrics', '/_/sse', '/v1/publish', '/ws/sub/a/b']) {
    const socket = await connect(t, `ws://127.0.0.1:${port}${path}`)
    assert.equal((await ask(t, port, request(`POST ${path}`, { body: 'x' }))).body, 'OK\n', path)
    assert.equal(await socket.next(), 'x')
  }
  const page = await ask(t, port, request('GET /a', { headers: { Accept: 'text/event-stream' } }))
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8')
})

test('a port that is taken is told on stderr, with exit 1, for channels and for metrics', async (t) => {
  const port = await taken(t)
  const [channels, metrics] = await Promise.all([
    ended(waystation(t, ['pinghub', `-addr=127.0.0.1:${port}`, '-mport=0'])),
    ended(waystation(t, ['pinghub', '-addr=127.0.0.1:0', `-mport=${port}`])),
  ])
  assert.deepEqual([channels.code, metrics.code], [1, 1])
  assert.match(channels.err, new RegExp(`127\\.0\\.0\\.1:${port} is in use by another process`))
  assert.match(metrics.err, new RegExp(`metrics: 127\\.0\\.0\\.1:${port} is in use by another process.*-mport`))
})

test('over a UNIX socket HTTP and WebSocket work as over TCP, and the file has the mode of the umask', async (t) => {
  const path = join(temporaryFolder(t), 'hub.sock')
  await startOnSocket(t, path)
  assert.equal(statSync(path).mode & 0o777, 0o777 & ~umask())
  const socket = await openFrames(t, { path }, '/a')
  assert.equal((await ask(t, { path }, request('POST /a', { body: 'posted' }))).body, 'OK\n')
  assert.equal(await socket.text(), 'posted')
  socket.send(OPCODE.text, 'sent')
  assert.equal(await socket.text(), 'sent')
})

test('a socket that a killed process left is replaced; one that is in use, and any other file, stays and is an error', async (t) => {
  const folder = temporaryFolder(t)
  const path = join(folder, 'hub.sock')
  const killed = await startOnSocket(t, path)
  killed.child.kill('SIGKILL')
  await killed.exited
  assert.ok(statSync(path).isSocket())
  await startOnSocket(t, path)

  const second = await ended(waystation(t, ['pinghub', `-addr=${path}`, '-mport=0']))
  assert.equal(second.code, 1)
  assert.match(second.err, /another process listens on .*hub\.sock/)
  assert.equal((await ask(t, { path }, request('POST /a', { body: 'x' }))).status, 200)

  const file = join(folder, 'file')
  writeFileSync(file, 'precious')
  const directory = join(folder, 'directory')
  mkdirSync(directory)
  for (const other of [file, directory]) {
    const refused = await ended(waystation(t, ['pinghub', `-addr=${other}`, '-mport=0']))
    assert.equal(refused.code, 1)
    assert.match(refused.err, /exists and is no socket/)
  }
  assert.equal(readFileSync(file, 'utf8'), 'precious')
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} says goodbye with Close 1001 and ends with 0, on TCP and on a UNIX socket, whose file is removed`, async (t) => {
    const path = join(temporaryFolder(t), 'hub.sock')
    const tcp = await start(t)
    const unix = await startOnSocket(t, path)
    for (const [process, to] of [[tcp.process, tcp.port], [unix, { path }]] as const) {
      const socket = await openFrames(t, to, '/a')
      process.child.kill(signal)
      assert.equal((await socket.close()).code, 1001)
      socket.send(OPCODE.close, Uint8Array.of(3, 233))
      assert.deepEqual(await process.exited, { code: 0, signal: null })
    }
    assert.equal(existsSync(path), false)
  })
}

test('a second signal ends it at once, though somebody has not answered the goodbye', async (t) => {
  for (const [signal, code] of [['SIGTERM', 143], ['SIGINT', 130]] as const) {
    const { process, port } = await start(t)
    const mute = await openFrames(t, port, '/a')
    process.child.kill(signal)
    await mute.close()
    process.child.kill(signal)
    assert.deepEqual(await process.exited, { code, signal: null })
  }
})

test('SIGHUP ends it without a goodbye', async (t) => {
  const { process, port } = await start(t)
  const socket = await openFrames(t, port, '/a')
  process.child.kill('SIGHUP')
  assert.deepEqual(await process.exited, { code: null, signal: 'SIGHUP' })
  await socket.ended
})

test('the metrics port gives the six lines to whoever connects', async (t) => {
  const { port, metrics } = await start(t)
  await connect(t, `ws://127.0.0.1:${port}/a`)
  const report = (await (await raw(t, metrics)).ended).toString()
  assert.equal(report, 'channels.value 1\ndrops5m.value 0.000\npostmsgs5m.value 0.000\nsends5m.value 0.000\nwebsocketmsgs5m.value 0.000\nwebsockets.value 1\n')
})

const STAMPED = /^(\d{4})\/(\d\d)\/(\d\d) (\d\d):(\d\d):(\d\d)\.\d{6} /

test('the log file has a line at the start with the pid and one at the stop, in UTC with microseconds, and nothing of the requests', async (t) => {
  const before = Date.now()
  const { process, port, log } = await start(t)
  await ask(t, port, request('POST /a', { body: 'x' }))
  await ask(t, port, request('GET /%zz'))
  process.child.kill('SIGTERM')
  await process.exited
  assert.equal(statSync(log).mode & 0o777, 0o666 & ~umask())
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n')
  assert.equal(lines.length, 2)
  for (const line of lines) {
    const [, ...parts] = STAMPED.exec(line) ?? []
    const [year, month, day, hour, minute, second] = parts.map(Number) as [number, number, number, number, number, number]
    const time = Date.UTC(year, month - 1, day, hour, minute, second)
    assert.ok(time >= before - 1_000 && time <= Date.now(), line)
    assert.match(line, new RegExp(`pid ${process.child.pid}$`))
  }
  assert.match(lines[1] as string, /stopped/)
  assert.deepEqual([process.stdout(), process.stderr()], ['', ''])
})

test('the log file is added to, gets what would go to stderr, and is not made for a relative name', async (t) => {
  const port = await taken(t)
  const folder = temporaryFolder(t)
  const log = join(folder, 'log')
  writeFileSync(log, 'before\n')
  const refused = await ended(waystation(t, ['pinghub', `-addr=127.0.0.1:${port}`, '-mport=0', `-log=${log}`]))
  assert.deepEqual([refused.code, refused.out, refused.err], [1, '', ''])
  assert.match(readFileSync(log, 'utf8'), new RegExp(`^before\n.*127\\.0\\.0\\.1:${port} is in use`))

  const relative = waystation(t, ['pinghub', `-addr=${join(folder, 'sock')}`, '-mport=0', '-log=relative.log'], { cwd: folder })
  await until(() => existsSync(join(folder, 'sock')), 'the start')
  relative.child.kill('SIGTERM')
  assert.deepEqual(await ended(relative), { code: 0, out: '', err: '' })
  assert.equal(existsSync(join(folder, 'relative.log')), false)
})
