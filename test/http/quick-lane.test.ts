import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { createQuickLane, type QuickLane } from '../../src/http/quick-lane.ts'
import { buffersUsed } from '../support/memory.ts'

const SIMPLE = 'POST /abc HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello'

test('what is remembered of a connection keeps no more memory than its own, however long the connection lives', async () => {
  const opens = createQuickLane({ asked: (head) => head.url, quick: () => ({ status: 200, text: 'OK\n', headers: {} }) }, { maxHeaderBytes: 1_024, keepAliveTimeout: 1_000 })
  const lanes: QuickLane[] = []
  const before = await buffersUsed()
  for (let i = 0; i < 200; i++) {
    const lane = opens(new Duplex({ decodeStrings: false, read() {}, write: (_chunk, _encoding, done) => done() }) as Socket)
    assert.equal(lane(Buffer.from(SIMPLE)), undefined)
    lanes.push(lane)
    // What others do meanwhile with the pool for small buffers.
    for (let j = 0; j < 4; j++) Buffer.allocUnsafe(20_000)
  }
  const kept = await buffersUsed() - before
  assert.ok(kept < 1_000_000, `${lanes.length} connections keep ${kept} bytes`)
})
