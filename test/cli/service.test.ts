import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { after, before, test, type TestContext } from 'node:test'
import { certs } from '../../src/cli/certs.ts'
import { helpOf } from '../../src/cli/command.ts'
import { service } from '../../src/cli/service.ts'
import { connectService } from '../../src/server/connect-service.ts'
import { createLogger } from '../../src/server/log.ts'
import { universe, type Universe } from '../../src/testing/universe.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { runCommand } from '../support/command.ts'
import { until } from '../support/events.ts'
import { waystation } from '../support/process.ts'

const logger = createLogger('silent')
const SOURCE = `
export const options = { as: 'json' } as const
export const service = {
  call: (request: unknown) => request === 'wait' ? new Promise((resolve) => setTimeout(resolve, 300, 'waited')) : { got: request },
}
`

let world: Universe
before(async () => {
  world = await universe()
})
after(() => world.close())

function folderWith(t: TestContext, files: Readonly<Record<string, string>> = { 'service.ts': SOURCE }): string {
  const folder = temporaryFolder(t)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

/** Runs it in this process until the test says that it is to stop. */
function begin(t: TestContext, cwd: string, ...args: string[]) {
  const stop = new AbortController()
  t.after(() => stop.abort())
  const out = new PassThrough()
  let said = ''
  out.on('data', (chunk) => (said += String(chunk)))
  const status = service.run(args, { in: new PassThrough(), out, err: new PassThrough(), env: {}, cwd, stop: stop.signal })
  return {
    async says(text: RegExp): Promise<string> {
      await Promise.race([until(() => text.test(said), String(text)), status])
      return text.exec(said)?.[1] ?? said
    },
    end(): Promise<number> {
      stop.abort()
      return status
    },
  }
}

const QUIET = ['--transport', 'tcp', '--log-level', 'silent']

test('service run serves the handlers of a file until it is told to stop', async (t) => {
  const cwd = folderWith(t)
  const running = begin(t, cwd, 'run', './service.ts', ...QUIET, '--identifier', 'sums', '--versions', '~> 1.2', '--packet-gap', '0')
  const port = Number(await running.says(/^the service listens on port (\d+) \(plain TCP\)\n$/))
  await using caller = await connectService({ server: '127.0.0.1', port, transport: 'tcp', as: 'json', identifier: 'sums', version: '1.2.9', logger })
  assert.deepEqual(await caller.call([1]), { got: [1] })
  await using wrong = await connectService({ server: '127.0.0.1', port, transport: 'tcp', as: 'json', identifier: 'sums', version: '2.0.0', logger })
  await assert.rejects(wrong.call(1), { code: 'service_refused' })
  await caller.close()
  assert.equal(await running.end(), 0)
})

test('service work works for a hub, with what the flags say over what the file says', async (t) => {
  const cwd = folderWith(t, { 'worker.ts': `export const options = { as: 'json', identifier: 'of no use to a worker' }\nexport const service = () => ({ call: (request) => typeof request })` })
  const hub = `127.0.0.1:${world.server.servicePort}`
  const worker = begin(t, cwd, 'work', 'worker.ts', '--hub', hub, '--name', 'kinds', '--as', 'terms', '--slots', '2', ...QUIET)
  assert.equal(await worker.says(/at work/), `at work for kinds: ${hub} hands on its calls\n`)
  const response = await fetch(`${world.url}/_/call/kinds`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '"text"' })
  assert.equal(await response.text(), '"object"')
  assert.equal(await worker.end(), 0)
})

test('SIGTERM lets a worker answer what it has, and ends it with 0', async (t) => {
  const cwd = folderWith(t)
  const worker = waystation(t, ['service', 'work', './service.ts', '--hub', `127.0.0.1:${world.server.servicePort}`, '--name', 'drained', '--transport', 'tcp'], { cwd })
  await worker.says('at work for drained')
  const answer = fetch(`${world.url}/_/call/drained`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '"wait"' })
  await until(async () => (await (await fetch(`${world.url}/_/metrics`)).text()).includes('waystation_calls{state="running"} 1'), 'the call')
  worker.child.kill('SIGTERM')
  const response = await answer
  assert.deepEqual([response.status, await response.json()], [200, 'waited'])
  assert.deepEqual(await worker.exited, { code: 0, signal: null })
  assert.match(worker.stderr(), /a worker is at work/)
})

