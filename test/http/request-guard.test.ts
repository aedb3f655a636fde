import assert from 'node:assert/strict'
import { METHODS } from 'node:http'
import { test } from 'node:test'
import { createRequestGuard } from '../../src/http/request-guard.ts'
import { createSeededRandom, type SeededRandom } from '../../src/testing/index.ts'
import { exchange } from '../support/raw.ts'
import { startServer } from '../support/server.ts'

const KNOWN: ReadonlySet<string> = new Set(METHODS)

interface Verdict {
  /** What went on to the parser, as one text with a sign for each byte. */
  readonly passed: string
  readonly status: number | undefined
}

/** Feeds a stream cut at these places. */
function feed(stream: string, cuts: readonly number[] = [], maxHead = 16_384): Verdict {
  const guard = createRequestGuard(maxHead, KNOWN)
  let passed = ''
  let from = 0
  for (const to of [...cuts, stream.length]) {
    const given = guard.feed(Buffer.from(stream.slice(from, to), 'latin1'))
    if (typeof given === 'number') return { passed, status: given }
    passed += given.toString('latin1')
    from = to
  }
  return { passed, status: undefined }
}

const everywhere = (stream: string): number[] => Array.from({ length: stream.length - 1 }, (_, i) => i + 1)

/** The stream is passed on like this, in one piece and byte by byte. */
function passes(stream: string, expected = stream): void {
  assert.deepEqual(feed(stream), { passed: expected, status: undefined })
  assert.deepEqual(feed(stream, everywhere(stream)), { passed: expected, status: undefined })
}

function refuses(stream: string, status: number): void {
  assert.equal(feed(stream).status, status, JSON.stringify(stream))
  assert.equal(feed(stream, everywhere(stream)).status, status, `${JSON.stringify(stream)} byte by byte`)
}

