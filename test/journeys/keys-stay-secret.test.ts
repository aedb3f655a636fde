import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { attach } from '../../src/cli/attach.ts'
import { keys } from '../../src/cli/keys.ts'
import { registry } from '../../src/cli/registry.ts'
import { status as hubStatus } from '../../src/cli/status.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { runCommand, type Ran } from '../support/command.ts'
import { until } from '../support/events.ts'
import { startHubProcess } from '../support/hub.ts'
import { clientFrame, handshake, raw } from '../support/raw.ts'

/* No key and no guess at one gets into what the hub or the command line writes, whichever way things go wrong. */

const CANARY = 'c4n4ry'
const COMMANDS = { keys, registry, attach, status: hubStatus } as const

test('no key stands in any output, log line or metric of a run that goes every wrong way', async (t) => {
  const dataDir = temporaryFolder(t)
  const said: string[] = []
  const command = async (name: keyof typeof COMMANDS, ...args: string[]): Promise<Ran> => {
    const ran = await runCommand(COMMANDS[name], [...args, '--data-dir', dataDir], { cwd: dataDir })
    said.push(ran.err)
    return ran
  }
  const made = JSON.parse((await command('keys', 'add', '--domain', 'acme', '--username', 'me', '--json')).out) as { apikey: string }
  // Rows of the original's kind have a key that can be read.
  const plain = `${CANARY}-plain`
  const lines = [{ waystation: 'registry', version: 1 }, { type: 'key', domain: 'plain', username: 'me', apikey: plain, insertedAt: 0, active: true }, { end: true, count: 1 }]
  writeFileSync(join(dataDir, 'plain.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  assert.equal((await command('registry', 'import', join(dataDir, 'plain.jsonl'))).status, 0)
  for (const words of [['list'], ['list', '--json'], ['show', '--domain', 'acme'], ['show', '--domain', 'plain', '--json'], ['add', '--domain', 'acme', '--username', 'x'], ['show', '--domain', 'none']]) said.push((await command('keys', ...words)).out)

  const hub = await startHubProcess(t, '--log-level', 'trace', '--data-dir', dataDir, '--max-keyed-message-bytes', '1000')
  const send = async (request: string | Buffer): Promise<string> => {
    const connection = await raw(t, hub.port)
    connection.send(request)
    await connection.until((received) => received.includes('\r\n\r\n'))
    connection.socket.destroy()
    return connection.received().toString('latin1').slice(9, 12)
  }
  const status = (path: string, headers: Record<string, string> = {}): Promise<string> => send(handshake(path, headers))
  const keyed = (key: string, domain: string): Promise<WebSocket> => {
    const socket = new WebSocket(`${hub.url.replace('http', 'ws')}/ws/pub/${key}/${domain}/t`)
    socket.on('error', () => {})
    return once(socket, 'open').then(() => socket)
  }

  // Who is let in, and how that ends: too large, no text, a broken frame, another's place.
  const [first, second] = [await keyed(made.apikey, 'acme'), await keyed(plain, 'plain')]
  assert.equal(await status(`/ws/pub/${made.apikey}/acme/t`), '409')
  first.send('x'.repeat(2_000))
  await once(first, 'close')
  const broken = await raw(t, hub.port)
  broken.send(handshake(`/ws/pub/${made.apikey}/acme/u`))
  await broken.until((received) => received.includes('\r\n\r\n'))
  broken.send(clientFrame(1, Buffer.from([0xff])))
  await broken.ended

  // Who is not: wrong keys, wrong paths, wrong handshakes, no HTTP at all.
  const refused: [string, string][] = [
    [`/ws/pub/${CANARY}/acme/t`, '403'], [`/ws/pub/${CANARY.toUpperCase()}%20/acme/t`, '403'], [`/ws/pub/${made.apikey}/plain/t`, '403'], [`/ws/pub/${CANARY}${'x'.repeat(5_000)}/acme/t`, '403'],
    [`/ws/pub/${CANARY}`, '404'], [`/ws/pub/${CANARY}/acme`, '404'], [`/ws/pub/${CANARY}/acme/t/u`, '404'], [`/ws/pub/${CANARY}%zz/acme/t`, '400'], [`/ws/pub/${CANARY}/ac%2Fme/t`, '400'],
    [`/ws/pub/${CANARY}${'x'.repeat(20_000)}/acme/t`, '431'],
  ]
  for (const [path, expected] of refused) assert.equal(await status(path), expected, path.slice(0, 40))
  assert.equal(await status(`/ws/pub/${CANARY}/acme/t`, { 'Sec-WebSocket-Version': '99' }), '400')
  assert.equal(await send(`GET /ws/pub/${CANARY}/acme/t HTTP/1.1\r\nHost: h\r\n\r\n`), '426')
  assert.equal(await send(`POST /ws/pub/${CANARY}/acme/t HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n`), '426')
  for (const request of [`GET /ws/pub/${CANARY}/acme/t HTTP/9.9\r\n\r\n`, `BREW /ws/pub/${CANARY}/acme/t HTTP/1.1\r\nHost: h\r\n\r\n`, `GET /ws/pub/${CANARY} x/acme/t HTTP/1.1\r\nHost: h\r\n\r\n`, `GET /x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${CANARY}\u0000\r\n\r\n`]) await send(request)
  for (const authorization of [`Bearer ${CANARY}`, `Basic ${CANARY}`, `Bearer ${made.apikey}x`]) {
    assert.equal((await fetch(`${hub.url}/acme/t`, { method: 'POST', body: 'x', headers: { Authorization: authorization } })).status, 403)
  }
  assert.equal((await fetch(`${hub.url}/acme/t`, { method: 'POST', body: 'x', headers: { Authorization: `Bearer ${made.apikey}` } })).status, 200)

  // A key that is taken away ends its publisher, and one that is replaced is no longer good.
  const rotated = JSON.parse((await command('keys', 'rotate', '--domain', 'plain', '--json')).out) as { apikey: string }
  await once(second, 'close')
  assert.equal(await status(`/ws/pub/${plain}/plain/t`), '403')

  // The database is no database any more: nothing can be looked up, and that is logged.
  for (const name of readdirSync(dataDir)) if (name.startsWith('waystation.db')) writeFileSync(join(dataDir, name), 'x'.repeat(100_000))
  await until(async () => (await status(`/ws/pub/${CANARY}/other/t`)) === '503', 'the database to be found damaged')
  assert.equal((await fetch(`${hub.url}/acme/t`, { method: 'POST', body: 'x', headers: { Authorization: `Bearer ${CANARY}` } })).status, 503)
  await command('keys', 'add', '--domain', 'more', '--username', 'me')
  said.push(await (await fetch(`${hub.url}/_/metrics`)).text(), await (await fetch(`${hub.url}/_/readyz`)).text())
  said.push((await command('status', '--json')).out, (await command('attach', '--once')).out, (await command('attach', '--once', '--json')).out)
  hub.child.kill('SIGTERM')
  await hub.exited
  said.push(hub.stdout(), hub.stderr())

  const all = said.join('\n')
  assert.match(all, /the table of API keys cannot be used/, 'nothing was logged at all')
  assert.match(all, /waystation_key_checks_total\{result="bad"\} [1-9]/)
  for (const secret of [CANARY, CANARY.toUpperCase(), made.apikey, rotated.apikey, encodeURIComponent(made.apikey)]) {
    const at = all.indexOf(secret)
    assert.equal(at, -1, `…${all.slice(Math.max(0, at - 200), at + 50)}`)
  }
  // Nor in what it leaves behind, but for the file that was imported.
  for (const name of readdirSync(dataDir)) {
    const file = join(dataDir, name)
    if (name !== 'plain.jsonl' && statSync(file).isFile()) assert.ok(!readFileSync(file).includes(made.apikey), name)
  }
})
