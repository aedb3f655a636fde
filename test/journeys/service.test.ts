import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { attach } from '../../src/cli/attach.ts'
import type { Command } from '../../src/cli/command.ts'
import { readFlags } from '../../src/cli/flags.ts'
import { keys } from '../../src/cli/keys.ts'
import { registry } from '../../src/cli/registry.ts'
import { readConfiguration, serve } from '../../src/cli/serve.ts'
import { setup } from '../../src/cli/setup.ts'
import { start } from '../../src/cli/start.ts'
import { status } from '../../src/cli/status.ts'
import { stop } from '../../src/cli/stop.ts'
import { OPTIONS } from '../../src/server/options.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { run } from '../support/process.ts'
import { startServer } from '../support/server.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const UNIT = read('examples/systemd/waystation.service')

/** The settings of a unit, without its comments. */
function settings(unit: string): Map<string, string> {
  return new Map([...unit.matchAll(/^([A-Za-z]+)=(.*)$/gm)].map(([, name, value]) => [name as string, value as string]))
}

test('the systemd unit starts a hub with options that there are, as a user of its own', async (t) => {
  const unit = settings(UNIT)
  const [program, command, ...args] = (unit.get('ExecStart') as string).split(' ')
  assert.deepEqual([program, command], ['/opt/waystation/bin/waystation', 'serve'])
  const stream = new PassThrough()
  const { options } = await readConfiguration(args, { in: stream, out: stream, err: stream, env: {}, cwd: temporaryFolder(t), stop: new AbortController().signal })
  assert.equal(options.dataDir, `/var/lib/${unit.get('StateDirectory')}`)
  assert.equal(unit.get('DynamicUser'), 'yes')
  assert.equal(unit.get('ProtectSystem'), 'strict')
  assert.ok(Number(unit.get('LimitNOFILE')) > options.maxConnections)
  assert.ok(Number(unit.get('TimeoutStopSec')) * 1_000 > options.drainTime)
  // Each address family that the hub uses; interfaces are asked for by netlink.
  assert.deepEqual(unit.get('RestrictAddressFamilies')?.split(' '), ['AF_INET', 'AF_INET6', 'AF_UNIX', 'AF_NETLINK'])
})

test('systemd takes the unit, where there is one to ask', (t) => {
  if (spawnSync('systemd-analyze', ['--version']).status !== 0) return
  const file = join(temporaryFolder(t), 'waystation.service')
  writeFileSync(file, UNIT.replace('/opt/waystation/bin/waystation', process.execPath))
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' })
  const ours = stderr.split('\n').filter((line) => line.includes('waystation'))
  assert.deepEqual([status, ours], [0, []], stderr)
})

const DOCKERFILE = read('examples/docker/Dockerfile')

interface Step {
  readonly name: string
  readonly rest: string
}

/** The stages of a Dockerfile, each with its instructions. */
function stages(text: string): Step[][] {
  const steps = text.replaceAll('\\\n', ' ').split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ name: line.split(' ')[0] as string, rest: line.replace(/^\S+ /, '') }))
  const all: Step[][] = []
  for (const step of steps) {
    if (step.name === 'FROM') all.push([])
    all.at(-1)?.push(step)
  }
  return all
}

