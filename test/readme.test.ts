import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripTypeScriptTypes } from 'node:module'
import { test } from 'node:test'
import { temporaryFolder } from './support/certificates.ts'
import { openStream } from './support/sse.ts'
import { connect } from './support/websocket.ts'
import { run, waystation } from './support/process.ts'
import type { JsonValue, ServiceHandlers } from '../src/server/service.ts'
import { universe } from '../src/testing/universe.ts'
import { blocks } from './support/readme.ts'
import { until } from './support/events.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const README = new URL('../README.md', import.meta.url)

test('the program in the README runs as it stands, in twelve lines or so', async (t) => {
  const [program] = blocks(README, 'ts') as [string]
  assert.ok(program.trim().split('\n').filter((line) => line !== '').length <= 12)
  const folder = temporaryFolder(t)
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules', 'waystation'))
  writeFileSync(join(folder, 'program.mts'), program)
  const child = run(t, process.execPath, ['--conditions=waystation/source', join(folder, 'program.mts')])
  assert.deepEqual(await child.exited, { code: 0, signal: null }, child.stderr())
  assert.match(child.stdout(), /^news\/eu by HTTP \w+:1\nnews\/eu from the program \w+:2\n$/)
})

test('the configuration in the README is valid', async (t) => {
  const config = blocks(README, 'ts').find((block) => block.includes('defineConfig')) as string
  const folder = temporaryFolder(t)
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules', 'waystation'))
  writeFileSync(join(folder, 'waystation.config.ts'), config)
  const check = run(t, process.execPath, ['--conditions=waystation/source', join(root, 'src/cli/main.ts'), 'check'], { cwd: folder })
  assert.deepEqual(await check.exited, { code: 0, signal: null }, check.stderr())
  assert.match(check.stdout(), /publish":"local/)
})

test('the service in the README answers what its curl asks', async () => {
  const [block] = blocks(README, 'ts').filter((one) => one.includes('export const service'))
  const { service, options } = await import(`data:text/javascript,${encodeURIComponent(stripTypeScriptTypes(block as string))}`) as { service: ServiceHandlers<JsonValue>; options: { as: 'json' } }
  await using world = await universe()
  await world.workService('math', options, service)
  const curl = blocks(README, 'sh').find((one) => one.includes('/_/call/math')) as string
  const [, header = '', body = '', path = ''] = /-H '([^']*)' -d '([^']*)' http:\/\/[^/]*(\S*)/.exec(curl) ?? []
  const [name, value] = header.split(': ') as [string, string]
  const response = await fetch(world.url + path, { method: 'POST', body, headers: { [name]: value } })
  assert.deepEqual([response.status, await response.json()], [200, 3])
})

test('npm start and the commands of the README: one curl reaches a page, an event stream and "sub"', async (t) => {
  const env = { WAYSTATION_ADDR: '127.0.0.1:0', WAYSTATION_DATA_DIR: temporaryFolder(t) }
  const hub = run(t, 'npm', ['start'], { cwd: root, env })
  await hub.says('publish:')
  const url = /listens on (\S+)/.exec(hub.stdout())?.[1] as string
  const page = await connect(t, `${url.replace('http', 'ws')}/demo?format=json`)
  await page.next()
  const stream = await openStream(t, `${url}/demo`)
  const sub = waystation(t, ['sub', 'demo', '--url', url, '-n', '1'])
  const metrics = async (): Promise<string> => (await fetch(`${url}/_/metrics`)).text()
  await until(async () => (await metrics()).includes('waystation_connections{transport="sse"} 2'), 'the subscriber')
  const curl = run(t, 'curl', ['-s', '-d', 'hello', `${url}/demo`])
  await curl.exited
  assert.equal(curl.stdout(), 'OK\n')
  assert.equal(JSON.parse(await page.next()).data, 'hello')
  assert.equal((await stream.next()).data, 'hello')
  await sub.exited
  assert.equal(sub.stdout(), 'hello\n')
  // To the group, as a terminal does: npm itself hands a signal on to nobody.
  process.kill(-(hub.child.pid as number), 'SIGTERM')
  await hub.exited
})