const GET = 'GET /a HTTP/1.1\r\nHost: hub\r\n\r\n'
const BAD = 'GET  /a HTTP/1.1\r\nHost: hub\r\n\r\n'
/** Bytes that would be changed or refused in a request line. */
const WILD = '\xff\x00GET  /\xe9 \r\n\r\n\xc3\xa9 HTTP/1.1\r\n'
const sized = (body: string): string => `POST /a HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`
const chunked = (...chunks: string[]): string =>
  `POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${[...chunks, ''].map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}${chunk === '' ? '' : '\r\n'}`).join('')}\r\n`

test('what is in order passes as it is', () => {
  passes(GET)
  passes('OPTIONS * HTTP/1.1\r\nHost: hub\r\n\r\n')
  passes('GET http://hub/a HTTP/1.1\r\nHost: hub\r\n\r\n')
  passes('M-SEARCH /a HTTP/1.0\r\n\r\n')
  passes('GET / HTTP/1.1\r\n\r\n')
  passes(`\r\n${GET}\r\n\r\n${GET}`)
})

const badLines: [what: string, line: string, status: number][] = [
  ['two blanks before the target', 'GET  /a HTTP/1.1\r\n', 400],
  ['two blanks behind the target', 'GET /a  HTTP/1.1\r\n', 400],
  ['a blank at the beginning', ' GET /a HTTP/1.1\r\n', 400],
  ['a blank at the end', 'GET /a HTTP/1.1 \r\n', 400],
  ['a blank in the target', 'GET /a b HTTP/1.1\r\n', 400],
  ['a tab for a blank', 'GET\t/a HTTP/1.1\r\n', 400],
  ['a tab at the end', 'GET /a HTTP/1.1\t\r\n', 400],
  ['a carriage return too many', 'GET /a HTTP/1.1\r\r\n', 400],
  ['a line feed alone', 'GET /a HTTP/1.1\n', 400],
  ['a blank for the carriage return', 'GET /a HTTP/1.1 \n', 400],
  ['no version', 'GET /a\r\n', 400],
  ['no target', 'GET HTTP/1.1\r\n', 400],
  ['nothing for a target', 'GET  HTTP/1.1\r\n', 400],
  ['a version of three parts', 'GET /a HTTP/1.1.1\r\n', 400],
  ['another protocol', 'GET /a HTPP/1.1\r\n', 400],
  ['small letters for HTTP', 'GET /a http/1.1\r\n', 400],
  ['a raw byte in the method', 'G\xcbT /a HTTP/1.1\r\n', 400],
  ['a raw byte in the version', 'GET /a HTTP/1.1\xa0\r\n', 400],
  ['a colon in the method', 'GE:T /a HTTP/1.1\r\n', 400],
  ['a method that nobody knows', 'FROB /a HTTP/1.1\r\n', 405],
  ['a method in small letters', 'get /a HTTP/1.1\r\n', 405],
]

for (const [what, line, status] of badLines) {
  test(`a request line with ${what} is refused with ${status}, first on a connection or behind others`, () => {
    refuses(`${line}Host: hub\r\n\r\n`, status)
    refuses(`${GET}${line}Host: hub\r\n\r\n`, status)
    refuses(`${sized('hello')}${line}Host: hub\r\n\r\n`, status)
    refuses(`${chunked('hello', 'you')}${line}Host: hub\r\n\r\n`, status)
  })
}

test('raw bytes in a target are percent-encoded, each by itself, and nothing else is changed', () => {
  passes('GET /caf\xc3\xa9?q=\xff&p=%C3 HTTP/1.1\r\nX: caf\xc3\xa9\r\n\r\n', 'GET /caf%C3%A9?q=%FF&p=%C3 HTTP/1.1\r\nX: caf\xc3\xa9\r\n\r\n')
  passes(`${sized('\xc3\xa9')}GET /\x80 HTTP/1.1\r\n\r\n${sized('\xff')}`, `${sized('\xc3\xa9')}GET /%80 HTTP/1.1\r\n\r\n${sized('\xff')}`)
})

test('a body is never touched, whatever is in it, and the request behind it is seen', () => {
  for (const body of [WILD, '', 'x', '\r\n\r\n', BAD, WILD.repeat(100)]) {
    passes(sized(body) + GET)
    refuses(sized(body) + BAD, 400)
    passes(chunked(body) + GET)
    refuses(chunked(body) + BAD, 400)
  }
  passes(chunked(WILD, BAD, 'x', WILD) + GET)
})

test('chunk extensions and trailers are passed over', () => {
  const head = 'POST /a HTTP/1.1\r\ntransfer-encoding:chunked\r\n\r\n'
  passes(`${head}5;name=value\r\nhello\r\n0\r\nTrailer: GET  / HTTP/1.1\r\nOther: \xff\r\n\r\n${GET}`)
  refuses(`${head}5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n${BAD}`, 400)
  passes(`${head}00000a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n${GET}`)
})

test('where the end of a chunk cannot be read, nothing behind it is passed on unseen', () => {
  const head = 'POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n'
  for (const [good, bad] of [['', 'zz\r\n'], ['', '\r\n'], ['5\r\n', 'helloX\r\n'], ['5\r\n', 'hello!!\r\n']] as const) {
    const { passed, status } = feed(`${head}${good}${bad}${BAD}`)
    assert.deepEqual([passed, status], [head + good + bad, undefined], 'the parser is to see, and to say, what is wrong')
    assert.equal(feed(`${head}${good}${bad}${BAD}`, [head.length + good.length + bad.length]).status, 400)
  }
})

test('a line feed alone ends no chunk line, though the parser would take it', () => {
  const head = 'POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n'
  for (const body of ['5\nhello\r\n0\r\n\r\n', '5\r\nhello\n0\r\n\r\n', '5\r\nhello\r\n0\n\r\n', '0\r\n\n', '0\r\nA: b\n\r\n']) refuses(`${head}${body}${GET}`, 400)
})

test('a length that cannot be read is left to the parser, and nothing behind it is passed on', () => {
  for (const value of ['x', '', '-5', '5, 5', '0x5', '5 5']) {
    const head = `POST /a HTTP/1.1\r\nContent-Length: ${value}\r\n\r\n`
    assert.deepEqual(feed(head + BAD), { passed: head, status: undefined })
  }
})

test('what follows a request for an upgrade in the same read is another protocol, and is not touched', () => {
  const upgrade = 'GET /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
  for (const behind of [WILD, BAD, GET]) {
    assert.deepEqual(feed(upgrade + behind), { passed: upgrade + behind, status: undefined })
    const guard = createRequestGuard(16_384, KNOWN)
    guard.feed(Buffer.from(upgrade + behind, 'latin1'))
    assert.equal(guard.unsure, true)
    const later = Buffer.from(BAD, 'latin1')
    assert.equal(guard.feed(later), later)
  }
})

test('when nothing followed it and HTTP goes on, the next request is watched like any other', () => {
  const upgrade = 'GET /a HTTP/1.1\r\nUpgrade: websocket\r\n\r\n'
  const guard = createRequestGuard(16_384, KNOWN)
  guard.feed(Buffer.from(upgrade))
  assert.equal(guard.unsure, false)
  assert.equal(feed(upgrade + BAD, [upgrade.length]).status, 400)
  assert.deepEqual(feed(upgrade + GET, [upgrade.length]), { passed: upgrade + GET, status: undefined })
})

test('a body behind a request for an upgrade belongs to the request', () => {
  refuses(`POST /a HTTP/1.1\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n\xff\xff${BAD}`, 400)
})

test('a head is bounded in all, the request line counted in, and a chunk line by itself', () => {
  const line = 'GET /a HTTP/1.1\r\n'
  const field = (size: number): string => `X: ${'x'.repeat(size - 5)}\r\n`
  passesWithin(100, `${line}${field(100 - line.length - 2)}\r\n`)
  refusesWithin(100, `${line}${field(101 - line.length - 2)}\r\n`, 431)
  refusesWithin(100, `GET /${'x'.repeat(200)} HTTP/1.1\r\n\r\n`, 431)
  refusesWithin(100, `${GET.repeat(50)}GET /${'x'.repeat(200)}`, 431)
  passesWithin(100, sized('x'.repeat(5_000)) + GET)
  refusesWithin(100, `POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(200)}\r\n`, 400)

  function passesWithin(max: number, stream: string): void {
    assert.deepEqual(feed(stream, [], max), { passed: stream, status: undefined })
    assert.deepEqual(feed(stream, everywhere(stream), max), { passed: stream, status: undefined })
  }
  function refusesWithin(max: number, stream: string, status: number): void {
    assert.equal(feed(stream, [], max).status, status)
    assert.equal(feed(stream, everywhere(stream), max).status, status)
  }
})

/** Streams of requests, good ones and, now and then, one that is not. */
function generate(random: SeededRandom): string {
  const bytes = (): string => Array.from({ length: random.below(40) }, () => random.pick([...'\r\n \xff\xc3\xa9G0aHTTP/1.1'])).join('')
  const fields = (): string => Array.from({ length: random.below(3) }, () => random.pick(['Host: hub\r\n', 'X: \xff \t\r\n', 'A:\r\n', 'x-content-length: 9\r\n'])).join('')
  const target = (): string => random.pick(['/', '/a/b?c', '/caf\xc3\xa9', '*', '/\xff'])
  const requests = Array.from({ length: 1 + random.below(5) }, (_, i) => {
    const blanks = random.below(4) === 0 ? random.pick(['\r\n', '\r\n\r\n', '\n', '\r']) : ''
    const first = `${blanks}${random.pick(['GET', 'POST', 'PUT'])} ${target()} HTTP/1.1\r\n${fields()}`
    if (i > 0 && random.below(12) === 0) return random.pick([BAD, `GET / HTTP/1.1\n${fields()}\r\n`, 'nonsense\r\n\r\n', 'FROB / HTTP/1.1\r\n\r\n'])
    switch (random.below(3)) {
      case 0: return `${first}\r\n`
      case 1: {
        const body = bytes()
        return `${first}Content-Length:${random.pick(['', ' ', '\t '])}${body.length}\r\n${fields()}\r\n${body}`
      }
      default: {
        const chunks = Array.from({ length: random.below(3) }, bytes).filter((chunk) => chunk !== '')
        const coded = chunks.map((chunk) => `${chunk.length.toString(16)}${random.pick(['', ';x=1'])}\r\n${chunk}\r\n`).join('')
        return `${first}Transfer-Encoding: chunked\r\n\r\n${coded}0\r\n${random.pick(['', 'T: v\r\n'])}\r\n`
      }
    }
  })
  return requests.join('')
}

test('however a stream is cut, byte by byte or anyhow, the outcome is that of the whole', () => {
  const random = createSeededRandom(11)
  const tally = { refused: 0, passed: 0 }
  for (let i = 0; i < 3_000; i++) {
    const stream = generate(random)
    const whole = feed(stream)
    const places = everywhere(stream).filter(() => random.below(9) === 0)
    for (const cuts of [everywhere(stream), places, places.slice(0, 1)]) {
      const cut = feed(stream, cuts)
      assert.equal(cut.status, whole.status, `stream ${i}: ${JSON.stringify(stream)}`)
      if (whole.status === undefined) assert.equal(cut.passed, whole.passed, `stream ${i}: ${JSON.stringify(stream)}`)
    }
    tally[whole.status === undefined ? 'passed' : 'refused']++
  }
  assert.ok(tally.passed > 1_000 && tally.refused > 300, JSON.stringify(tally))
})

test('a read that holds nothing of a target to be encoded is passed on without a copy', () => {
  const guard = createRequestGuard(16_384, KNOWN)
  const chunk = Buffer.from(GET + sized(WILD), 'latin1')
  assert.equal(guard.feed(chunk), chunk)
})

test('on a real port, what stands behind a chunk that ends in a line feed alone is not served', async (t) => {
  const { port } = await startServer(t)
  const answer = await exchange(t, port, 'POST /a HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\nGET  /_/healthz HTTP/1.1\r\nHost: hub\r\n\r\n')
  assert.match(answer, /^HTTP\/1\.1 400 /)
  assert.equal(answer.match(/^HTTP\//gm)?.length, 1)
})
