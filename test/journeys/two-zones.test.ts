import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test, type TestContext } from 'node:test'
import { certs } from '../../src/cli/certs.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { runCommand } from '../support/command.ts'
import { until } from '../support/events.ts'
import { run, waystation, type TestProcess } from '../support/process.ts'
import { blocks } from '../support/readme.ts'
import { openStream, type TestStream } from '../support/sse.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const EXAMPLE = new URL('../../examples/two-zones/', import.meta.url)

/** What a program is given by a command, as a shell has it. */
function argumentsOf(program: string, command: string): string[] {
  assert.ok(command.startsWith(`${program} `), command)
  return [...command.slice(program.length).matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? (plain as string))
}

test('examples/two-zones: four commands start both ends, what is published inside is seen outside, a revoked certificate ends it, and a new one brings it back', async (t) => {
  const [commands, curls, revoke, replace] = blocks(new URL('README.md', EXAMPLE), 'sh').map((block) => block.trim().split('\n')) as [string[], [string, string], [string], [string]]
  assert.equal(commands.length, 4)
  const cwd = join(temporaryFolder(t), 'two-zones')
  cpSync(fileURLToPath(EXAMPLE), cwd, { recursive: true, filter: (name) => !/(certs|-data)$/.test(name) })
  mkdirSync(join(cwd, 'node_modules'))
  symlinkSync(root, join(cwd, 'node_modules', 'waystation'))

  const start = (command: string, env: NodeJS.ProcessEnv = {}): TestProcess => waystation(t, argumentsOf('waystation', command), { cwd, env })
  // In this process, because starting one takes longer than what these do.
  const finished = async (command: string): Promise<void> => {
    const { status, err } = await runCommand(certs, argumentsOf('waystation certs', command), { cwd })
    assert.equal(status, 0, err)
  }
  const [server, client, serveInside, serveOutside] = commands as [string, string, string, string]
  await finished(server)
  await finished(client)

  // The example's own ports may be taken on this machine.
  const inside = start(serveInside, { WAYSTATION_ADDR: '127.0.0.1:0', WAYSTATION_LINK_PORT: '0' })
  await inside.says(/takers connect to port \d+/)
  const port = Number(/takers connect to port (\d+)/.exec(inside.stdout())?.[1])
  const config = join(cwd, 'outside.config.ts')
  writeFileSync(config, readFileSync(config, 'utf8').replace('port: 5555', `port: ${port}`))
  const edge = start(serveOutside, { WAYSTATION_ADDR: '127.0.0.1:0' })
  await edge.says(/listens on \S+/)
  const at = { inside: address(inside), outside: address(edge) }
  const ready = async (): Promise<number> => (await fetch(`${at.outside}/_/readyz`)).status
  await until(async () => (await ready()) === 200, 'the link is up')

  const [watch, publish] = curls
  const watching = curl(t, watch, at)
  await until(async () => (await (await fetch(`${at.outside}/_/metrics`)).text()).includes('waystation_connections{transport="sse"} 1'), 'curl watches')
  const posted = curl(t, publish, at)
  await posted.exited
  assert.equal(posted.stdout(), 'OK\n')
  await watching.says('data: hello\n')

  // One way only, what was granted only, and nobody outside speaks for the inside.
  const all = { inside: await openStream(t, `${at.inside}/_/sse?topic=*`), outside: await openStream(t, `${at.outside}/_/sse?topic=*`) }
  const post = async (url: string, body: string): Promise<number> => (await fetch(url, { method: 'POST', body })).status
  assert.equal(await post(`${at.outside}/news/today`, 'not from inside'), 403)
  assert.equal(await post(`${at.outside}/chat`, 'stays outside'), 200)
  assert.equal(await post(`${at.inside}/secret`, 'stays inside'), 200)
  assert.equal(await post(`${at.inside}/prices`, '12'), 200)
  const seen = async (stream: TestStream): Promise<string[]> => (await stream.inbox.take(2)).map(({ topic, data }) => `${topic as string}: ${data}`)
  assert.deepEqual(await seen(all.outside), ['chat: stays outside', 'prices: 12'])
  assert.deepEqual(await seen(all.inside), ['secret: stays inside', 'prices: 12'])

  await finished(revoke[0])
  await until(async () => (await ready()) === 503, 'the link is down')
  await inside.says('"reason":"revoked"')
  await finished(replace[0])
  await until(async () => (await ready()) === 200, 'the link is up again')
})

function address(hub: TestProcess): string {
  return /listens on (\S+)/.exec(hub.stdout())?.[1] as string
}

/** A command of the README, with the addresses of this run in place of its own. */
function curl(t: TestContext, command: string, at: { inside: string; outside: string }): TestProcess {
  const here = command.replace('http://127.0.0.1:8082', at.outside).replace('http://127.0.0.1:8081', at.inside)
  return run(t, 'curl', ['-sS', ...argumentsOf('curl', here)])
}
