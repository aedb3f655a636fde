import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readQuickRequest } from '../../src/http/quick-request.ts'

const read = (text: string, from = 0, maxHead = 1_000): ReturnType<typeof readQuickRequest> => readQuickRequest(Buffer.from(text, 'latin1'), from, maxHead)
const head = (fields: string, line = 'POST /a/b-c_d~e.f HTTP/1.1'): string => `${line}\r\n${fields}\r\n`
const SIMPLE = `${head('Host: h\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: keep-alive\r\nContent-Length: 5\r\n')}hello`

test('a simple request is read where it stands, whatever follows it', () => {
  assert.deepEqual(read(`xx${SIMPLE}junk`, 2), {
    target: '/a/b-c_d~e.f',
    headers: { host: 'h', 'content-length': '5', 'content-type': 'text/plain; charset=utf-8', connection: 'keep-alive' },
    bodyAt: SIMPLE.length - 5 + 2,
    end: SIMPLE.length + 2,
  })
})

test('names are known in any case', () => {
  const found = read(`${head('hOST: a:1\r\nCONTENT-LENGTH: 1\r\nSec-Fetch-MODE: cors\r\n')}x`)
  assert.deepEqual(typeof found === 'object' && found.headers, { host: 'a:1', 'content-length': '1', 'sec-fetch-mode': 'cors' })
})

test('what a proxy says of its client is among the headers', () => {
  const said = { 'x-forwarded-for': '10.0.0.1, ::1', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'a', 'x-real-ip': '10.0.0.1' }
  const found = read(`${head(`Host: h\r\nContent-Length: 1\r\n${Object.entries(said).map(([name, value]) => `${name}: ${value}\r\n`).join('')}`)}x`)
  assert.deepEqual(typeof found === 'object' && found.headers, { host: 'h', 'content-length': '1', ...said })
})

test('a request that ends before it is whole is cut, or left to others where its framing is', () => {
  for (let length = 0; length < SIMPLE.length; length++) {
    const found = read(SIMPLE.slice(0, length))
    const inValue = (name: string): boolean => length >= SIMPLE.indexOf(`${name}: `) + name.length + 2 && length <= SIMPLE.indexOf('\r\n', SIMPLE.indexOf(`${name}: `))
    assert.equal(found, inValue('Connection') || inValue('Content-Length') ? 'other' : 'cut', `${length} bytes`)
  }
})

test('what is longer than a head may be is not taken, whole or cut', () => {
  const size = SIMPLE.length - 5
  assert.equal(typeof read(SIMPLE, 0, size), 'object')
  assert.equal(read(SIMPLE, 0, size - 1), 'other')
  assert.equal(read(SIMPLE.slice(0, 50), 0, 51), 'cut')
  assert.equal(read(SIMPLE.slice(0, 50), 0, 50), 'other')
})

