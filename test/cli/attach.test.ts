import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { until } from '../support/events.ts'
import { knownHub } from '../support/known-hub.ts'
import { needs, SCRIPT } from '../support/parts.ts'
import { run, waystation } from '../support/process.ts'
import { connect } from '../support/websocket.ts'
import { createService } from './service.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** A hub with a subscriber of a topic with an escape in its name, to which something is published again and again. */
async function busyHub(t: Parameters<typeof knownHub>[0]): Promise<Awaited<ReturnType<typeof knownHub>>> {
  const hub = await knownHub(t)
  await connect(t, `${hub.server.url.replace('http', 'ws')}/news/%1B%5B2J`)
  hub.logger.warn({ topic: 'x'.repeat(80) }, 'something happened')
  const timer = setInterval(() => void hub.server.hub.publish('news/\x1b[2J', 'x').catch(() => {}), 20)
  t.after(() => clearInterval(timer))
  return hub
}

test('attach without a terminal prints one snapshot of what is going on', async (t) => {
  const { folder, server } = await busyHub(t)
  const once = waystation(t, ['attach', '--data-dir', folder])
  const json = waystation(t, ['attach', '--json', '--data-dir', folder])
  assert.deepEqual(await once.exited, { code: 0, signal: null })
  assert.match(once.stdout(), new RegExp(`^Waystation \\d.* on ${server.url}\npid ${process.pid} `))
  assert.match(once.stdout(), /\nconnections +1 +\(pinghub 1 [^]*\nmessages\/s +in [1-9][\d.]* +out [1-9][\d.]*\n/)
  assert.match(once.stdout(), /\n +[1-9][\d.]* +1 +news\/\\x1b\[2J\n/)
  assert.match(once.stdout(), /LOG\n[^]*warn +something happened topic=x{80}\n/)

  await until(() => json.stdout().split('\n').length > 3, 'three snapshots')
  const snapshots = json.stdout().trim().split('\n').map((line) => JSON.parse(line))
  assert.deepEqual([snapshots[0].rates, snapshots[0].topics, snapshots[0].type], [null, [], 'snapshot'])
  assert.ok(snapshots[1].rates.in > 1 && snapshots[1].topics[0].topic === 'news/\x1b[2J')
  json.child.kill('SIGINT')
  assert.deepEqual(await json.exited, { code: 0, signal: null })
})

test('on a terminal it is drawn live, fits, obeys nothing but its own colours, and q gives the terminal back', needs(SCRIPT), async (t) => {
  const { folder } = await busyHub(t)
  const attach = `stty cols 50 rows 14; ${process.execPath} ${MAIN} attach --data-dir ${folder}; echo "left with $?"; stty -a`
  const terminal = run(t, SCRIPT.path as string, ['-qec', attach, '/dev/null'], { env: { NO_COLOR: '1', SHELL: '/bin/sh' } })
  await terminal.says('news/\\x1b[2J')
  terminal.child.stdin?.write('q')
  await terminal.says(/left with 0[^]*\n/)
  await terminal.exited
  // oxlint-disable-next-line no-control-regex
  const [, drawn] = /^\x1b\[\?1049h\x1b\[\?25l([^]*)\x1b\[\?25h\x1b\[\?1049lleft with 0/.exec(terminal.stdout()) ?? []
  assert.ok(drawn !== undefined, JSON.stringify(terminal.stdout()))
  for (const screen of drawn.split('\x1b[H').slice(1)) {
    const lines = screen.replaceAll('\x1b[J', '').split(/\r+\n/)
    assert.ok(lines.length <= 14)
    // oxlint-disable-next-line no-control-regex
    for (const line of lines) assert.match(line, /^[^\x00-\x1f]{0,50}\x1b\[K$/)
  }
  // As it was: what is typed is shown, and Ctrl-C is a signal.
  assert.match(terminal.stdout(), /\sisig icanon\s[^]*\secho\s/)
})

test('attach says when no hub runs, and when it ends', async (t) => {
  const service = createService(t)
  assert.deepEqual(await service.run('attach'), { code: 1, out: '', err: `waystation attach: no hub runs on ${service.file('')}\n` })
  const hub = await knownHub(t, { dataDir: service.file('') })
  const watching = service.run('attach', '--json')
  await until(async () => (await service.find()).state === 'running', 'the hub')
  await hub.close()
  const { code, err } = await watching
  assert.deepEqual([code, err], [1, 'waystation attach: the hub has ended, or does not answer any more\n'])
})
