import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  encodeCheck, encodeMissed, encodeNotifyPrefix, encodeReceivePrefix, encodeSet, encodeSubscribe, encodeUnsubscribe, inOrder, NOTIFY_PREFIX_MAX, parseCheck, parseMissed,
  parseNotifyPrefix, parseReceivePrefix, parseReprDigest, parseSetHead, parseSetLists, parseSubscribe, parseUnsubscribe, RECEIVE_PREFIX_MAX, reprDigest,
} from '../../../src/protocol/lonelyps/requests.ts'
import { type BodyCase, hex, vectors } from './vectors.ts'

const EMPTY = Buffer.alloc(0)
const SHA512 = Buffer.alloc(64, 7)

type Fields = BodyCase['fields']
const tracingOf = (fields: Fields): Buffer => hex(fields['tracing_hex'])
const urlOf = (fields: Fields): string => fields['url'] as string
const recoveryOf = (fields: Fields): string | undefined => (fields['recovery'] as string | null) ?? undefined
const entry = (of: { topic_hex?: string; glob?: string; recovery: string | null }): { target: Buffer; recovery: string | undefined } =>
  ({ target: of.glob === undefined ? hex(of.topic_hex) : Buffer.from(of.glob), recovery: of.recovery ?? undefined })

/** By the beginning of the case's id: that it is parsed to the fields, and the fields are encoded to it. */
const bodies: Record<string, (fields: Fields, body: Buffer) => void> = {
  subscribe_(fields, body) {
    const kind = 'glob' in fields ? 'glob' : 'exact'
    const target = kind === 'glob' ? Buffer.from(fields['glob'] as string) : hex(fields['topic_hex'])
    const request = { url: urlOf(fields), target, recovery: recoveryOf(fields), tracing: tracingOf(fields) }
    assert.deepEqual(parseSubscribe(body, kind), request)
    assert.deepEqual(encodeSubscribe(request), body)
  },
  unsubscribe_(fields, body) {
    const kind = 'glob' in fields ? 'glob' : 'exact'
    const target = kind === 'glob' ? Buffer.from(fields['glob'] as string) : hex(fields['topic_hex'])
    const request = { url: urlOf(fields), target, tracing: tracingOf(fields) }
    assert.deepEqual(parseUnsubscribe(body, kind), request)
    assert.deepEqual(encodeUnsubscribe(request), body)
  },
  notify_(fields, body) {
    const message = hex(fields['message_hex'])
    const head = { topic: hex(fields['topic_hex']), sha512: hex(fields['sha512_hex']), tracing: tracingOf(fields), identifier: hex(fields['identifier_hex']), length: BigInt(message.length) }
    assert.deepEqual(parseNotifyPrefix(body), { ...head, size: body.length - message.length })
    assert.deepEqual(Buffer.concat([encodeNotifyPrefix(head), message]), body)
  },
  check_(fields, body) {
    const request = { tracing: tracingOf(fields), url: urlOf(fields) }
    assert.deepEqual(parseCheck(body), request)
    assert.deepEqual(encodeCheck(request), body)
  },
  set_(fields, body) {
    const topics = (fields['topics'] as { topic_hex: string; recovery: string | null }[]).map(entry)
    const globs = (fields['globs'] as { glob: string; recovery: string | null }[]).map(entry)
    const request = { tracing: tracingOf(fields), url: urlOf(fields), etag: hex(fields['etag_hex']) }
    const head = parseSetHead(body)
    assert.ok(head !== undefined)
    const { at: _at, ...rest } = head
    assert.deepEqual(rest, { ...request, topics: topics.length })
    assert.deepEqual(parseSetLists(body, head), { topics, globs })
    assert.deepEqual(encodeSet({ ...request, topics, globs }), body)
  },
  receive_(fields, body) {
    const message = hex(fields['message_hex'])
    const head = { tracing: tracingOf(fields), topic: hex(fields['topic_hex']), identifier: hex(fields['identifier_hex']), length: BigInt(message.length) }
    assert.deepEqual(parseReceivePrefix(body), { ...head, size: body.length - message.length })
    assert.deepEqual(Buffer.concat([encodeReceivePrefix(head), message]), body)
    const digest = parseReprDigest(fields['repr_digest'] as string)
    assert.ok(digest !== undefined)
    assert.equal(reprDigest(digest), fields['repr_digest'])
  },
  missed_(fields, body) {
    const missed = { tracing: tracingOf(fields), topic: hex(fields['topic_hex']) }
    assert.deepEqual(parseMissed(body), missed)
    assert.deepEqual(encodeMissed(missed), body)
  },
}

const requests = vectors.http_bodies.cases.filter(({ id }) => !id.startsWith('response_'))

