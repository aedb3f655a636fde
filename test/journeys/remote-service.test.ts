import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '../support/certificates.ts'
import { run, waystation, type TestProcess } from '../support/process.ts'
import { blocks } from '../support/readme.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const EXAMPLE = new URL('../../examples/remote-service/', import.meta.url)

/** What a program is given by a command, as a shell has it. */
function argumentsOf(program: string, command: string): string[] {
  assert.ok(command.startsWith(`${program} `), command)
  return [...command.slice(program.length).matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? (plain as string))
}

test('examples/remote-service: three commands from certificates to an answered call, and three more to one behind a hub', async (t) => {
  const [alone, pooled] = blocks(new URL('README.md', EXAMPLE), 'sh').map((block) => block.trim().split('\n')) as [string[], string[]]
  assert.deepEqual([alone.length, pooled.length], [3, 3])
  const cwd = join(temporaryFolder(t), 'remote-service')
  cpSync(fileURLToPath(EXAMPLE), cwd, { recursive: true, filter: (name) => !/(certs|-data)$/.test(name) })
  mkdirSync(join(cwd, 'node_modules'))
  symlinkSync(root, join(cwd, 'node_modules', 'waystation'))
  const start = (command: string, env: NodeJS.ProcessEnv = {}): TestProcess => waystation(t, argumentsOf('waystation', command), { cwd, env })

  // The example's own ports may be taken on this machine.
  const [certs, serve, call] = alone as [string, string, string]
  const made = start(certs)
  assert.deepEqual(await made.exited, { code: 0, signal: null })
  const service = start(serve.replace('--port 4747', '--port 0'))
  await service.says(/listens on port \d+/)
  const port = /listens on port (\d+)/.exec(service.stdout())?.[1] as string
  const caller = join(cwd, 'call.ts')
  writeFileSync(caller, readFileSync(caller, 'utf8').replace('4747', port))
  const called = run(t, process.execPath, ['--conditions=waystation/source', ...argumentsOf('node', call)], { cwd })
  assert.deepEqual(await called.exited, { code: 0, signal: null }, called.stderr())
  assert.equal(called.stdout(), '6\n')

  const [hubCommand, work, ask] = pooled as [string, string, string]
  const hub = start(hubCommand.replace('4748', '0'), { WAYSTATION_ADDR: '127.0.0.1:0' })
  await hub.says(/workers connect to port \d+/)
  const hubPort = /workers connect to port (\d+)/.exec(hub.stdout())?.[1] as string
  const worker = start(work.replace('4748', hubPort))
  await worker.says('at work for math')
  const asked = start(ask, { WAYSTATION_URL: /listens on (\S+)/.exec(hub.stdout())?.[1] })
  assert.deepEqual(await asked.exited, { code: 0, signal: null }, asked.stderr())
  assert.equal(asked.stdout(), '6\n')
})
