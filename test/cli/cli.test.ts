import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { startServer } from '../support/server.ts'
import { waystation, type TestProcess } from '../support/process.ts'
import { until } from '../support/events.ts'

async function serve(t: TestContext, args: string[] = [], options: Parameters<typeof waystation>[2] = {}): Promise<{ process: TestProcess; url: string }> {
  const process = waystation(t, ['serve', '--addr', '127.0.0.1:0', ...args], { cwd: temporaryFolder(t), ...options })
  await process.says('publish:')
  return { process, url: /listens on (\S+)/.exec(process.stdout())?.[1] as string }
}

test('serve says in three lines where it listens and what to try, and ends with 0 when told to', async (t) => {
  const { process, url } = await serve(t)
  assert.equal(process.stdout().trim().split('\n').length, 3)
  assert.match(process.stdout(), new RegExp(`curl -d hello ${url}/demo`))
  assert.equal(process.stderr(), '')
  process.child.kill('SIGTERM')
  assert.deepEqual(await process.exited, { code: 0, signal: null })
})

test('serve warns when others may publish, and not when a rule says who may', async (t) => {
  const open = waystation(t, ['serve', '--addr', '0.0.0.0:0'], { cwd: temporaryFolder(t) })
  await open.says('warning: anyone')
  const ruled = waystation(t, ['serve', '--addr', '0.0.0.0:0', '--rules', '[{"topics":"*","publish":"local"}]'], { cwd: temporaryFolder(t) })
  await ruled.says('publish:')
  ruled.child.kill('SIGTERM')
  await ruled.exited
  assert.equal(ruled.stderr(), '')
})

test('pub and sub speak to a running hub', async (t) => {
  const { url } = await serve(t)
  const sub = waystation(t, ['sub', 'demo', 'news/*', '--url', url, '--count', '3'])
  // Published until it is there: the subscriber says nothing before its first message.
  await until(async () => {
    const pub = waystation(t, ['pub', 'demo', 'hello', 'world', '--url', url])
    assert.deepEqual(await pub.exited, { code: 0, signal: null })
    return pub.stdout().trim().endsWith(' to 1')
  }, 'a subscriber')
  const piped = waystation(t, ['pub', 'news/eu', '--url', url])
  piped.child.stdin?.end('from standard input')
  await piped.exited
  await waystation(t, ['pub', '/demo', 'last', '--url', url]).exited
  assert.deepEqual(await sub.exited, { code: 0, signal: null })
  assert.equal(sub.stdout(), 'hello world\nfrom standard input\nlast\n')
})

test('sub --since prints what came after the cursor first, and --json the whole message', async (t) => {
  const server = await startServer(t, { rules: [{ topics: '*', keep: { messages: 10 } }] })
  const { epoch } = await server.hub.publish('demo', 'one')
  await server.hub.publish('demo', 'two')
  const sub = waystation(t, ['sub', 'demo', '--url', server.url, '--since', `${epoch}:1`, '--json', '-n', '1'])
  await sub.exited
  const { cursor, topic, data } = JSON.parse(sub.stdout())
  assert.deepEqual({ cursor, topic, data }, { cursor: `${epoch}:2`, topic: 'demo', data: 'two' })
})

test('sub says so when messages are missing', async (t) => {
  const server = await startServer(t)
  const sub = waystation(t, ['sub', 'demo', '--url', server.url, '--since', 'other:1'])
  await sub.says('gap: ')
})

test('sub goes on where it was when the hub comes back, and ends cleanly on a signal', async (t) => {
  const server = await startServer(t, { retry: 10 })
  const sub = waystation(t, ['sub', 'demo', '--url', server.url])
  await until(async () => (await server.hub.publish('demo', 'first')).subscribers > 0, 'the subscriber')
  await sub.says('first')
  await server.close(AbortSignal.abort())
  const second = await startServer(t, { addr: `127.0.0.1:${server.port}`, retry: 10 })
  await until(async () => (await second.hub.publish('demo', 'second')).subscribers > 0, 'the subscriber again')
  await sub.says('second')
  sub.child.kill('SIGINT')
  assert.deepEqual(await sub.exited, { code: 0, signal: null })
})

