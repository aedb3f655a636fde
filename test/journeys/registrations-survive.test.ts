import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import { claims } from '../../src/protocol/lonelyps/claims.ts'
import { encodeSubscribe, type Kind } from '../../src/protocol/lonelyps/requests.ts'
import { strongEtag } from '../../src/protocol/lonelyps/strong-etag.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { startHubProcess, type HubProcess } from '../support/hub.ts'
import { createClient, post, schemes, sign } from '../support/lonelyps.ts'

const MOST = 1_000
const CONNECTIONS = 16
const KILL_AFTER = 300
const NONE = Buffer.alloc(0)
const url = 'http://127.0.0.1:9/receive'
const recovery = 'http://127.0.0.1:9/recover'

interface Call {
  readonly kind: Kind
  readonly target: string
  readonly body: Buffer
  readonly authorization: string | undefined
}

function callOf(i: number): Call {
  const kind = i % 4 === 0 ? 'glob' : 'exact'
  const target = kind === 'glob' ? `g${i}/*` : `t/${i}`
  const one = { url, target: Buffer.from(target), recovery, tracing: NONE }
  const claim = kind === 'glob' ? claims.subscribeGlob({ url, recovery, glob: one.target, tracing: NONE }) : claims.subscribeExact({ url, recovery, topic: one.target, tracing: NONE })
  return { kind, target, body: encodeSubscribe(one), authorization: sign('hmac', claim) }
}

function start(t: TestContext, folder: string): Promise<HubProcess> {
  const { toBroadcastersSecret, toSubscribersSecret } = schemes('hmac', 'hmac')
  return startHubProcess(t, '--data-dir', folder, '--allow-private', '--to-broadcasters-auth', 'hmac', '--to-broadcasters-secret', String(toBroadcastersSecret), '--to-subscribers-auth', 'hmac', '--to-subscribers-secret', String(toSubscribersSecret))
}

/** What the database holds, read with an ordinary SQL tool while no hub has it open. */
function rowsIn(folder: string): { kind: Kind; target: string }[] {
  using database = new DatabaseSync(join(folder, 'waystation.db'))
  assert.deepEqual(database.prepare('PRAGMA integrity_check').all().map((row) => ({ ...row })), [{ integrity_check: 'ok' }])
  const rows = database.prepare('SELECT kind, target, url, recovery FROM subscriptions').all()
  for (const row of rows) assert.deepEqual([row['url'], row['recovery']], [url, recovery])
  return rows.map(({ kind, target }) => ({ kind: kind as Kind, target: Buffer.from(target as Uint8Array).toString() }))
}

test('a hub that is killed in the middle of a thousand registrations has each one that it answered, and takes none of their signatures again', async (t) => {
  const folder = temporaryFolder(t)
  const first = await start(t, folder)
  const answered = new Map<string, Call>()
  const begun = new Map<string, Call>()
  let next = 0
  const oneAfterTheOther = async (): Promise<void> => {
    while (next < MOST) {
      const call = callOf(next++)
      begun.set(call.target, call)
      // Whoever finds the hub gone stops.
      const status = await post(first.port, `/v1/subscribe/${call.kind}`, call.body, call.authorization).then((reply) => reply.status, () => undefined)
      if (status === undefined) return
      assert.equal(status, 200, call.target)
      answered.set(call.target, call)
    }
  }
  const done = Promise.all(Array.from({ length: CONNECTIONS }, oneAfterTheOther))
  await Promise.race([done, until(() => answered.size >= KILL_AFTER, `${KILL_AFTER} answers`)])
  first.child.kill('SIGKILL')
  assert.equal((await first.exited).signal, 'SIGKILL')
  await done
  assert.ok(answered.size >= KILL_AFTER && answered.size < MOST, `${answered.size} answered: not in the middle`)

  const rows = rowsIn(folder)
  const there = new Set(rows.map(({ target }) => target))
  assert.deepEqual([...answered.keys()].filter((target) => !there.has(target)), [], 'answered, and not there')
  assert.deepEqual([...there].filter((target) => !begun.has(target)), [], 'there, and never asked for')
  assert.ok(there.size - answered.size <= CONNECTIONS)

  const second = await start(t, folder)
  const client = createClient(second.port, 'hmac')
  const entries = (kind: Kind) => rows.filter((row) => row.kind === kind).map(({ target }) => ({ target: Buffer.from(target), recovery }))
  const checked = await client.check(url)
  assert.equal(checked.status, 200)
  assert.ok(checked.body.includes(strongEtag(url, entries('exact'), entries('glob'))), 'the hub has what the database has')
  const again = await Promise.all([...answered.values()].slice(-100).map(({ kind, body, authorization }) => post(second.port, `/v1/subscribe/${kind}`, body, authorization)))
  assert.deepEqual(new Set(again.map(({ status }) => status)), new Set([403]), 'a signature that was used before the kill')
  const removed = await Promise.all([...answered.values()].slice(-100).map(({ kind, target }) => client.unsubscribe(kind, url, target)))
  assert.deepEqual(new Set(removed.map(({ status }) => status)), new Set([200]))
  assert.deepEqual(readdirSync(folder).filter((name) => !/^(waystation\.db(-signatures)?(-wal|-shm)?|spool|waystation\.sock)$/.test(name)), [])
})
