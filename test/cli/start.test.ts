import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { isAlive } from '../../src/cli/find-hub.ts'
import { until } from '../support/events.ts'
import { run } from '../support/process.ts'
import { createService } from './service.ts'

const mode = (file: string): string => (statSync(file).mode & 0o777).toString(8)

test('a hub is started in the background, is found, leaves a second start outside, and is stopped', async (t) => {
  const service = createService(t)
  const { pid, url } = await service.start()
  assert.equal(await (await fetch(`${url}/_/healthz`)).text(), 'ok\n')
  assert.equal(readFileSync(service.file('waystation.pid'), 'utf8'), `${pid}\n`)
  assert.match(readFileSync(service.file('waystation.log'), 'utf8'), /"msg":"the hub listens"}\n$/)
  assert.deepEqual(['', 'waystation.pid', 'waystation.log', 'waystation.sock'].map((name) => mode(service.file(name))), ['700', '600', '600', '600'])

  const again = await service.run('start', '--addr', '127.0.0.1:0', '--lonelyps', 'off')
  assert.deepEqual(again, { code: 1, out: '', err: `waystation start: it runs already: pid ${pid}, ${url}\n` })
  const status = await service.run('status')
  assert.equal(status.code, 0)
  assert.match(status.out, new RegExp(`^running, pid ${pid}, since 20.*\n +address: +${url}\n +version: +\\d.*\n +connections: +0 .*\n +database: +(none|available)\n$`))
  const { since, version, database, connectionsByTransport, ...rest } = JSON.parse((await service.run('status', '--json')).out)
  assert.ok(Math.abs(Date.parse(since) - Date.now()) < 60_000 && /^\d+\./.test(version))
  assert.deepEqual(rest, { running: true, answering: true, pid, address: url, stopping: false, drainTime: 5_000, connections: 0, links: [], services: [] })
  assert.deepEqual([connectionsByTransport.pinghub, database !== 'unavailable'], [0, true])

  assert.deepEqual(await service.run('stop'), { code: 0, out: `stopped, pid ${pid}\n`, err: '' })
  assert.ok(!isAlive(pid))
  assert.deepEqual([existsSync(service.file('waystation.pid')), existsSync(service.file('waystation.sock'))], [false, false])
  assert.deepEqual(await service.run('stop'), { code: 1, out: '', err: `waystation stop: no hub runs on ${dirname(service.file('x'))}\n` })
  assert.deepEqual(await service.run('status'), { code: 3, out: `no hub runs on ${dirname(service.file('x'))}\n`, err: '' })
  assert.deepEqual(JSON.parse((await service.run('status', '--json')).out), { running: false })
})

test('what keeps a hub from starting is told by start, with the exit status of serve', async (t) => {
  const service = createService(t)
  const mistyped = await service.run('start', '--adr', ':1')
  assert.equal(mistyped.code, 2)
  assert.match(mistyped.err, /--adr is no option; did you mean --addr\?/)
  assert.ok(!existsSync(service.file('')), 'nothing is left of a mistake')

  await using taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  const { port } = taken.address() as { port: number }
  const busy = await service.run('start', '--addr', `127.0.0.1:${port}`, '--lonelyps', 'off')
  assert.equal(busy.code, 1)
  assert.match(busy.err, new RegExp(`^waystation serve: .*127\\.0\\.0\\.1:${port} is in use by another process`))
  assert.equal((await service.find()).state, 'gone')
  assert.ok(!existsSync(service.file('waystation.pid')))

  writeFileSync(join(service.folder, 'a-file'), '')
  const noFolder = await service.run('start', '--log-file', 'a-file/hub.log')
  assert.equal(noFolder.code, 2)
  assert.match(noFolder.err, /^waystation start: .*a-file\/hub\.log: /)
})

test('a hub that was killed leaves nothing that stands in the way of the next one', async (t) => {
  const service = createService(t)
  const first = await service.start()
  process.kill(first.pid, 'SIGKILL')
  await until(() => !isAlive(first.pid), 'the end of the hub')
  assert.deepEqual(await service.run('status'), { code: 3, out: `no hub runs on ${dirname(service.file('x'))} (a pid file was left, with ${first.pid})\n`, err: '' })
  const second = await service.start()
  assert.notEqual(second.pid, first.pid)
  assert.equal(JSON.parse((await service.run('status', '--json')).out).pid, second.pid)
})

test('a number in a pid file that is another program\'s by now is not taken for the hub, and the program is left alone', async (t) => {
  const service = createService(t)
  // It even looks like one of ours.
  const innocent = run(t, process.execPath, ['-e', 'setInterval(() => {}, 1e6); console.log("here")', 'serve', '--pid-file', '/elsewhere/waystation.pid'])
  await innocent.says('here')
  mkdirSync(service.file(''))
  writeFileSync(service.file('waystation.pid'), `${innocent.child.pid}\n`)
  assert.equal((await service.run('status')).code, 3)
  assert.equal((await service.run('stop', '--force')).code, 1)
  const { pid } = await service.start()
  assert.equal(readFileSync(service.file('waystation.pid'), 'utf8'), `${pid}\n`)
  assert.ok(isAlive(innocent.child.pid as number))
})

test('with SIGHUP the log goes on in a new file; files may be elsewhere than in the data folder', async (t) => {
  const service = createService(t)
  const log = join(service.folder, 'logs/hub.log')
  const { pid } = await service.start('--log-file', 'logs/hub.log', '--pid-file', 'hub.pid')
  assert.equal(readFileSync(join(service.folder, 'hub.pid'), 'utf8'), `${pid}\n`)
  renameSync(log, `${log}.1`)
  process.kill(pid, 'SIGHUP')
  await until(() => existsSync(log) && readFileSync(log, 'utf8').includes('the log file was reopened'), 'the new log')
  assert.equal(mode(log), '600')
  assert.doesNotMatch(readFileSync(`${log}.1`, 'utf8'), /reopened/)
  assert.equal((await service.run('stop', '--pid-file', 'hub.pid')).code, 0)
})

test('two hubs on one data folder: the second goes on without a control socket, and cannot be a service', async (t) => {
  const service = createService(t)
  const { pid } = await service.start()
  const second = service.spawn('serve', '--addr', '127.0.0.1:0', '--lonelyps', 'off')
  await second.says('publish:')
  assert.match(second.stderr(), /another hub runs on this data folder.*there is no control socket/)
  second.child.kill('SIGTERM')
  assert.equal((await second.exited).code, 0)
  const third = service.spawn('serve', '--addr', '127.0.0.1:0', '--lonelyps', 'off', '--pid-file', 'other.pid')
  assert.equal((await third.exited).code, 1)
  assert.match(third.stderr(), /another hub runs on this data folder/)
  const found = await service.find()
  assert.ok(found.state === 'running' && found.status.pid === pid)
})
