import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { createClient, openReceiver } from '../support/lonelyps.ts'
import { run } from '../support/process.ts'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const skip = process.platform === 'win32' ? 'no limit on file sizes there' : false

test('a disk that takes no more in the middle of a message: 507, nothing delivered, nothing left, and the next message goes', { skip }, async (t) => {
  const folder = temporaryFolder(t)
  // The system refuses what a file would have beyond 2 MiB, as it refuses what a full disk would have to take.
  const serve = `ulimit -f 4096; exec "$0" --conditions=waystation/source "$1" serve --addr 127.0.0.1:0 --allow-private --spool-above 100KiB --data-dir "$2"`
  const hub = run(t, 'sh', ['-c', serve, process.execPath, main, folder])
  await hub.says('publish:')
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(hub.stdout())?.[1])
  const client = createClient(port)
  const receiver = await openReceiver(t)
  assert.equal((await client.subscribe('exact', receiver.url(), 'a')).status, 200)
  const refused = await client.notify('a', Buffer.alloc(8 * 1_048_576, 'x'))
  assert.deepEqual([refused.status, refused.body.length], [507, 0])
  const metrics = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/_/metrics`)).text()
  await until(async () => /^waystation_spool_bytes 0$/m.test(await metrics()), 'an empty spool')
  assert.deepEqual(readdirSync(join(folder, 'spool')), [])
  assert.equal((await client.notify('a', Buffer.alloc(500_000, 'y'))).subscribers, 1)
  assert.deepEqual(receiver.inbox.taken().map(({ message }) => message.length), [500_000])
})
