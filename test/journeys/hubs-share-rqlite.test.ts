import assert from 'node:assert/strict'
import { after, suite, test } from 'node:test'
import { setup } from '../../src/cli/setup.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { runCommand } from '../support/command.ts'
import { surviveOutage } from '../support/database-outage.ts'
import { createClient } from '../support/lonelyps.ts'
import { waystation } from '../support/process.ts'
import { startRqlite } from '../support/rqlite.ts'
import { registerAndNotify, TIMES } from '../support/two-hubs.ts'

/* Hubs on one rqlite cluster of three nodes, as a team runs them. */

const cluster = await startRqlite({ after })

/** The cluster as an option, with this node first. */
function database(first: number): string {
  const hosts = cluster.nodes.map((_, i) => new URL(cluster.nodes[(i + first) % cluster.nodes.length] as string).host)
  return `rqlite://${hosts.join(',')}`
}

suite('hubs that share an rqlite', () => {
  test(`a registration that one hub has answered is honoured by every notify that reaches the other by another node, ${TIMES} times`, async (t) => {
    t.diagnostic(await registerAndNotify(t, [database(0), database(1)], TIMES))
  })

  test('what setup writes for rqlite runs', async (t) => {
    const folder = temporaryFolder(t)
    const { status, err } = await runCommand(setup, ['--db', 'rqlite', '--database', database(2), '--to-broadcasters-auth', 'none'], { cwd: folder })
    assert.equal(status, 0, err)
    const hub = waystation(t, ['serve', '--addr', '127.0.0.1:0'], { cwd: folder })
    await hub.says(/listens on/)
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(hub.stdout())?.[1])
    assert.equal((await createClient(port).subscribe('exact', 'http://hooks.example/', 'set up')).status, 200)
  })

  test('a hub outlives the loss of the majority, and nothing that was answered is lost', async (t) => {
    const leader = await cluster.leader()
    const lost = [leader, (leader + 1) % 3]
    t.diagnostic(await surviveOutage(t, {
      database: database(0),
      stop: async () => void (await Promise.all(lost.map((i) => cluster.kill(i)))),
      start: () => cluster.restart(...lost),
    }))
  })
})