test('there is a request body for each way of asking', () => {
  assert.deepEqual(Object.keys(bodies).filter((name) => !requests.some(({ id }) => id.startsWith(name))), [])
})

for (const { id, fields, body_hex } of requests) {
  test(`the body ${id} of the protocol document is read and written`, () => {
    const name = Object.keys(bodies).find((beginning) => id.startsWith(beginning))
    assert.ok(name !== undefined)
    bodies[name]?.(fields, hex(body_hex))
  })
}

test('extra bytes behind the last field change nothing', () => {
  const url = 'http://a'
  const request = { url, target: Buffer.from('t'), recovery: undefined, tracing: EMPTY }
  const more = (body: Buffer): Buffer => Buffer.concat([body, Buffer.from('zz')])
  assert.deepEqual(parseSubscribe(more(encodeSubscribe(request)), 'exact'), request)
  assert.deepEqual(parseCheck(more(encodeCheck({ tracing: EMPTY, url }))), { tracing: EMPTY, url })
  const set = more(encodeSet({ tracing: EMPTY, url, etag: SHA512, topics: [], globs: [] }))
  assert.deepEqual(parseSetLists(set, parseSetHead(set) ?? assert.fail()), { topics: [], globs: [] })
})

test('a url, a recovery url or a glob that is not UTF-8 is refused, a topic may be any bytes', () => {
  const [bad, good] = [Buffer.from('0001ff', 'hex'), Buffer.from('000161', 'hex')]
  const none = Buffer.from('0000', 'hex')
  assert.equal(parseSubscribe(Buffer.concat([bad, good, good, none]), 'exact'), undefined)
  assert.equal(parseSubscribe(Buffer.concat([good, good, bad, none]), 'exact'), undefined)
  assert.equal(parseSubscribe(Buffer.concat([good, bad, good, none]), 'glob'), undefined)
  assert.notEqual(parseSubscribe(Buffer.concat([good, bad, good, bad]), 'exact'), undefined)
  assert.equal(parseUnsubscribe(Buffer.concat([good, bad, none]), 'glob'), undefined)
  assert.equal(parseUnsubscribe(Buffer.concat([bad, good, none]), 'exact'), undefined)
  assert.notEqual(parseUnsubscribe(Buffer.concat([good, bad, none]), 'exact'), undefined)
  assert.equal(parseCheck(Buffer.concat([none, bad])), undefined)
})

test('a url may begin with a byte order mark, and keeps it', () => {
  const request = { tracing: EMPTY, url: '\ufeffhttp://a' }
  assert.deepEqual(parseCheck(encodeCheck(request)), request)
})

const SET = { tracing: EMPTY, url: 'http://a', etag: SHA512 }
const targets = (...names: (string | Buffer)[]): { target: Buffer; recovery: undefined }[] => names.map((name) => ({ target: Buffer.from(name), recovery: undefined }))
function lists(topics: { target: Buffer; recovery: string | undefined }[], globs: { target: Buffer; recovery: string | undefined }[]): ReturnType<typeof parseSetLists> {
  const body = encodeSet({ ...SET, topics, globs })
  return parseSetLists(body, parseSetHead(body) ?? assert.fail())
}

test('the lists of a set are strictly ascending by bytes, or refused', () => {
  assert.notEqual(lists(targets('', 'a', 'aa', 'b'), targets('\ufffd', '\u{1f600}')), undefined)
  assert.equal(lists(targets('b', 'a'), []), undefined)
  assert.equal(lists(targets('a', 'a'), []), undefined)
  assert.equal(lists(targets('', ''), []), undefined)
  assert.equal(lists([], targets('b', 'a')), undefined)
  assert.equal(lists([], targets('a', 'a')), undefined)
  // As UTF-16 these would be in order.
  assert.equal(lists([], targets('\u{1f600}', '\ufffd')), undefined)
})

test('entries are brought into the order of their bytes, in a copy', () => {
  const entries = targets('\u{1f600}', '\ufffd', 'b', '', Buffer.from([0xff]), 'aa', 'a')
  const sorted = inOrder(entries)
  assert.deepEqual(sorted, targets('', 'a', 'aa', 'b', '\ufffd', '\u{1f600}', Buffer.from([0xff])))
  assert.equal(entries[0]?.target.toString(), '\u{1f600}')
  assert.notEqual(lists(sorted, []), undefined)
})

