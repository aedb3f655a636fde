import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drawSnapshot } from '../../src/cli/attach-view.ts'
import { fitted, printable } from '../../src/cli/printable.ts'
import type { Snapshot } from '../../src/server/control-messages.ts'

const SNAPSHOT: Snapshot = {
  type: 'snapshot', pid: 42, pidSpace: null, version: '1.2.3', since: '2026-01-01T00:00:00.000Z', time: '2026-01-01T02:03:04.000Z', address: 'http://127.0.0.1:8081', stopping: false, drainTime: 5_000,
  connections: { pinghub: 3, sse: 2 }, links: [], services: [], database: 'available', rates: { in: 12, out: 36.5 }, webhooks: { registrations: 7, running: 1, waiting: 0 },
  topics: [{ topic: 'news/eu', rate: 11.5, subscribers: 3 }, { topic: 'a\x1b[31mb', rate: 0.5, subscribers: 0 }],
  log: ['{"level":30,"time":"2026-01-01T02:03:03.000Z","url":"http://x","msg":"the hub listens"}', '{"level":40,"time":"2026-01-01T02:03:04.000Z","topic":"\\u001b]0;x\\u0007","msg":"a slow consumer was let go"}', 'no JSON \x1b[2J'],
}
const WIDE = { columns: 100, rows: 40, colour: 'no' } as const

test('a snapshot is drawn whole where there is room', () => {
  assert.deepEqual(drawSnapshot(SNAPSHOT, WIDE), [
    'Waystation 1.2.3 on http://127.0.0.1:8081',
    'pid 42  up 2 h 3 min  database available',
    'connections  5  (pinghub 3  sse 2)',
    'messages/s   in 12.0  out 36.5',
    'webhooks     registered 7  running 1  waiting 0',
    '',
    '     MSG/S  SUBSCRIBERS  TOPIC',
    '      11.5            3  news/eu',
    '       0.5            0  a\\x1b[31mb',
    '',
    'LOG',
    '02:03:03 info  the hub listens url=http://x',
    '02:03:04 warn  a slow consumer was let go topic=\\x1b]0;x\\x07',
    'no JSON \\x1b[2J',
  ])
})

test('links that this hub takes by are in it, those that are down as an alarm', () => {
  const links: Snapshot['links'] = [{ name: '10.0.0.5:5555', state: 'up' }, { name: '10.0.0.6:5555', state: 'down', why: 'connect \x1b ECONNREFUSED' }]
  assert.deepEqual(drawSnapshot({ ...SNAPSHOT, links }, WIDE).slice(4, 7), [
    'webhooks     registered 7  running 1  waiting 0',
    'links        1 of 2 up  10.0.0.6:5555: connect \\x1b ECONNREFUSED',
    '',
  ])
  const coloured = drawSnapshot({ ...SNAPSHOT, links }, { ...WIDE, colour: 'yes' })
  assert.ok(coloured[5]?.startsWith('\x1b[31mlinks '))
  assert.equal(drawSnapshot({ ...SNAPSHOT, links: links.slice(0, 1) }, WIDE)[5], 'links        1 of 1 up')
})

test('it fits every size of terminal, the newest log lines and the busiest topics last to go', () => {
  const busy: Snapshot = { ...SNAPSHOT, topics: Array.from({ length: 20 }, (_, i) => ({ topic: `topic-${i}-日本語`.repeat(20), rate: 20 - i, subscribers: i })), log: Array.from({ length: 50 }, (_, i) => `line ${i} ${'x'.repeat(i * 10)}`) }
  for (let columns = 0; columns <= 120; columns += 3) {
    for (let rows = 0; rows <= 60; rows += 4) {
      const lines = drawSnapshot(busy, { columns, rows, colour: 'no' })
      assert.ok(lines.length <= rows)
      for (const line of lines) assert.ok(columnsOf(line) <= columns, `${columns} columns: ${line}`)
    }
  }
  const small = drawSnapshot(busy, { columns: 60, rows: 20, colour: 'no' })
  assert.equal(small.length, 20)
  assert.match(small[7] as string, /topic-0-/)
  assert.match(small.at(-1) as string, /^line 49 x+…$/)
  assert.equal(small.filter((line) => line.startsWith('line ')).length, 5)
})

/** Counted in another way than the code does: no sign in these lines but the three is wide. */
function columnsOf(line: string): number {
  return line.length + (line.match(/[日本語]/g)?.length ?? 0)
}

test('colours are the only thing in it that a terminal obeys, and there are none without leave', () => {
  const [codes, none] = (['yes', 'no'] as const).map((colour) => drawSnapshot({ ...SNAPSHOT, database: 'unavailable' }, { ...WIDE, colour }).join('\n'))
  // oxlint-disable-next-line no-control-regex
  assert.deepEqual(new Set(codes?.match(/\x1b\[\d*m/g)), new Set(['\x1b[1m', '\x1b[0m', '\x1b[31m', '\x1b[2m']))
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(codes?.replace(/\x1b\[[0-3]*m/g, '') ?? '', /[\x00-\x09\x0b-\x1f\x7f-\x9f]/)
  assert.ok(!none?.includes('\x1b'))
})

test('text that a terminal would obey, or that would hide what it says, is written as an escape', () => {
  assert.equal(printable('\x00\x07\r\n\x1b\x7f\x9b'), '\\x00\\x07\\x0d\\x0a\\x1b\\x7f\\x9b')
  assert.equal(printable('a\u202eb\u200bc\u2028\ufeff\ue000'), 'a\\u{202e}b\\u{200b}c\\u{2028}\\u{feff}\\u{e000}')
  // A topic that is no text, and half of a pair.
  assert.equal(printable('x\udcff\udc80\ud83d'), 'x\\xff\\x80\\u{d83d}')
  assert.equal(printable('é ñ 日本 😀 नमस्ते'), 'é ñ 日本 😀 नमस्ते')
  assert.equal(printable(`e${'\u0301'.repeat(5)}`), 'e\u0301\u0301\\u{301}\\u{301}\\u{301}')
})

test('a text is cut at the column, never in the middle of a sign or an escape', () => {
  assert.equal(fitted('abcdef', 6), 'abcdef')
  assert.equal(fitted('abcdefg', 6), 'abcde…')
  assert.equal(fitted('日本語', 5), '日本…')
  assert.equal(fitted('日本語', 4), '日…')
  assert.equal(fitted('ab\x1bc', 5), 'ab…')
  assert.equal(fitted('abc', 1), '…')
  assert.equal(fitted('abc', 0), '')
})
