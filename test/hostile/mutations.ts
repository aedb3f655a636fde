import type { SeededRandom } from '../../src/testing/seeded-random.ts'
import { clientFrame, handshake } from '../support/raw.ts'
import { request } from '../support/responses.ts'

/** Whole conversations without flaw, to be spoiled. */
export const HTTP: readonly Buffer[] = [
  request('GET /_/healthz'),
  request('GET /a'),
  request('GET /%F0%9F%98%80//../b?x=y'),
  request('POST /a', { body: 'hello' }),
  request('POST /a', { headers: { 'Transfer-Encoding': 'chunked' } }) + '5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n',
  request('POST /a', { headers: { Expect: '100-continue' }, body: 'hello' }),
  request('GET /a', { headers: { Accept: 'text/event-stream', 'Last-Event-ID': 'abc:1' } }),
  request('GET /_/sse?topic=a*&topic=%5Ba-c%5D**/b&format=json'),
  request('OPTIONS /a', { headers: { Origin: 'https://a.example', 'Access-Control-Request-Method': 'POST' } }),
  request('GET http://hub/a', { version: '1.0' }),
  request('POST /a', { body: 'x'.repeat(3_000) }) + request('GET /_/healthz') + request('GET /b'),
  request('GET /a', { headers: { Connection: 'Upgrade', Upgrade: 'h2c' } }) + request('GET /a'),
].map((text) => Buffer.from(text, 'latin1'))

export const WEBSOCKET: readonly Buffer[] = [
  [clientFrame(1, 'hello'), clientFrame(2, 'bytes'), clientFrame(8, Buffer.from([3, 232]))],
  [clientFrame(1, 'one ', { fin: false }), clientFrame(9, 'ping'), clientFrame(0, 'two', { fin: false }), clientFrame(0, '')],
  [clientFrame(10, 'pong'), clientFrame(1, 'x'.repeat(200)), clientFrame(1, ''), clientFrame(8, Buffer.from('\x03\xe8bye', 'latin1'))],
  [clientFrame(1, 'y'.repeat(66_000))],
].flatMap((frames) => ['/a', '/b?format=json', '/a?since=abc:1'].map((path) => Buffer.concat([Buffer.from(handshake(path)), ...frames])))

const TOKENS = [
  '\r\n', '\n', '\r', '\0', ' ', '  ', '\t', ':', ';', ',', '%', '%0d%0a', '%00', '//', '/../', '?', '#', '\xff', '\x7f', '\x80',
  'Content-Length: 5\r\n', 'Content-Length: -1\r\n', 'Content-Length: 99999999999999999999\r\n', 'Transfer-Encoding: chunked\r\n', 'Transfer-Encoding: x\r\n',
  'Upgrade: websocket\r\nConnection: Upgrade\r\n', 'Host: h\r\n', 'Connection: close\r\n', 'Expect: 100-continue\r\n', 'HTTP/2.0', 'CONNECT ', 'Accept: text/event-stream\r\n',
  '0\r\n\r\n', 'ffffffff\r\n', '\x81\x80', '\x88\x02\x03\xe8', '\x89\x7f\xff\xff\xff\xff\xff\xff\xff\xff', '\x01\xfe\xff\xff', 'x'.repeat(20_000),
].map((text) => Buffer.from(text, 'latin1'))

/** The conversation with one to six things wrong in it; in half of them the first head is left whole. */
export function mutate(random: SeededRandom, corpus: readonly Buffer[]): Buffer {
  const whole = random.pick(corpus)
  const from = random.below(2) === 0 ? 0 : whole.indexOf('\r\n\r\n') + 4
  let bytes = whole.subarray(from)
  for (let left = 1 + random.below(6); left > 0; left--) bytes = once(random, bytes, corpus)
  return Buffer.concat([whole.subarray(0, from), bytes])
}

function once(random: SeededRandom, bytes: Buffer, corpus: readonly Buffer[]): Buffer {
  const at = random.below(bytes.length + 1)
  const end = Math.min(bytes.length, at + 1 + random.below(40))
  const [before, middle, after] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)]
  switch (random.below(7)) {
    case 0: return Buffer.concat([before, Buffer.from(middle.map((byte) => byte ^ (1 << random.below(8)))), after])
    case 1: return Buffer.concat([before, after])
    case 2: return Buffer.concat([before, middle, middle, after])
    case 3: return Buffer.concat([before, random.pick(TOKENS), middle, after])
    case 4: return Buffer.concat([before, Buffer.from(Array.from({ length: 1 + random.below(30) }, () => random.below(256))), after])
    case 5: return Buffer.concat([before, random.pick(corpus).subarray(random.below(60))])
    default: return before
  }
}