test('a glob or a recovery url of a set that is not UTF-8 is refused, a topic may be any bytes', () => {
  assert.notEqual(lists(targets(Buffer.from([0xff])), []), undefined)
  assert.equal(lists([], targets(Buffer.from([0xff]))), undefined)
  const body = encodeSet({ ...SET, topics: [{ target: EMPTY, recovery: 'r' }], globs: [] })
  body[body.length - 5] = 0xff
  assert.equal(parseSetLists(body, parseSetHead(body) ?? assert.fail()), undefined)
})

test('an etag of another format is refused', () => {
  const body = encodeSet({ ...SET, topics: [], globs: [] })
  body[2 + 2 + 'http://a'.length] = 1
  assert.equal(parseSetHead(body), undefined)
})

test('a set that claims four billion entries costs no more than what is there', () => {
  const body = encodeSet({ ...SET, topics: targets('a'), globs: [] })
  const head = parseSetHead(body) ?? assert.fail()
  const before = process.memoryUsage().rss
  assert.equal(parseSetLists(body, { ...head, topics: 0xffff_ffff }), undefined)
  assert.ok(process.memoryUsage().rss - before < 64 * 2 ** 20)
})

test('prefixes ask for more until all of them is there, and never beyond the largest there can be', () => {
  const large = Buffer.alloc(65_535, 0xff)
  const notify = encodeNotifyPrefix({ topic: large, sha512: SHA512, tracing: large, identifier: Buffer.alloc(255), length: 2n ** 64n - 1n })
  assert.equal(notify.length, NOTIFY_PREFIX_MAX)
  assert.equal(NOTIFY_PREFIX_MAX, 131_402)
  assert.equal(parseNotifyPrefix(notify.subarray(0, -1)), 'more')
  assert.notEqual(parseNotifyPrefix(notify), 'more')
  assert.notEqual(parseNotifyPrefix(Buffer.alloc(NOTIFY_PREFIX_MAX, 0xff)), 'more')
  const receive = encodeReceivePrefix({ tracing: large, topic: large, identifier: Buffer.alloc(255), length: 1n })
  assert.equal(receive.length, RECEIVE_PREFIX_MAX)
  assert.equal(parseReceivePrefix(receive.subarray(0, -1)), 'more')
  assert.notEqual(parseReceivePrefix(Buffer.alloc(RECEIVE_PREFIX_MAX, 0xff)), 'more')
})

test('what is parsed is a view of the bytes', () => {
  const body = encodeNotifyPrefix({ topic: Buffer.from('t'), sha512: SHA512, tracing: EMPTY, identifier: Buffer.from('i'), length: 0n })
  const prefix = parseNotifyPrefix(body)
  assert.ok(prefix !== 'more')
  assert.equal(prefix.topic.buffer, body.buffer)
  assert.equal(prefix.sha512.byteOffset, body.byteOffset + 3)
})

test('what does not fit its length is not written', () => {
  const long = Buffer.alloc(65_536)
  assert.throws(() => encodeSubscribe({ url: 'u', target: long, recovery: undefined, tracing: EMPTY }), RangeError)
  assert.throws(() => encodeCheck({ tracing: EMPTY, url: 'é'.repeat(32_768) }), RangeError)
  assert.throws(() => encodeReceivePrefix({ tracing: EMPTY, topic: EMPTY, identifier: Buffer.alloc(256), length: 0n }), RangeError)
  assert.throws(() => encodeReceivePrefix({ tracing: EMPTY, topic: EMPTY, identifier: EMPTY, length: 2n ** 64n }), RangeError)
  assert.throws(() => encodeNotifyPrefix({ topic: EMPTY, sha512: SHA512.subarray(1), tracing: EMPTY, identifier: EMPTY, length: 0n }), RangeError)
  assert.throws(() => reprDigest(EMPTY), RangeError)
})

test('of a Repr-Digest the last member named exactly sha-512 counts', () => {
  const [one, two] = [reprDigest(Buffer.alloc(64, 1)), reprDigest(Buffer.alloc(64, 2))]
  assert.deepEqual(parseReprDigest(`${one},${two}`), Buffer.alloc(64, 2))
  assert.deepEqual(parseReprDigest(`sha-256=abc,${one},x`), Buffer.alloc(64, 1))
  assert.deepEqual(parseReprDigest(`${one}, ${two}`), Buffer.alloc(64, 1))
  assert.deepEqual(parseReprDigest(one.replaceAll('=', '').replace('sha-512', 'sha-512=')), Buffer.alloc(64, 1))
  for (const none of [undefined, '', ',', 'sha-512', 'sha-512=', `x${one}`, ` ${one}`, one.replace('sha', 'SHA'), one.replace('=', '=:'), one.replace('AQ', '_Q'), one.slice(0, -8), `${one},sha-512=?`]) {
    assert.equal(parseReprDigest(none), undefined, `${none}`)
  }
})
