import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseHmacHeader } from '../../../src/protocol/lonelyps/hmac-header.ts'
import * as requests from '../../../src/protocol/lonelyps/requests.ts'
import * as responses from '../../../src/protocol/lonelyps/responses.ts'
import { parseSecrets } from '../../../src/protocol/lonelyps/secrets.ts'
import { encodeTracing, parseTracing } from '../../../src/protocol/lonelyps/tracing.ts'
import { createSeededRandom } from '../../../src/testing/seeded-random.ts'
import { hex, vectors } from './vectors.ts'

const ROUNDS = 10_000
const MARGIN = 64
/** Beside the bytes that are handed in: to be seen in a result is to have been read beyond. */
const BEYOND = 0xa5

const EMPTY = Buffer.alloc(0)
const seeds = [
  ...vectors.http_bodies.cases.map(({ body_hex }) => hex(body_hex)),
  hex(vectors.simple_tracing.hex),
  encodeTracing({ entries: [], received: 0n, sent: 0n }),
  responses.encodeConfirmReceive({ authorization: 'X-HMAC', tracing: EMPTY, identifier: EMPTY, subscribers: 1 }),
]

function parseSet(bytes: Buffer): unknown {
  const head = requests.parseSetHead(bytes)
  return head && { ...head, ...requests.parseSetLists(bytes, head) }
}

const parsers: Record<string, (bytes: Buffer) => unknown> = {
  parseSubscribeExact: (bytes) => requests.parseSubscribe(bytes, 'exact'),
  parseSubscribeGlob: (bytes) => requests.parseSubscribe(bytes, 'glob'),
  parseUnsubscribeExact: (bytes) => requests.parseUnsubscribe(bytes, 'exact'),
  parseUnsubscribeGlob: (bytes) => requests.parseUnsubscribe(bytes, 'glob'),
  parseCheck: requests.parseCheck,
  parseSet,
  parseNotifyPrefix: requests.parseNotifyPrefix,
  parseReceivePrefix: requests.parseReceivePrefix,
  parseMissed: requests.parseMissed,
  parseReprDigest: (bytes) => requests.parseReprDigest(bytes.toString('latin1')),
  parseGeneric: responses.parseGeneric,
  parseNotifyResponse: responses.parseNotifyResponse,
  parseCheckResponse: responses.parseCheckResponse,
  parseConfirmReceive: responses.parseConfirmReceive,
  parseConfirmMissed: responses.parseConfirmMissed,
  parseReceiveAnswer: responses.parseReceiveAnswer,
  parseTracing,
  parseHmacHeader: (bytes) => parseHmacHeader(`X-HMAC ${bytes.toString('latin1')}`),
  parseSecrets: (bytes) => parseSecrets(bytes.toString('latin1')),
}

/** Random bytes, or a good body that is cut and has some bytes changed. */
function hostile(below: (bound: number) => number): Buffer {
  if (below(4) === 0) return Buffer.from(Array.from({ length: below(80) }, () => (below(2) === 0 ? 0 : below(256))))
  const seed = seeds[below(seeds.length)] ?? EMPTY
  const bytes = Buffer.from(seed.subarray(0, below(3) === 0 ? seed.length : below(seed.length + 1)))
  for (let changes = below(4); changes > 0 && bytes.length > 0; changes--) bytes[below(bytes.length)] = below(256)
  return bytes
}

/** Every view in a result, at any depth. */
function views(value: unknown): Buffer[] {
  if (Buffer.isBuffer(value)) return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(views) : []
}

for (const [name, parse] of Object.entries(parsers)) {
  test(`${name} takes ${ROUNDS} broken inputs without failing, and reads nothing beyond them`, () => {
    const { below } = createSeededRandom(7)
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = hostile(below)
      // The same bytes with others around them: whoever reads beyond gets another result.
      const around = Buffer.alloc(bytes.length + 2 * MARGIN, BEYOND)
      bytes.copy(around, MARGIN)
      const inside = around.subarray(MARGIN, MARGIN + bytes.length)
      const found = parse(inside)
      const alone = parse(bytes)
      if (found !== alone) assert.deepEqual(found, alone)
      for (const view of views(found)) {
        if (view.buffer !== around.buffer) continue
        assert.ok(view.byteOffset >= inside.byteOffset && view.byteOffset + view.length <= inside.byteOffset + inside.length)
      }
    }
  })
}

test('whatever is parsed is written back to the same bytes', () => {
  const { below } = createSeededRandom(11)
  let parsed = 0
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = hostile(below)
    for (const again of rewritten(bytes)) {
      parsed++
      assert.deepEqual(bytes.subarray(0, again.length), again)
    }
  }
  assert.ok(parsed > ROUNDS / 2, `${parsed}`)
})

function* rewritten(bytes: Buffer): Iterable<Buffer> {
  for (const kind of ['exact', 'glob'] as const) {
    const [subscribe, unsubscribe] = [requests.parseSubscribe(bytes, kind), requests.parseUnsubscribe(bytes, kind)]
    if (subscribe !== undefined) yield requests.encodeSubscribe(subscribe)
    if (unsubscribe !== undefined) yield requests.encodeUnsubscribe(unsubscribe)
  }
  const check = requests.parseCheck(bytes)
  if (check !== undefined) yield requests.encodeCheck(check)
  const head = requests.parseSetHead(bytes)
  const lists = head && requests.parseSetLists(bytes, head)
  if (head !== undefined && lists !== undefined) yield requests.encodeSet({ ...head, ...lists })
  const [notify, receive, missed] = [requests.parseNotifyPrefix(bytes), requests.parseReceivePrefix(bytes), requests.parseMissed(bytes)]
  if (notify !== 'more') yield requests.encodeNotifyPrefix(notify)
  if (receive !== 'more') yield requests.encodeReceivePrefix(receive)
  if (missed !== undefined) yield requests.encodeMissed(missed)
  const [generic, confirmMissed, answered] = [responses.parseGeneric(bytes), responses.parseConfirmMissed(bytes), responses.parseNotifyResponse(bytes)]
  if (generic !== undefined) yield responses.encodeGeneric(generic.authorization, generic.tracing)
  if (confirmMissed !== undefined) yield responses.encodeConfirmMissed(confirmMissed.authorization, confirmMissed.tracing)
  if (answered !== undefined) yield responses.encodeNotifyResponse(answered)
  const [checked, confirmed] = [responses.parseCheckResponse(bytes), responses.parseConfirmReceive(bytes)]
  if (checked !== undefined) yield responses.encodeCheckResponse(checked)
  if (confirmed !== undefined) yield responses.encodeConfirmReceive(confirmed)
}
