import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'node:test'
import type { Config, WaystationServer } from '../../src/index.ts'
import { openAuthority } from '../../src/zones/authority/authority.ts'
import type { Link, LinkServer, LinkState } from '../../src/server/link.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { blocks } from '../support/readme.ts'
import { startServer } from '../support/server.ts'

/* The programs and configurations of the guide to links, as they are written. */

const GUIDE = new URL('../../docs/links.md', import.meta.url)
/** What stands in the guide, and what stands here in its place. */
type Change = readonly [from: string, to: string]

const SOURCES: readonly Change[] = [[`'waystation'`, '../../src/index.ts'], [`'waystation/link'`, '../../src/server/link.ts']].map(([from, to]) => [from as string, `'${new URL(to as string, import.meta.url).href}'`])

/** Writes one block as a module of this clone, with what is different on this machine, and imports it. */
async function imported(folder: string, name: string, block: string, here: readonly Change[]): Promise<Record<string, unknown>> {
  const file = join(folder, `${name}.ts`)
  writeFileSync(file, [...SOURCES, ...here].reduce((text, [from, to]) => text.replaceAll(from, to), block))
  return (await import(pathToFileURL(file).href)) as Record<string, unknown>
}

test('the guide to links: both configurations make one link, and its program is both ends', async (t) => {
  const [giving, taking, program, ...more] = blocks(GUIDE, 'ts') as [string, string, string]
  assert.deepEqual(more, [], 'there is a block that nothing runs')
  const folder = temporaryFolder(t)
  const files = join(folder, 'certs')
  mkdirSync(files)
  const authority = openAuthority(files, Date.now)
  await authority.init({ name: 'of the guide', days: 60 }, 'kept')
  await authority.issue({ kind: 'server', name: 'hub', ips: ['127.0.0.1'], dns: [], days: 30 }, 'kept')
  await authority.issue({ kind: 'client', name: 'edge', ips: [], dns: [], days: 30 }, 'kept')
  await authority.issue({ kind: 'both', name: 'edge-both', ips: ['127.0.0.1'], dns: [], days: 30 }, 'kept')
  const quick: Config = { linkRetry: 20, dataDir: folder }
  const here: readonly Change[] = [["'10.0.0.5'", "'127.0.0.1'"], ["'certs/", `'${files}/`], ['127.0.0.1:8081', '127.0.0.1:0']]

  const inside = await startServer(t, { ...(await imported(folder, 'giving', giving, [...here, ['5555', '0']]))['default'] as Config, ...quick })
  const port = String(inside.linkPort)
  const outside = await startServer(t, { ...(await imported(folder, 'taking', taking, [...here, ['5555', port]]))['default'] as Config, ...quick })
  const ready = async (): Promise<boolean> => (await fetch(`${outside.url}/_/readyz`)).status === 200
  await until(ready, 'the link of the configurations is up')

  // The program gives on a port of its own, and takes from the hub above.
  const certificate = `const [cacertfile, certfile, keyfile] = ${JSON.stringify(['ca.pem', 'edge-both.pem', 'edge-both.key'].map((name) => join(files, name)))}\n`
  const ends: readonly Change[] = [...here, ['port: 5555, tls', 'port: 0, tls'], ['5555', port], ['await serveLinks', 'export const gives = await serveLinks'], ['console.log(link.state)', 'export const atFirst = link.state\nexport { link, server }']]
  const { link, server, gives, atFirst } = (await imported(folder, 'program', certificate + program, ends)) as unknown as { link: Link; server: WaystationServer; gives: LinkServer; atFirst: LinkState }
  t.after(() => server.close())
  await until(() => link.state.state === 'up', 'the link of the program is up')
  assert.ok(program.endsWith(`console.log(link.state) // at first ${shown(atFirst)}, then ${shown(link.state)}\n`), `${shown(atFirst)}, ${shown(link.state)}`)
  assert.ok(gives.port > 0)

  const taken = server.hub.subscribe('inside/prices')
  const news = outside.hub.subscribe('news/*')
  await inside.hub.publish('prices', '12')
  await inside.hub.publish('news/eu', 'hello')
  assert.equal((await taken[Symbol.asyncIterator]().next()).value?.text(), '12')
  assert.equal((await news[Symbol.asyncIterator]().next()).value?.text(), 'hello')
})

function shown(now: LinkState): string {
  const { since: _, ...state } = now
  return `{ ${Object.entries(state).map(([key, value]) => `${key}: '${value}'`).join(', ')}, since: … }`
}
