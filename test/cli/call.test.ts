import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { call } from '../../src/cli/call.ts'
import { helpOf } from '../../src/cli/command.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { universe, type Universe } from '../../src/testing/universe.ts'
import { runCommand, type Ran } from '../support/command.ts'
import { createInbox } from '../support/events.ts'

/** An integer of more digits than JSON can have here. */
const HUGE = 1n << 70_000n
let world: Universe
const casts = createInbox<unknown>('cast')
const seen = createInbox<unknown>('call')
/** Something that is no hub. */
let other: Server

before(async () => {
  world = await universe({ toBroadcastersAuth: 'token', toBroadcastersSecret: 'secret', serviceRules: [{ services: 'shut', call: 'nobody' }, { services: 'proved', call: 'signed' }] })
  await world.workService('math', { as: 'json' }, { call: (request) => (request as { add: number[] }).add.reduce((sum, one) => sum + one, 0), cast: casts.push })
  await world.workService('a/b c', { as: 'json' }, { call: (request) => request })
  await world.workService('proved', { as: 'json' }, { call: () => 'proved' })
  await world.workService('slow', { as: 'json' }, {
    call(request) {
      seen.push(request)
      return new Promise(() => {})
    },
  })
  await world.workService('broken', { as: 'json' }, { call() { throw new Error('a secret of the service') } })
  await world.workService('huge', {}, { call: () => HUGE })
  other = createServer((request, response) => {
    if (request.url?.endsWith('/cut') === true) return void response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': 9 }).write('1', () => response.destroy())
    if (request.url?.endsWith('/problem') === true) return void response.writeHead(418, { 'Content-Type': 'application/problem+json' }).end('{"title":"Teapot","detail":"short \\u001b[2J and stout","code":"teapot"}')
    if (request.url?.endsWith('/null') === true) return void response.writeHead(500, { 'Content-Type': 'application/problem+json' }).end('null')
    response.writeHead(200, { 'Content-Type': 'text/html' }).end('<h1>welcome</h1>')
  }).listen(0, '127.0.0.1')
  await once(other, 'listening')
})
after(async () => {
  other.close()
  await world.close()
})

/** Where nobody listens. */
async function nowhere(): Promise<string> {
  const gone = createServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const { port } = gone.address() as AddressInfo
  gone.close()
  await once(gone, 'close')
  return `http://127.0.0.1:${port}`
}

const run = (args: readonly string[], more: { input?: string[]; stop?: AbortSignal; url?: string } = {}): Promise<Ran> => runCommand(call, args, { cwd: '/', env: { WAYSTATION_URL: more.url ?? world.url }, ...(more.input !== undefined && { input: more.input }), ...(more.stop !== undefined && { stop: more.stop }) })
const elsewhere = (name: string, ...args: string[]): Promise<Ran> => run([name, '1', ...args], { url: `http://127.0.0.1:${(other.address() as AddressInfo).port}` })

test('call prints the answer as one line of JSON, of a value that is typed or that comes by standard input', async () => {
  assert.deepEqual(await run(['math', '{"add": [1, 2]}']), { status: 0, out: '3\n', err: '' })
  assert.deepEqual(await run(['math'], { input: ['{"add": [20,', ' 22]}\n'] }), { status: 0, out: '42\n', err: '' })
  assert.deepEqual(await run(['--url', world.url.replace('http://', ''), 'a/b c', '--', '-1.5'], { url: 'http://127.0.0.1:1' }), { status: 0, out: '-1.5\n', err: '' })
})

test('call --cast sends it and says nothing', async () => {
  assert.deepEqual(await run(['math', '"seen"', '--cast', '--key', 'k€']), { status: 0, out: '', err: '' })
  assert.equal(await casts.next(), 'seen')
})

test('an answer that has no JSON comes in Base64, and that it does is said beside it', async () => {
  const { status, out, err } = await run(['huge', 'null'])
  assert.deepEqual([status, err], [0, 'the answer has no JSON; it is an Erlang term, here in Base64\n'])
  assert.deepEqual(Buffer.from(out, 'base64'), encode(HUGE))
})