const FIELDS = 'Host: h\r\nContent-Length: 5\r\n'
const LEFT: Record<string, string> = {
  'another method': head(FIELDS, 'PUT /a HTTP/1.1'),
  'a method in lower case': head(FIELDS, 'post /a HTTP/1.1'),
  'another version': head(FIELDS, 'POST /a HTTP/1.0'),
  'two blanks': head(FIELDS, 'POST  /a HTTP/1.1'),
  'two blanks behind the target': head(FIELDS, 'POST /a  HTTP/1.1'),
  'a blank at the end of the line': head(FIELDS, 'POST /a HTTP/1.1 '),
  'a line end before the request': `\r\n${head(FIELDS)}`,
  'a line feed alone behind the line': head(FIELDS).replace('\r\n', '\n'),
  'a line feed alone behind a field': head('Host: h\nContent-Length: 5\r\n'),
  'a line feed alone behind the head': `POST /a HTTP/1.1\r\n${FIELDS}\n`,
  'a carriage return alone behind a field': head('Host: h\rContent-Length: 5\r\n'),
  'a query': head(FIELDS, 'POST /a?b HTTP/1.1'),
  'a percent sign': head(FIELDS, 'POST /a%41 HTTP/1.1'),
  'a fragment': head(FIELDS, 'POST /a#b HTTP/1.1'),
  'two slashes': head(FIELDS, 'POST //a HTTP/1.1'),
  'a slash at the end': head(FIELDS, 'POST /a/ HTTP/1.1'),
  'a dot segment': head(FIELDS, 'POST /a/../b HTTP/1.1'),
  'no name': head(FIELDS, 'POST / HTTP/1.1'),
  'an absolute target': head(FIELDS, 'POST http://h/a HTTP/1.1'),
  'no Host': head('Content-Length: 5\r\n'),
  'no length': head('Host: h\r\n'),
  'Host twice': head(`Host: h\r\n${FIELDS}`),
  'Content-Length twice': head(`content-length: 5\r\n${FIELDS}`),
  'a length of nothing': head('Host: h\r\nContent-Length: 0\r\n'),
  'a length with a zero before it': head('Host: h\r\nContent-Length: 05\r\n'),
  'a length with a sign': head('Host: h\r\nContent-Length: +5\r\n'),
  'a hexadecimal length': head('Host: h\r\nContent-Length: 0x5\r\n'),
  'a list of lengths': head('Host: h\r\nContent-Length: 5, 5\r\n'),
  'a length of sixteen digits': head('Host: h\r\nContent-Length: 1000000000000000\r\n'),
  'Transfer-Encoding': head(`${FIELDS}Transfer-Encoding: chunked\r\n`),
  'Upgrade': head(`${FIELDS}Upgrade: h2c\r\n`),
  'Expect': head(`${FIELDS}Expect: 100-continue\r\n`),
  'Authorization': head(`${FIELDS}Authorization: Bearer x\r\n`),
  'Origin': head(`${FIELDS}Origin: https://a.example\r\n`),
  'X-Forwarded-For twice': head(`${FIELDS}X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n`),
  'Forwarded': head(`${FIELDS}Forwarded: for=10.0.0.1\r\n`),
  'Via': head(`${FIELDS}Via: 1.1 x\r\n`),
  'Waystation-Hub': head(`${FIELDS}Waystation-Hub: x\r\n`),
  'a connection that is to end': head(`${FIELDS}Connection: close\r\n`),
  'a list of connection options': head(`${FIELDS}Connection: keep-alive, x\r\n`),
  'no blank behind the colon': head(`${FIELDS}Accept:x\r\n`),
  'two blanks behind the colon': head(`${FIELDS}Accept:  x\r\n`),
  'a tab behind the colon': head(`${FIELDS}Accept:\tx\r\n`),
  'a blank before the colon': head(`${FIELDS}Accept : x\r\n`),
  'a blank at the end of a value': head(`${FIELDS}Accept: x \r\n`),
  'two blanks in a value': head(`${FIELDS}Accept: x  y\r\n`),
  'a tab in a value': head(`${FIELDS}Accept: x\ty\r\n`),
  'an empty value': head(`${FIELDS}Accept: \r\n`),
  'a folded line': head(`${FIELDS}Accept: x\r\n y\r\n`),
  'a NUL in a value': head(`${FIELDS}Accept: x\0y\r\n`),
  'a raw byte in a value': head(`${FIELDS}Accept: x\xffy\r\n`),
  'DEL in a value': head(`${FIELDS}Accept: x\x7fy\r\n`),
  'a field without a colon': head(`${FIELDS}garbage\r\n`),
  'a field without a name': head(`${FIELDS}: x\r\n`),
}

test('whatever is not exactly that is left to others', () => {
  assert.equal(typeof read(`${head(FIELDS)}hello`), 'object')
  for (const [what, text] of Object.entries(LEFT)) assert.equal(read(`${text}hello`), 'other', what)
})

test('no request is read otherwise because the next byte is missing', () => {
  for (const [what, text] of Object.entries(LEFT)) {
    for (let length = 0; length < text.length; length++) assert.equal(typeof read(text.slice(0, length)), 'string', `${what}, ${length} bytes`)
  }
})
