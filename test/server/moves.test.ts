import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import type { Stored } from '../../src/core/registry.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { exportLines, importLines } from '../../src/server/moves.ts'

const parts = { progress() {}, signal: new AbortController().signal }

/** The lines of these as a file is read: in pieces of 64 KiB. */
async function* fileOf(things: Iterable<Stored>): AsyncGenerator<Buffer> {
  async function* all(): AsyncGenerator<Stored> {
    yield* things
  }
  for await (const text of exportLines(all(), new Map(), parts)) {
    const bytes = Buffer.from(text)
    for (let i = 0; i < bytes.length; i += 65_536) yield bytes.subarray(i, i + 65_536)
  }
}

test('large things are put in a few at a time, so that they fill no memory', async () => {
  const sizes: number[] = []
  const url = 'x'.repeat(1_000_000)
  const large: Stored[] = Array.from({ length: 30 }, (_, i) => ({ type: 'registration', url, kind: 'exact', target: topicFromText(`${i}`), recovery: undefined }))
  const small: Stored[] = Array.from({ length: 2_500 }, (_, i) => ({ type: 'registration', url: '', kind: 'exact', target: topicFromText(`${i}`), recovery: undefined }))
  const moved = await importLines(fileOf([...large, ...small]), { restore: async (things) => sizes.push(things.length) && things.length }, parts)
  assert.equal(moved.put, 2_530)
  assert.ok(sizes.slice(0, 5).every((n) => n <= 5), sizes.join())
  assert.equal(Math.max(...sizes), 1_000)
})

const refused: readonly [string, object][] = [
  ['domain must be a text without NUL', { type: 'key', domain: 'a\0b', username: 'u', apikey: 'k', insertedAt: 0, active: true }],
  ['username must be a text without NUL', { type: 'key', domain: 'a', username: '\0', apikey: 'k', insertedAt: 0, active: true }],
  ['apikey must be a text without NUL', { type: 'key', domain: 'a', username: 'u', apikey: '\0', insertedAt: 0, active: true }],
  ['secret must be 16 bytes or more', { type: 'hubSecret', secret: 'QUJD' }],
  ['secret must be 16 bytes or more', { type: 'hubSecret', secret: '' }],
  ['its type is none', { ['__proto__']: { type: 'hubSecret' } }],
  ['expiresAt must be a whole number', { type: 'signature', code: 'QUJD', expiresAt: 1e300 }],
]

test('what no registry can have is refused by the number of its line', async () => {
  const nobody = { restore: async (): Promise<number> => assert.fail('something was put in') }
  for (const [said, fields] of refused) {
    const file = (async function* () {
      yield Buffer.from(`{"waystation":"registry","version":1}\n${JSON.stringify(fields)}\n{"end":true,"count":1}\n`)
    })()
    await assert.rejects(importLines(file, nobody, parts), (error) => error instanceof WaystationError && error.code === 'bad_request' && error.detail.startsWith(`line 2: ${said}`), said)
  }
  for (const text of ['['.repeat(1_000_000), '{"a":'.repeat(500_000)]) {
    const file = (async function* () {
      yield Buffer.from(`{"waystation":"registry","version":1}\n${text}\n`)
    })()
    await assert.rejects(importLines(file, nobody, parts), /line 2: it is no JSON/)
  }
})