test('every mistake is said at once, by the words that were typed, and ends with 2', async (t) => {
  const cwd = folderWith(t, { 'service.ts': SOURCE, 'short.json': '{ "a": "open sesame" }' })
  const cases: [string[], ...RegExp[]][] = [
    [[], /say what to do: waystation service run \.\/service\.ts, or work/],
    [['rn', 'x.ts'], /"rn" is none of run, work; did you mean run\?/],
    [['run', ...QUIET], /name a file that exports service: waystation service run \.\/service\.ts/],
    [['run', 'service.ts', 'more', '--hub', 'x', '--port', '70000', '--packet-gap', 'x', '--prot', '1', ...QUIET], /--prot is no option; did you mean --port\?/, /"more" is one word too many/, /--hub is no option of run/, /--port must be a port number from 0 to 65535, not "70000"/, /--packet-gap must be a number of ms, not "x"/],
    [['work', 'service.ts', '--port', '1', '--slots', '0', ...QUIET], /--port is no option of work/, /--hub is missing: where the hub lets workers in, host:port/, /--name is missing/, /--slots must be a number of calls, 1 or more, not "0"/],
    [['work', 'service.ts', '--hub', 'localhost', '--name', 'x'.repeat(256), ...QUIET], /--hub must be host:port, not "localhost"/, /--name has more than 255 bytes/],
    [['run', 'service.ts', '--certfile', 'x'], /--cacertfile, --keyfile are missing: "waystation certs" makes them; or state --transport tcp/],
    [['run', 'service.ts', '--certfile', 'x', ...QUIET], /certificates are stated, but --transport is tcp/],
    [['run', 'service.ts', '--transport', 'udp', '--as', 'text', '--log-level', 'loud'], /--log-level must be one of trace, debug/, /--transport must be tls or tcp/, /--as must be terms or json/],
    [['run', 'service.ts', '--host', '0.0.0.0', ...QUIET], /host 0\.0\.0\.0 is not this machine/],
    [['run', 'service.ts', '--versions', 'latest', '--identifier', 'x'.repeat(37), ...QUIET], /identifier has 37 bytes/, /versions: "latest" is no requirement/],
    [['run', 'service.ts', '--keys', 'none.json', ...QUIET], /none\.json cannot be read: ENOENT/],
    [['run', 'service.ts', '--keys', 'short.json', ...QUIET], /short\.json has no secret of at least 16 bytes under "a"/],
  ]
  for (const [args, ...problems] of cases) {
    const { status, out, err } = await runCommand(service, args, { cwd })
    for (const problem of problems) assert.match(err, problem)
    assert.deepEqual([status, out], [2, ''], args.join(' '))
    assert.doesNotMatch(err, /open sesame/)
  }
})

test('a file that is none, is broken or exports no service is named, with the line where it can be', async (t) => {
  const cwd = folderWith(t, {
    'syntax.ts': 'const one = 1\nexport const service = { call( {\n',
    'enum.ts': '\n\nenum Kind { one }\nexport const service = { call: () => Kind.one }\n',
    'throws.ts': '\nthrow new Error("no database")\n',
    'text.ts': 'throw "a text"\n',
    'missing.ts': "import 'no-such-package'\n",
    'empty.ts': 'export const services = {}\n',
    'wrong.ts': 'export const service = { cal: () => 1 }\n',
    'options.ts': 'export const options = { atom: [] }\nexport const service = { call: () => 1 }\n',
    'as.ts': 'export const options = { as: "text" }\nexport const service = { call: () => 1 }\n',
  })
  const cases: [string, RegExp][] = [
    ['none.ts', /: none\.ts: there is no such file\n$/],
    ['syntax.ts', /: syntax\.ts:\d+: .*[Ee]xpected/],
    ['enum.ts', /: enum\.ts:3: TypeScript enum is not supported in strip-only mode\n$/],
    ['throws.ts', /: throws\.ts:2: no database\n$/],
    ['text.ts', /: text\.ts: a text\n$/],
    ['missing.ts', /: missing\.ts: Cannot find package 'no-such-package'/],
    ['empty.ts', /: empty\.ts: must export service: an object with call\(request, from\), cast\(request, from\) or both, or a function/],
    ['wrong.ts', /: wrong\.ts: must export service/],
    ['options.ts', /: options\.ts: options\.atom cannot stand there; did you mean atoms\?\n$/],
    ['as.ts', /as must be terms or json/],
  ]
  for (const [file, problem] of cases) {
    const { status, out, err } = await runCommand(service, ['run', file, ...QUIET], { cwd })
    assert.match(err, problem)
    assert.deepEqual([status, out], [2, ''], file)
  }
})

test('its help tells both words and every flag apart', () => {
  const help = helpOf(service)
  assert.match(help, /\nUsage: waystation service run\|work \.\/service\.ts \[options\]\n\n {2}run {3}listens: [^]*\n {2}work {2}connects to a hub, /)
  for (const flag of ['--hub HOST:PORT', '--name NAME', '--slots N', '--keys FILE', '--packet-gap MS', '--transport tls|tcp']) assert.ok(help.includes(`\n  ${flag}\n`), flag)
  assert.ok(help.split('\n').every((line) => line.length <= 100), help)
})

test('what certs tells to do next speaks of services, too', async (t) => {
  const cwd = folderWith(t, {})
  const server = await runCommand(certs, ['server', '--dir', 'c', '--name', 'hub', '--ip', '127.0.0.1'], { cwd })
  assert.match(server.out, /\nfor services: the same flags with --service- in place of --link-, or waystation service run \.\/service\.ts\n$/)
  const client = await runCommand(certs, ['client', '--dir', 'c', '--name', 'w1'], { cwd })
  assert.match(client.out, /\nfor services: waystation service work \.\/service\.ts --hub HOST:PORT --name NAME --cacertfile c\/ca\.pem \\\n {8}--certfile c\/w1\.pem --keyfile c\/w1\.key\n$/)
})
