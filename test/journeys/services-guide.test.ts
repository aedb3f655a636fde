import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'node:test'
import type { Config } from '../../src/index.ts'
import type { ConnectedService, JsonValue, Service, ServiceHandlers } from '../../src/server/service.ts'
import { readServiceRules } from '../../src/server/service-options.ts'
import { openAuthority } from '../../src/zones/authority/authority.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { blocks } from '../support/readme.ts'
import { startServer } from '../support/server.ts'

/* The programs and configurations of the guide to services, as they are written. */

const GUIDE = new URL('../../docs/services.md', import.meta.url)
/** What stands in the guide, and what stands here in its place. */
type Change = readonly [from: string, to: string]

const SOURCES: readonly Change[] = [['waystation', 'index'], ['waystation/service', 'server/service'], ['waystation/testing', 'testing/index']]
  .map(([name, file]) => [`'${name as string}'`, `'${new URL(`../../src/${file as string}.ts`, import.meta.url).href}'`])

test('the guide to services: its service is called from its client, by its configuration through a hub, and in its universe', async (t) => {
  const [file, serving, calling, configuration, rules, testing, ...more] = blocks(GUIDE, 'ts') as [string, string, string, string, string, string]
  assert.deepEqual(more, [], 'there is a block that nothing runs')
  const folder = temporaryFolder(t)
  const files = join(folder, 'certs')
  mkdirSync(files)
  const authority = openAuthority(files, Date.now)
  await authority.init({ name: 'of the guide', days: 60 }, 'kept')
  for (const name of ['math', 'hub']) await authority.issue({ kind: 'both', name, ips: ['127.0.0.1'], dns: [], days: 30 }, 'kept')
  await authority.issue({ kind: 'client', name: 'edge', ips: [], dns: [], days: 30 }, 'kept')
  async function imported<T>(name: string, block: string, here: readonly Change[]): Promise<T> {
    const path = join(folder, `${name}.ts`)
    writeFileSync(path, [...SOURCES, ["'certs/", `'${files}/`] as const, ...here].reduce((text, [from, to]) => text.replaceAll(from, to), block))
    return (await import(pathToFileURL(path).href)) as T
  }

  const { service, options } = await imported<{ service: ServiceHandlers<JsonValue>; options: { as: 'json' } }>('service', file, [])
  assert.deepEqual([options, service.call?.({ add: [1, 2] }, undefined as never)], [{ as: 'json' }, 3])

  const { running } = await imported<{ running: Service<JsonValue> }>('serving', serving, [['await using running', 'export const running'], ['4747', '0']])
  t.after(() => running.close())
  const client: readonly Change[] = [['10.0.0.5', '127.0.0.1'], ['4747', String(running.port)], ['const math', 'export const pushed = []\nexport const math'], ['console.log(value)', 'pushed.push(value)']]
  const { math, pushed } = await imported<{ math: ConnectedService<JsonValue>; pushed: JsonValue[] }>('calling', calling, client)
  t.after(() => math.close())
  await until(() => pushed.length === 1, 'what is pushed to whoever comes')
  assert.deepEqual([pushed, await math.call(7)], [['welcome'], { asked: 7, remote: true }])

  const config = (await imported<{ default: Config }>('configuration', configuration, [['10.0.0.9', '127.0.0.1'], ['4747', String(running.port)], ['4748', '0']])).default
  const hub = await startServer(t, { ...config, dataDir: folder })
  const called = async (): Promise<Response> => fetch(`${hub.url}/_/call/legacy`, { method: 'POST', body: '8', headers: { 'Content-Type': 'application/json' } })
  await until(async () => (await called()).status === 200, 'the daemon that the hub calls')
  assert.deepEqual(await (await called()).json(), { asked: 8, remote: true })

  const stated = (await imported<{ default: { serviceRules: unknown } }>('rules', `export default {\n${rules}}\n`, [])).default.serviceRules
  assert.ok('value' in readServiceRules(stated))

  const { sum } = await imported<{ sum: JsonValue }>('testing', testing, [['await math.call(', 'export const sum = await math.call(']])
  assert.equal(sum, 3)
})
