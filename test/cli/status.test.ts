import assert from 'node:assert/strict'
import { test } from 'node:test'
import { status } from '../../src/cli/status.ts'
import { connectLink, serveLinks } from '../../src/server/link.ts'
import { runCommand } from '../support/command.ts'
import { until } from '../support/events.ts'
import { knownHub } from '../support/known-hub.ts'
import { startServer } from '../support/server.ts'

test('status names the links that a hub takes by, and why one is down', async (t) => {
  const { server, folder } = await knownHub(t, { linkRetry: 10, maxLinkRetry: 10 })
  const own = { hub: server.hub, transport: 'tcp', server: '127.0.0.1' } as const
  const giver = await startServer(t)
  const { port } = await serveLinks({ hub: giver.hub, port: 0, transport: 'tcp' })
  const gone = await serveLinks({ hub: server.hub, port: 0, transport: 'tcp' })
  const closed = gone.port
  await gone.close()
  const up = await connectLink({ ...own, port, topics: ['prices'] })
  const down = await connectLink({ ...own, port: closed, topics: ['prices'] })
  await until(() => up.state.state === 'up' && JSON.stringify(down.state).includes('ECONNREFUSED'), 'one is up and one down')

  const { out } = await runCommand(status, ['--data-dir', folder], { cwd: folder })
  assert.ok(out.includes(`\n  link:         127.0.0.1:${port} up\n  link:         127.0.0.1:${closed} down: connect ECONNREFUSED 127.0.0.1:${closed}\n`), out)
  const { links } = JSON.parse((await runCommand(status, ['--data-dir', folder, '--json'], { cwd: folder })).out) as { links: unknown }
  assert.deepEqual(links, [{ name: `127.0.0.1:${port}`, state: 'up' }, { name: `127.0.0.1:${closed}`, state: 'down', why: `connect ECONNREFUSED 127.0.0.1:${closed}` }])
})
