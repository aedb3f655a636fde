import assert from 'node:assert/strict'
import { chownSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { haveOneOwner, isAlive } from '../../src/cli/find-hub.ts'
import { openControlSocket } from '../../src/server/control-socket.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { run } from '../support/process.ts'
import { handshake, raw } from '../support/raw.ts'
import { createService } from './service.ts'

test('a hub in the foreground is found and stopped, too; who takes longer than the wait is told of, and not asked twice', async (t) => {
  const service = createService(t)
  const hub = service.spawn('serve', '--addr', '127.0.0.1:0', '--lonelyps', 'off', '--drain-time', '1s')
  await hub.says('publish:')
  const url = /listens on (\S+)/.exec(hub.stdout())?.[1] as string
  // It never answers the goodbye.
  const rude = await raw(t, Number(new URL(url).port))
  rude.send(handshake('/demo'))
  await rude.until((received) => received.includes('101 Switching'))
  const hasty = await service.run('stop', '--wait', '1ms')
  assert.deepEqual(hasty, { code: 1, out: '', err: `waystation stop: pid ${hub.child.pid} has not ended within 1 ms; --force kills it\n` })
  const patient = await service.run('stop')
  // Asked a second time it would have ended at once, with another status.
  assert.deepEqual(await hub.exited, { code: 0, signal: null })
  assert.ok(patient.code === 0 || /does not run/.test(patient.err), patient.err)
  const mistaken = await service.run('stop', '--wait', 'soon')
  assert.equal(mistaken.code, 2)
  assert.match(mistaken.err, /--wait must be a time/)
})

test('a hub that hears nothing any more is known by its pid file, and killed by force alone', async (t) => {
  const service = createService(t)
  const { pid } = await service.start()
  process.kill(pid, 'SIGSTOP')
  rmSync(service.file('waystation.sock'))
  const status = await service.run('status')
  assert.deepEqual(status, { code: 4, out: `running, pid ${pid}, but it does not answer\n`, err: '' })
  const again = await service.run('start', '--addr', '127.0.0.1:0')
  assert.deepEqual(again, { code: 1, out: '', err: `waystation start: it runs already: pid ${pid}, but it does not answer\n` })
  assert.equal((await service.run('stop', '--wait', '10ms')).code, 1)
  assert.ok(isAlive(pid))
  assert.deepEqual(await service.run('stop', '--wait', '10ms', '--force'), { code: 0, out: `killed, pid ${pid}\n`, err: '' })
  await until(() => !isAlive(pid), 'the end of the hub')
})

test('a hub that answers out of another container is not stopped by a number that means another process here', async (t) => {
  const service = createService(t)
  const innocent = run(t, process.execPath, ['-e', 'setInterval(() => {}, 1e6); console.log("here")'])
  await innocent.says('here')
  const status = { type: 'status', pid: innocent.child.pid, pidSpace: 'pid:[1]', stopping: false, drainTime: 0 }
  const close = await openControlSocket(service.file(''), (socket) => void socket.on('error', () => {}).resume().end(`${JSON.stringify(status)}\n`))
  const { code, err } = await service.run('stop', '--wait', '10ms', '--force')
  await close()
  assert.deepEqual([code, err], [1, 'waystation stop: it runs in another container, where its process id is another one than here; stop it there\n'])
  assert.ok(isAlive(innocent.child.pid as number))
})

test('the hub is found by the data folder of the configuration, of which nothing else needs to be right', async (t) => {
  const service = createService(t)
  writeFileSync(`${service.folder}/waystation.config.json`, JSON.stringify({ dataDir: './waystation-data', addr: 'nonsense', nothing: 1 }))
  writeFileSync(`${service.folder}/good.json`, JSON.stringify({ dataDir: './waystation-data', lonelyps: false }))
  const { pid } = await service.start('--config', 'good.json')
  const { code, out } = await service.run('status', '--json')
  assert.deepEqual([code, JSON.parse(out).pid], [0, pid])
  assert.equal((await service.run('status', '--data-dir', 'elsewhere')).code, 3)
})

test('a socket that belongs to another user than the process that it names is not believed', async (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'theirs')
  writeFileSync(file, '')
  assert.equal(haveOneOwner(process.pid, file), true)
  // Root gives the file away; anybody else names the first process, which is root's.
  if (process.getuid?.() === 0) chownSync(file, 65_534, 65_534)
  assert.equal(haveOneOwner(process.getuid?.() === 0 ? process.pid : 1, file), false)
  assert.equal(haveOneOwner(process.pid, join(folder, 'none')), true)
  if (process.getuid?.() !== 0) return
  const service = createService(t)
  const { pid } = await service.start()
  chownSync(service.file('waystation.sock'), 65_534, 65_534)
  const refused = await service.run('stop')
  assert.deepEqual([refused.code, refused.out], [1, ''])
  assert.match(refused.err, /another user's process; nothing was ended/)
  assert.equal(isAlive(pid), true)
  chownSync(service.file('waystation.sock'), 0, 0)
})