test('a hub that is not there is told with what to do about it', async (t) => {
  for (const command of [['sub', 'demo'], ['pub', 'demo', 'x']]) {
    const failing = waystation(t, [...command, '--url', 'http://127.0.0.1:1'])
    assert.equal((await failing.exited).code, 1)
    assert.match(failing.stderr(), /^waystation (sub|pub): the hub cannot be reached: .*\n$/)
  }
})

const mistakes: [string[], RegExp][] = [
  [['serv'], /serv is no command; did you mean serve\?/],
  // What stands behind it was its value, and no mistake of its own.
  [['serve', '--adr', ':1'], /--adr is no option; did you mean --addr\?\n$/],
  [['serve', '--adr=:1', ':2'], /--adr is no option; did you mean --addr\?\n.*":2" is no option; options begin with --\n$/],
  [['serve', '8082'], /"8082" is no option; options begin with --/],
  [['serve', '--addr'], /--addr wants a value/],
  [['serve', '--addr', 'nowhere'], /"nowhere" is no address: write host:port/],
  [['serve', '--origin', 'example.com'], /"example\.com" is no origin: write scheme:\/\/host/],
  [['serve', '--tls-cert', 'x.pem'], /--tls-key is missing/],
  [['serve', '--max-message-bytes', 'much'], /--max-message-bytes must be a size such as/],
  [['serve', '--config', 'nothing.json'], /nothing\.json: there is no such file/],
  [['pub'], /name a topic/],
  [['sub'], /name a topic or a glob/],
  [['sub', 'x', '--count', 'many'], /--count wants a number/],
  [['pub', 'x', 'y', '--url', 'ftp://x'], /"ftp:\/\/x" is no URL/],
]
for (const [args, expected] of mistakes) {
  test(`"waystation ${args.join(' ')}" says what is wrong and ends with 2`, async (t) => {
    const mistaken = waystation(t, args, { cwd: temporaryFolder(t) })
    assert.equal((await mistaken.exited).code, 2)
    assert.match(mistaken.stderr(), expected)
    assert.doesNotMatch(mistaken.stderr(), /\n +at /, 'no stack trace')
  })
}

test('an address in use is told in one line, with status 1', async (t) => {
  const { url } = await serve(t)
  const second = waystation(t, ['serve', '--addr', new URL(url).host], { cwd: temporaryFolder(t) })
  assert.equal((await second.exited).code, 1)
  assert.match(second.stderr(), /^waystation serve: .* is in use by another process; stop it or choose another --addr\n$/)
})

test('check prints the configuration in force with the source of each value, file below environment below flags', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'waystation.config.ts'), "export default { addr: '127.0.0.1:1', retry: '3s', logLevel: 'warn' as const }\n")
  const check = waystation(t, ['check', '--log-level', 'error'], { cwd: folder, env: { WAYSTATION_RETRY: '4s' } })
  assert.equal((await check.exited).code, 0)
  assert.match(check.stdout(), /^addr +"127\.0\.0\.1:1" +\(waystation\.config\.ts\)$/m)
  assert.match(check.stdout(), /^retry +4000 +\(environment\)$/m)
  assert.match(check.stdout(), /^logLevel +"error" +\(command line\)$/m)
  assert.match(check.stdout(), /^maxPathLength +256$/m)
})

test('check tells all problems of all sources at once', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'waystation.config.json'), JSON.stringify({ adr: ':1', rules: [{ topic: 'x' }] }))
  const check = waystation(t, ['check', '--retry', 'soon'], { cwd: folder, env: { WAYSTATION_LOG_LEVL: 'x' } })
  assert.equal((await check.exited).code, 2)
  for (const expected of [/adr is no option; did you mean addr/, /topic is no key of a rule; did you mean topics/, /WAYSTATION_LOG_LEVL is no option; did you mean WAYSTATION_LOG_LEVEL/, /--retry must be a time/]) {
    assert.match(check.stderr(), expected)
  }
})