test('what the hub refuses is said in one line, with 1 where the call failed and 2 where it was wrong', async () => {
  const cases: [string[], number, RegExp][] = [
    [['nobody', '1'], 1, /^there is no service of this name: nobody\n$/],
    [['shut', '1'], 1, /^a rule does not allow this\n$/],
    [['proved', '1', '--token', 'wrong'], 1, /^the API key does not let publish there: nor call services under proved\n$/],
    [['broken', '1'], 1, /^the service has failed to answer the call\n$/],
    [['slow', '1', '--deadline', '20ms'], 1, /^the call was not answered in time\n$/],
    [['slow', '1', '--deadline', 'soon'], 2, /^the request cannot be understood: a deadline is a number of milliseconds above 0, or a time such as 500ms, 5s or 1m\n$/],
    [['x'.repeat(256), '1'], 2, /^the request cannot be understood: the name of a service has 1 to 255 bytes in UTF-8\n$/],
  ]
  for (const [args, status, err] of cases) {
    const ran = await run(args)
    assert.match(ran.err, err)
    assert.deepEqual([ran.status, ran.out], [status, ''], args.join(' '))
  }
  assert.deepEqual(await run(['proved', '1', '--token', 'secret']), { status: 0, out: '"proved"\n', err: '' })
})

test('what is mistyped is said before anything is sent', async () => {
  const cases: [string[], RegExp][] = [
    [[], /name a service: waystation call math/],
    [['math', '1', '2'], /one value is sent: put it in quotes \('1 2'\)/],
    [['math', '{add: 1}'], /what is sent must be JSON, a text in its own quotes \('"text"'\): /],
    [['math'], /must be JSON.*: Unexpected end of JSON input/],
    [['math', '1', '--dealine', '1s'], /--dealine is no option; did you mean --deadline\?/],
    [['math', '1', '--deadline'], /--deadline wants a value/],
    [['../metrics', '1'], /"\.\.\/metrics": a service with \. or \.\. between its slashes cannot be called over HTTP/],
    [['math', '1', '--cast', '--deadline', '1s', '--idempotency-key', 'k'], /--deadline is for calls: a cast has no answer; --idempotency-key is for calls/],
    [['math', '1', '--key', 'a\nb', '--token', ''], /--key may hold no control characters; --token is empty/],
    [['math', '1', '--url', 'ftp://x'], /"ftp:\/\/x" is no URL: write --url http:\/\/host:port/],
  ]
  for (const [args, err] of cases) {
    const ran = await run(args)
    assert.match(ran.err, err)
    assert.deepEqual([ran.status, ran.out], [2, ''], args.join(' '))
  }
})

test('what is no hub, and nobody at all, is told as such', async () => {
  const cases: [Promise<Ran>, RegExp][] = [
    [elsewhere('page'), /answered text\/html, not the answer of a service; is that a hub\?/],
    [elsewhere('page', '--cast'), /answered text\/html, not what a hub says of a cast; is that a hub\?/],
    [elsewhere('cut'), /the hub cannot be reached: .*\/_\/call\/cut: the answer broke off/],
    [elsewhere('null'), /answered 500/],
    [run(['math', '1'], { url: await nowhere() }), /nothing listens there; start it with "waystation serve"/],
  ]
  for (const [ran, err] of cases) {
    const { status, out, err: said } = await ran
    assert.match(said, err)
    assert.deepEqual([status, out], [1, ''])
  }
  // A code of a later hub, in words that cannot do anything to a terminal.
  assert.deepEqual(await elsewhere('problem'), { status: 2, out: '', err: 'the request cannot be understood: Teapot: short \\x1b[2J and stout\n' })
})

test('a signal ends a call that waits, and a command that waits for its input', async () => {
  const stop = new AbortController()
  const waits = run(['slow', '"waits"'], { stop: stop.signal })
  while (await seen.next() !== 'waits');
  stop.abort()
  assert.deepEqual(await waits, { status: 130, out: '', err: '' })
  assert.deepEqual(await run(['slow'], { stop: AbortSignal.abort() }), { status: 130, out: '', err: '' })
})

test('its help names every flag and what it is for', () => {
  const help = helpOf(call)
  assert.match(help, /^Calls a service with a JSON value[^]*\n\nUsage: waystation call <service> \['<json>'\]\n/)
  for (const flag of ['--url URL', '--deadline TIME', '--key TEXT', '--idempotency-key TEXT', '--token TOKEN', '--cast']) assert.ok(help.includes(`\n  ${flag}\n`), flag)
  assert.ok(help.split('\n').every((line) => line.length <= 100), help)
})