test('the Dockerfile copies what there is, runs commands that there are, and ends as an ordinary user', () => {
  const [build, final] = stages(DOCKERFILE) as [Step[], Step[]]
  const ignored = read('examples/docker/Dockerfile.dockerignore').split('\n')
  const manifest = JSON.parse(read('package.json')) as { scripts: Record<string, string>; engines: { node: string } }
  for (const { rest } of build.filter(({ name }) => name === 'COPY')) {
    for (const source of rest.split(' ').slice(0, -1)) {
      assert.ok(existsSync(join(root, source)), source)
      assert.ok(ignored.includes(`!${source}`), `${source} is left out by the .dockerignore`)
    }
  }
  const built = ['/build/package.json', '/build/node_modules', '/build/dist']
  assert.deepEqual(final.filter(({ name }) => name === 'COPY').map(({ rest }) => rest.split(' ')[1]), built)
  assert.equal(JSON.parse(read('tsconfig.build.json')).compilerOptions.outDir, 'dist')

  for (const { rest } of [...build, ...final].filter(({ name }) => name === 'RUN')) {
    for (const command of rest.split(' && ')) {
      const [program, verb, script] = command.split(' ') as [string, string, string]
      assert.ok(['npm', 'mkdir', 'chown'].includes(program), command)
      if (program === 'npm') assert.ok(verb === 'ci' || (verb === 'run' && script in manifest.scripts), command)
    }
  }
  // The marks of the lockfile let the compiler's binaries pass for what a hub needs: they are optional, and not for development.
  assert.match(build.findLast(({ name }) => name === 'RUN')?.rest ?? '', /^npm ci --omit=dev --omit=optional /)
  assert.equal('optionalDependencies' in manifest, false)
  const order = final.map(({ name }) => name)
  const user = final.find(({ name }) => name === 'USER')?.rest
  assert.ok(user !== undefined && !/^(root|0)\b/.test(user))
  assert.ok(order.lastIndexOf('USER') > order.lastIndexOf('RUN') && order.lastIndexOf('USER') < order.indexOf('ENTRYPOINT'))
  const value = (name: string): string => final.find((step) => step.name === name)?.rest as string
  assert.equal(`:${value('EXPOSE')}`, OPTIONS.addr.default)
  assert.equal(value('VOLUME'), /WAYSTATION_DATA_DIR=(\S+)/.exec(value('ENV'))?.[1])
  assert.deepEqual([JSON.parse(value('ENTRYPOINT')), JSON.parse(value('CMD'))], [['node', '--max-semi-space-size=4', '/opt/waystation/dist/cli/main.js'], ['serve']])
  assert.ok(existsSync(join(root, 'src/cli/main.ts')))
  assert.ok(final[0]?.rest.startsWith('node:26'))
})

test('the health check of the Dockerfile tells a hub that is there from one that is not', async (t) => {
  const { rest } = (stages(DOCKERFILE)[1] as Step[]).find(({ name }) => name === 'HEALTHCHECK') as Step
  const [program, ...args] = JSON.parse(rest.replace(/^.* CMD /, '')) as [string, ...string[]]
  assert.equal(program, 'node')
  const server = await startServer(t)
  const check = () => run(t, process.execPath, args.map((arg) => arg.replace(':8081/', `:${server.port}/`))).exited
  assert.deepEqual(await check(), { code: 0, signal: null })
  await server.close(AbortSignal.abort())
  assert.deepEqual(await check(), { code: 1, signal: null })
})

test('the commands in the guides are commands, with flags that there are', () => {
  const commands = [serve, start, stop, status, attach, setup, keys, registry]
  const guides = ['README.md', 'docs/operating.md', 'docs/databases.md', 'docs/protocols/wspubsub.md', 'examples/systemd/README.md', 'examples/nginx/README.md']
  const lines = guides.flatMap((path) => [...read(path).matchAll(/(?:waystation|main\.js)(?: --)? (serve|start|stop|status|attach|setup|keys|registry)((?: [a-z]+(?= --))?(?: --[^\s`]+(?: [\w:./@,…]+)?)*)/g)])
  assert.ok(lines.length > 25)
  assert.deepEqual(commands.filter(({ name }) => !lines.some((line) => line[1] === name)), [])
  for (const [line, name, rest] of lines) {
    const command = commands.find((one) => one.name === name) as Command
    const { problems } = readFlags((rest as string).split(' ').filter((word) => word !== ''), command.flags, { withOptions: command.takesOptions })
    assert.deepEqual(problems, [], line)
  }
})