test('check tells mistaken flags, words that are none and bad values together', async (t) => {
  const check = waystation(t, ['check', '8082', '--addr', 'nonsense', '--orign', 'x', 'foo', '--max-message-bytes', '3', '--retry'], { cwd: temporaryFolder(t), env: { WAYSTATION_LOG_LEVEL: 'loud' } })
  assert.equal((await check.exited).code, 2)
  for (const expected of [
    /command line: --orign is no option; did you mean --origin\?/, /command line: --retry wants a value/,
    /command line: "8082" is no option; options begin with --/, /command line: "foo" is no option; options begin with --/,
    /command line: --addr "nonsense" is no address/, /WAYSTATION_LOG_LEVEL must be one of/,
  ]) assert.match(check.stderr(), expected)
})

test('flags that are none are told beside a file that cannot be read', async (t) => {
  const check = waystation(t, ['check', '--config', 'nothing.json', '--orign', 'x'], { cwd: temporaryFolder(t) })
  assert.equal((await check.exited).code, 2)
  assert.match(check.stderr(), /--orign is no option[^]*nothing\.json: there is no such file/)
})

test('check does not mind the variable that names the hub for pub and sub', async (t) => {
  const check = waystation(t, ['check'], { cwd: temporaryFolder(t), env: { WAYSTATION_URL: 'http://127.0.0.1:8081' } })
  assert.equal((await check.exited).code, 0, check.stderr())
})

test('help lists the commands; each command has its own; --version says which', async (t) => {
  const help = waystation(t, ['help'])
  assert.equal((await help.exited).code, 0)
  for (const name of ['serve', 'pub', 'sub', 'check', 'setup', 'pinghub']) {
    assert.match(help.stdout(), new RegExp(`^  ${name} `, 'm'))
    const own = waystation(t, [name, '--help'])
    assert.equal((await own.exited).code, 0)
    assert.match(own.stdout() + own.stderr(), new RegExp(`Usage: waystation ${name} `))
  }
  const version = waystation(t, ['--version'])
  await version.exited
  assert.match(version.stdout(), /^\d+\.\d+\.\d+\n$/)
})

test('readiness, health and metrics answer, and metrics count by transport', async (t) => {
  const { url } = await serve(t)
  assert.equal(await (await fetch(`${url}/_/healthz`)).text(), 'ok\n')
  assert.equal(await (await fetch(`${url}/_/readyz`)).text(), 'ready\n')
  await fetch(`${url}/demo`, { method: 'POST', body: 'hello' })
  const metrics = await (await fetch(`${url}/_/metrics`)).text()
  assert.match(metrics, /^waystation_messages_published_total\{transport="pinghub"\} 1$/m)
  assert.match(metrics, /^process_cpu_user_seconds_total /m)
  assert.equal((await fetch(`${url}/_/nothing`)).status, 404)
  assert.equal((await fetch(`${url}/_/healthz`, { method: 'POST', body: 'x' })).status, 405)
})

test('a hub whose database is away at the start says so in one line, and ends with 1', async (t) => {
  // Nobody listens there: 1 is a port that only root could take.
  const started = ['postgres://me:secret@127.0.0.1:1/hubs', 'rqlite://me:secret@127.0.0.1:1'].map((database) => waystation(t, ['serve', '--addr', '127.0.0.1:0', '--database', database], { cwd: temporaryFolder(t) }))
  for (const { exited, stderr } of started) {
    assert.deepEqual(await exited, { code: 1, signal: null }, stderr())
    assert.match(stderr(), /^waystation serve: the database of subscriptions and API keys cannot be used now: .*127\.0\.0\.1:1.*\n$/)
    assert.doesNotMatch(stderr(), /secret/)
  }
})
