import assert from 'node:assert/strict'
import { existsSync, linkSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { Server } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { CONTROL_BOUNDS, CONTROL_FILE } from '../../src/server/control-messages.ts'
import { connectControl, openControlSocket } from '../../src/server/control-socket.ts'
import { createControl, type Control } from '../../src/server/control.ts'
import type { Vitals } from '../../src/server/vitals.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { raw, type Raw } from '../support/raw.ts'

/** A control socket of a hub that is made of numbers. */
async function controlled(t: TestContext): Promise<{ folder: string; control: Control; clock: ReturnType<typeof createManualClock>; readonly watched: number; call(): Promise<Raw> }> {
  const folder = temporaryFolder(t)
  const clock = createManualClock()
  let watched = 0
  const vitals: Vitals = {
    hub: { joinAll: () => (watched++, () => void watched--), audience: () => 0 },
    stopping: false, database: undefined,
    connections: () => ({}), links: () => [], services: () => [], outbound: () => [], webhooks: () => ({ registrations: 0, running: 0, waiting: 0 }), totals: () => ({ in: 0, out: 0 }),
  }
  const lines = Array.from({ length: CONTROL_BOUNDS.lines }, () => 'x'.repeat(2_000))
  const control = createControl({ vitals, clock, pid: 1, pidSpace: null, version: '0', drainTime: 0, address: () => undefined, lines: () => lines })
  const close = await openControlSocket(folder, control.connected)
  t.after(async () => {
    control.close()
    await close()
  })
  return { folder, control, clock, get watched() { return watched }, call: () => raw(t, { path: join(folder, CONTROL_FILE) }) }
}

test('whoever says too much, nothing, nonsense, or something after the question is let go', async (t) => {
  const { control, clock, call } = await controlled(t)
  const long = await call()
  long.send('x'.repeat(CONTROL_BOUNDS.questionBytes + 1))
  assert.equal((await long.ended).length, 0)

  for (const nonsense of ['', 'status', 'null', '{}', '{"ask":"__proto__"}', '[[[[', '\x00\xff']) {
    const caller = await call()
    caller.send(`${nonsense}\n`)
    assert.equal((await caller.ended).toString(), '{"error":"ask for status or watch"}\n')
  }
  const endless = await call()
  endless.send('{"ask":"watch"}\n')
  await endless.until((received) => received.includes('\n'))
  endless.send('more')
  await endless.ended

  const silent = await call()
  await until(() => control.clients === 1, 'the silent one')
  await clock.advance(CONTROL_BOUNDS.questionTime)
  assert.equal((await silent.ended).length, 0)
  assert.equal(control.clients, 0)
})

test('no more than so many are there at once, and there is room again when they go', async (t) => {
  const { control, call } = await controlled(t)
  const callers = await Promise.all(Array.from({ length: CONTROL_BOUNDS.clients }, call))
  await until(() => control.clients === CONTROL_BOUNDS.clients, 'all of them')
  const oneTooMany = await call()
  assert.equal((await oneTooMany.ended).toString(), '{"error":"too many ask at once"}\n')
  for (const { socket } of callers) socket.destroy()
  await until(() => control.clients === 0, 'that they are gone')
  const next = await call()
  next.send('{"ask":"status"}\n')
  assert.equal(JSON.parse((await next.ended).toString()).pid, 1)
})

test('who watches and does not read is sent no more than it has not read, and let go after a while; the others are not held up', async (t) => {
  const hub = await controlled(t)
  const stuck = await hub.call()
  stuck.socket.pause()
  stuck.send('{"ask":"watch"}\n')
  const reader = await hub.call()
  reader.send('{"ask":"watch"}\n')
  await reader.until((received) => received.includes('\n'))
  await until(() => hub.control.clients === 2 && hub.watched === 1, 'both')
  // What the system keeps for a connection takes some snapshots; then it is full.
  for (let span = 0; hub.control.clients === 2; span++) {
    assert.ok(span < 100, 'the one that is stuck stays')
    const before = reader.received().length
    await hub.clock.advance(1_000)
    await reader.until((received) => received.length > before && received.at(-1) === 10)
  }
  stuck.socket.resume()
  const got = (await stuck.ended).length
  assert.ok(got < reader.received().length / 2, `${got} bytes were kept for it`)
  reader.socket.destroy()
  await until(() => hub.watched === 0 && hub.control.clients === 0, 'that nobody counts any more')
})

test('the socket is its owner\'s alone; what is not a dead socket is never taken away', async (t) => {
  const folder = join(temporaryFolder(t), 'new')
  const path = join(folder, CONTROL_FILE)
  const close = await openControlSocket(folder, (socket) => socket.destroy())
  assert.deepEqual([statSync(folder).mode & 0o777, lstatSync(path).mode & 0o777], [0o700, 0o600])
  await assert.rejects(openControlSocket(folder, () => {}), /another hub runs on this data folder/)
  assert.ok(existsSync(path))
  await close()
  assert.ok(!existsSync(path))

  writeFileSync(path, 'mine')
  await assert.rejects(openControlSocket(folder, () => {}), /waystation\.sock exists and is no socket; move it away/)
  assert.equal(readFileSync(path, 'utf8'), 'mine')
})

test('nobody asks a socket that another user has made, or that lies elsewhere: it would say which process is to be stopped', async (t) => {
  const [folder, elsewhere] = [temporaryFolder(t), temporaryFolder(t)]
  const close = await openControlSocket(folder, (socket) => socket.on('error', () => {}).end('here'))
  const owner = lstatSync(join(folder, CONTROL_FILE)).uid
  const socket = await connectControl(folder, owner)
  assert.equal((await socket.setEncoding('utf8').toArray()).join(''), 'here')
  await assert.rejects(connectControl(folder, owner + 1), { code: 'EACCES' })
  // Whom root may ask, root asks.
  ;(await connectControl(folder, 0)).destroy()
  symlinkSync(join(folder, CONTROL_FILE), join(elsewhere, CONTROL_FILE))
  await assert.rejects(connectControl(elsewhere, owner), { code: 'ENOTSOCK' })
  await close()
})

test('of many who find a dead socket at the same time one takes its place, and stays', async (t) => {
  const folder = temporaryFolder(t)
  const path = join(folder, CONTROL_FILE)
  const dead = new Server()
  await new Promise<void>((listening) => void dead.listen(`${path}.dead`, listening))
  linkSync(`${path}.dead`, path)
  await new Promise((closed) => dead.close(closed))
  const tries = await Promise.allSettled(Array.from({ length: 8 }, () => openControlSocket(folder, (socket) => socket.on('error', () => {}).end('here'))))
  const open = tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  assert.equal(open.length, 1)
  const socket = await connectControl(folder)
  assert.equal((await socket.setEncoding('utf8').toArray()).join(''), 'here')
  await open[0]?.()
  assert.deepEqual(readdirSync(folder), [])
})

test('the socket is never open to others, not even for a moment', async (t) => {
  const folder = temporaryFolder(t)
  const { listen } = Server.prototype
  const modes: number[] = []
  t.mock.method(Server.prototype, 'listen', function (this: Server, path: string, listening: () => void) {
    Reflect.apply(listen, this, [path, listening])
    modes.push(lstatSync(path).mode & 0o777)
    return this
  })
  const mask = process.umask()
  const close = await openControlSocket(folder, () => {})
  await close()
  assert.deepEqual(modes, [0o600])
  assert.equal(process.umask(), mask)
})

test('a data folder with a name that is too long for a socket has one all the same', { skip: process.platform !== 'linux' && 'only Linux finds it by the open folder' }, async (t) => {
  const folder = join(temporaryFolder(t), 'x'.repeat(100), 'y'.repeat(100))
  mkdirSync(folder, { recursive: true })
  const close = await openControlSocket(folder, (socket) => socket.on('error', () => {}).end('here'))
  assert.equal(lstatSync(join(folder, CONTROL_FILE)).mode & 0o777, 0o600)
  const socket = await connectControl(folder)
  assert.equal((await socket.setEncoding('utf8').toArray()).join(''), 'here')
  await assert.rejects(openControlSocket(folder, () => {}), /another hub runs/)
  await close()
  assert.ok(!existsSync(join(folder, CONTROL_FILE)))
})
