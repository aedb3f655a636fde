import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { after, test, type TestContext } from 'node:test'
import type { Registry, Stored } from '../../src/core/registry.ts'
import { topicFromBytes, topicFromText } from '../../src/core/topic.ts'
import { createPostgresRegistry } from '../../src/registry/postgres/registry.ts'
import { createRqliteRegistry } from '../../src/registry/rqlite/registry.ts'
import { createSqliteRegistry } from '../../src/registry/sqlite/registry.ts'
import { exportLines, importLines } from '../../src/server/moves.ts'
import { realClock } from '../../src/server/real-world.ts'
import { startPostgres } from '../support/postgres.ts'
import { startRqlite } from '../support/rqlite.ts'
import { databasePath } from './open-registry.ts'

const parts = { progress() {}, signal: new AbortController().signal }
const TEXTS = ['', ' ', 'a\\0b', '\\', '\\\\0', '0\\', '😀', '\ufeff', '\u2028', "'; --", '%00', 'null', '\r\n\t\x7f', '\ufffd', 'e\u0301', '\\x41', '?1', '$1', ':a']
const URLS = [...TEXTS, '\0', '\\\0', 'x'.repeat(70_000)]
const BYTES = Array.from({ length: 20 }, (_, i) => topicFromBytes(Buffer.from(Array.from({ length: i }, (_, at) => (at * 97 + i * 31) % 256))))
const NUMBERS = [0, 1, -1, Number.MAX_SAFE_INTEGER, 1_700_000_000_123]
const MOMENTS = [0, 1, -1, 1_700_000_000_123, 253_402_300_799_999, -62_135_596_800_000]

function numberOf(numbers: readonly number[], i: number): number {
  return numbers[i % numbers.length] as number
}

function* odd(): Generator<Stored> {
  const registrations = [
    ...URLS.flatMap((text) => (['exact', 'glob'] as const).map((kind) => ({ url: text, kind, target: topicFromText(text), recovery: text as string | undefined }))),
    ...BYTES.map((target, i) => ({ url: `http://bytes/${i}`, kind: 'exact' as const, target, recovery: undefined })),
  ]
  for (const one of registrations) yield { type: 'registration', ...one }
  for (const [i, { recovery: _, ...one }] of registrations.entries()) yield { type: 'notice', ...one, topic: BYTES[i % BYTES.length] as never, attempts: numberOf(NUMBERS, i), dueAt: numberOf(NUMBERS, i + 1) }
  for (const [i, text] of TEXTS.entries()) {
    const isHashed = i % 2 === 1
    yield { type: 'key', domain: text, username: text, apikey: isHashed ? undefined : text, sha256: isHashed ? hash('sha256', `key ${i}`, 'buffer') : undefined, insertedAt: numberOf(MOMENTS, i), active: i % 3 === 0 }
  }
  for (const domain of ['no key', 'no key either']) yield { type: 'key', domain, username: 'u', apikey: undefined, sha256: undefined, insertedAt: 5, active: true }
  yield { type: 'hubSecret', secret: Buffer.from(TEXTS.join('')) }
  for (let i = 0; i < 5; i++) yield { type: 'signature', code: hash('sha256', `signature ${i}`, 'buffer').subarray(0, 16), expiresAt: i === 3 ? Number.MAX_SAFE_INTEGER : Date.now() + 3_600_000 + i }
}

async function linesOf(registry: Pick<Registry, 'everything'>): Promise<string> {
  return (await Array.fromAsync(exportLines(registry.everything(), new Map(), parts))).join('')
}

/** Databases may give things in orders of their own. */
function sorted(lines: string): string[] {
  return lines.split('\n').sort()
}

test('whatever one database holds goes into another and comes out as it was, from each to each', async (t: TestContext) => {
  const server = await startPostgres(after)
  const opened: Registry[] = []
  t.after(() => Promise.all(opened.map((one) => one.close())))
  const cluster = await startRqlite(t, 1)
  let n = 0
  const kinds = {
    SQLite: () => createSqliteRegistry({ file: databasePath(t), clock: realClock }),
    PostgreSQL: async () => createPostgresRegistry({ url: await server.createDatabase(), clock: realClock }),
    rqlite: () => createRqliteRegistry({ nodes: cluster.nodes, clock: realClock, prefix: `t${++n}_` }),
  }
  const things = [...odd()]
  const expected = sorted(await linesOf({ everything: async function* () { yield* things } }))
  for (const [name, open] of Object.entries(kinds)) {
    const from = await open()
    opened.push(from)
    assert.equal(await from.restore(things), things.length, name)
    const lines = await linesOf(from)
    assert.deepEqual(sorted(lines), expected, name)
    for (const [other, openOther] of Object.entries(kinds)) {
      if (other === name) continue
      const to = await openOther()
      opened.push(to)
      const { put } = await importLines((async function* () { yield Buffer.from(lines) })(), to, parts)
      assert.equal(put, things.length, `${name} to ${other}`)
      assert.deepEqual(sorted(await linesOf(to)), expected, `${name} to ${other}`)
    }
  }
})
