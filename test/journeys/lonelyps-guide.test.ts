import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { run, waystation } from '../support/process.ts'
import { blocks } from '../support/readme.ts'
import { settingsOf } from '../../src/subscriber/options.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const GUIDE = new URL('../../docs/protocols/lonelyps.md', import.meta.url)

test('the guide to lonelyps works as it is written: setup, serve, and programs that subscribe and publish, by webhooks and by a WebSocket', async (t) => {
  const [commands] = blocks(GUIDE, 'sh') as [string]
  assert.deepEqual(commands.trim().split('\n'), ['waystation setup --dir broadcaster', 'cd broadcaster && waystation serve'])
  const folder = temporaryFolder(t)
  const setup = waystation(t, ['setup', '--dir', 'broadcaster'], { cwd: folder })
  assert.deepEqual(await setup.exited, { code: 0, signal: null }, setup.stderr())
  const cwd = join(folder, 'broadcaster')
  // The guide's own ports may be taken on this machine.
  const hub = waystation(t, ['serve', '--allow-private', '--addr', '127.0.0.1:0'], { cwd })
  await hub.says(/listens on \S+/)
  const url = /listens on (\S+)/.exec(hub.stdout())?.[1] as string

  const programs = blocks(GUIDE, 'ts')
  mkdirSync(join(cwd, 'node_modules'))
  symlinkSync(root, join(cwd, 'node_modules', 'waystation'))
  const said: string[] = []
  for (const program of programs) {
    writeFileSync(join(cwd, 'program.mts'), program.replace('http://127.0.0.1:3003', url).replace('ws://127.0.0.1:3003', url.replace('http', 'ws')).replace('port: 3002', 'port: 0'))
    const child = run(t, process.execPath, ['--conditions=waystation/source', 'program.mts'], { cwd })
    assert.deepEqual(await child.exited, { code: 0, signal: null }, child.stderr())
    said.push(child.stdout())
  }
  assert.deepEqual(said, ['foo/bar hello\ntaken by 1\n', 'foo/bar hello\nfoo/bar again\ntaken by 1\ntaken by 1\n'])
})

test('the guide states the options of a WebSocket as they are', () => {
  const { socket, connectTimeout, answerTimeout, retries, reconnects } = settingsOf({ broadcasters: ['ws://127.0.0.1:3003'] })
  const { offer } = socket
  const defaults = {
    'websocket.headers': `'${socket.headers}'`, 'websocket.maxMessageSize': socket.maxMessageSize, 'websocket.compression': offer.zstd, 'websocket.training': offer.training,
    'websocket.dictionaries': '{}', 'websocket.initialDictionary': offer.initialDictionary, 'websocket.maxWindow': `${socket.maxWindow / 1_048_576} MiB`,
    'timeouts.connect': connectTimeout, 'timeouts.answer': answerTimeout, 'timeouts.ping': socket.pingAfter, 'timeouts.pong': socket.pongTimeout, 'timeouts.close': socket.closeTimeout, 'timeouts.stable': socket.stableAfter,
    'bounds.notifies': socket.notifies, 'bounds.notifyBytes': `${socket.notifyBytes / 1_048_576} MiB`,
  }
  const rows = [...readFileSync(GUIDE, 'utf8').matchAll(/^\| `((?:websocket|timeouts|bounds)\.\w+)` \| `?([^|`]+)`? \|/gm)].map(([, name, value]) => [name, value?.trim()])
  assert.deepEqual(Object.fromEntries(rows), Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, typeof value === 'number' ? value.toLocaleString('en') : String(value)])))
  // Two rounds, eleven rounds.
  assert.deepEqual([offer.dictionaries.size, retries, reconnects], [0, 2, 11])
})
