import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OPCODE } from '../support/frames.ts'
import { clientFrame } from '../support/raw.ts'
import { openInMemory } from '../support/websocket-pair.ts'

/*
 * The cases of the Autobahn test suite, as far as a server without extensions has them, over one connection each that
 * sends back what it gets. Each comes in one piece, in pieces and, where it is short, byte by byte.
 */
const { continuation, text, binary, close, ping, pong } = OPCODE
const begin = { fin: false }

function goodbye(code: number, reason: string | Uint8Array = ''): Buffer {
  return clientFrame(close, Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason as string)]))
}
function letters(size: number): string {
  return '*'.repeat(size)
}
function shown(opcode: number, size: number): string {
  return `${opcode}:${size > 125 ? `${size} bytes` : letters(size)}`
}
/** A message in frames of so many bytes. */
function fragmented(opcode: number, payload: Buffer, size: number): Buffer[] {
  const frames: Buffer[] = []
  for (let at = 0; at < payload.length; at += size) {
    frames.push(clientFrame(at === 0 ? opcode : continuation, payload.subarray(at, at + size), { fin: at + size >= payload.length }))
  }
  return frames
}

const BYE = goodbye(1000)
const MIXED = 'Hello-µ@ßöäüàá-UTF-8!!'
const KOSME = 'κόσμε'

/** What is sent, and what comes back. */
const CASES: Record<string, [sent: Buffer[], came: string[]]> = {
  ...Object.fromEntries([0, 125, 126, 127, 128, 65_535, 65_536].flatMap((size) => ([[1, text], [2, binary]] as const).map(([group, opcode]) => [
    `1.${group} a message of ${size} bytes`, [[clientFrame(opcode, letters(size)), BYE], [shown(opcode, size), '8:1000']],
  ]))),
  '2.1 a ping without a payload': [[clientFrame(ping, ''), BYE], ['10:', '8:1000']],
  '2.2 a ping': [[clientFrame(ping, 'Hello, world!'), BYE], ['10:Hello, world!', '8:1000']],
  '2.3 a ping of bytes that are no text': [[clientFrame(ping, Uint8Array.of(0, 0xff, 0xfe)), BYE], [`10:${Buffer.of(0, 0xff, 0xfe).toString()}`, '8:1000']],
  '2.4 a ping of 125 bytes': [[clientFrame(ping, letters(125)), BYE], [`10:${letters(125)}`, '8:1000']],
  '2.5 a ping of 126 bytes': [[clientFrame(ping, letters(126))], ['8:1002']],
  '2.7 a pong that nobody asked for': [[clientFrame(pong, ''), BYE], ['8:1000']],
  '2.8 the same with a payload': [[clientFrame(pong, 'unasked'), BYE], ['8:1000']],
  '2.9 a pong that nobody asked for, and a ping': [[clientFrame(pong, 'unasked'), clientFrame(ping, 'p'), BYE], ['10:p', '8:1000']],
  '2.10 ten pings': [[...Array.from({ length: 10 }, (_, i) => clientFrame(ping, `payload ${i}`)), BYE], [...Array.from({ length: 10 }, (_, i) => `10:payload ${i}`), '8:1000']],
  ...Object.fromEntries([[1, 1], [5, 5], [7, 7]].map(([at, rsv]) => [`3.${at} reserved bits ${rsv}`, [[clientFrame(text, 'Hello', { rsv: rsv as number })], ['8:1002']]])),
  '3.2 a message, and one with a reserved bit, and a ping': [[clientFrame(text, 'first'), clientFrame(text, 'second', { rsv: 2 }), clientFrame(ping, '')], ['1:first', '8:1002']],
  '3.6 a binary message with reserved bits': [[clientFrame(binary, 'Hello', { rsv: 6 })], ['8:1002']],
  ...Object.fromEntries([3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [`4 a message, and the reserved opcode ${opcode}, and a ping`, [[clientFrame(text, 'first'), clientFrame(opcode, opcode % 2 === 0 ? '' : 'payload'), clientFrame(ping, '')], ['1:first', '8:1002']]])),
  '5.1 a ping in two fragments': [[clientFrame(ping, 'one', begin), clientFrame(continuation, 'two')], ['8:1002']],
  '5.2 a pong in two fragments': [[clientFrame(pong, 'one', begin), clientFrame(continuation, 'two')], ['8:1002']],
  '5.3 a text in two fragments': [[clientFrame(text, 'one', begin), clientFrame(continuation, 'two'), BYE], ['1:onetwo', '8:1000']],
  '5.6 a ping between two fragments': [[clientFrame(text, 'one', begin), clientFrame(ping, 'p'), clientFrame(continuation, 'two'), BYE], ['10:p', '1:onetwo', '8:1000']],
  '5.9 a continuation first': [[clientFrame(continuation, 'x'), clientFrame(text, 'Hello')], ['8:1002']],
  '5.12 an unfinished continuation first': [[clientFrame(continuation, 'x', begin), clientFrame(text, 'Hello')], ['8:1002']],
  '5.15 a whole message in fragments, and a continuation': [[clientFrame(text, 'one', begin), clientFrame(continuation, 'two'), clientFrame(continuation, 'x', begin)], ['1:onetwo', '8:1002']],
  '5.18 two texts, the first unfinished': [[clientFrame(text, 'one', begin), clientFrame(text, 'two')], ['8:1002']],
  '5.19 five fragments and pings between': [[clientFrame(text, '1', begin), clientFrame(continuation, '2', begin), clientFrame(ping, 'a'), clientFrame(continuation, '3', begin), clientFrame(continuation, '4', begin), clientFrame(ping, 'b'), clientFrame(continuation, '5'), BYE], ['10:a', '10:b', '1:12345', '8:1000']],
  '6.1 empty fragments': [[clientFrame(text, '', begin), clientFrame(continuation, '', begin), clientFrame(continuation, ''), BYE], ['1:', '8:1000']],
  '6.1 a text between empty fragments': [[clientFrame(text, '', begin), clientFrame(continuation, 'middle', begin), clientFrame(continuation, ''), BYE], ['1:middle', '8:1000']],
  '6.2 a text cut into bytes': [[...fragmented(text, Buffer.from(MIXED), 1), BYE], [`1:${MIXED}`, '8:1000']],
  '6.3 a bad text': [[clientFrame(text, Buffer.concat([Buffer.from(KOSME), Buffer.of(0xed, 0xa0, 0x80), Buffer.from('edited')]))], ['8:1007']],
  '6.4 a bad text in fragments': [[clientFrame(text, KOSME, begin), clientFrame(continuation, Buffer.of(0xf4, 0x90, 0x80, 0x80), begin), clientFrame(continuation, 'edited')], ['8:1007']],
  ...Object.fromEntries(['\u0000', '\u007f', '\u0080', '\u07ff', '\u0800', '\uffff', '\u{10000}', '\u{10ffff}', '\ud7ff', '\ue000', '\ufffd', '\ufffe', '\u{1ffff}'].map((sign) => [
    `6.6 U+${sign.codePointAt(0)?.toString(16)}`, [[clientFrame(text, sign), BYE], [`1:${sign}`, '8:1000']],
  ])),
  ...Object.fromEntries([[0x80], [0xbf], [0xce], [0xe1, 0xbd], [0xf8, 0x88, 0x80, 0x80, 0x80], [0xfe], [0xff], [0xc0, 0x80], [0xc1, 0xbf], [0xe0, 0x80, 0xaf], [0xf0, 0x8f, 0xbf, 0xbf], [0xf4, 0x90, 0x80, 0x80], [0xed, 0xbf, 0xbf]].map((bytes) => [
    `6.12 the bytes ${Buffer.from(bytes).toString('hex')}`, [[clientFrame(text, Uint8Array.from(bytes))], ['8:1007']],
  ])),
  '7.1.2 two goodbyes': [[BYE, goodbye(1001)], ['8:1000']],
  '7.1.3 a goodbye, and a ping': [[BYE, clientFrame(ping, '')], ['8:1000']],
  '7.1.4 a goodbye, and a message': [[BYE, clientFrame(text, 'late')], ['8:1000']],
  '7.1.5 a fragment, a goodbye, and the rest': [[clientFrame(text, 'one', begin), BYE, clientFrame(continuation, 'two')], ['8:1000']],
  '7.1.6 a large message, and a goodbye': [[clientFrame(text, letters(262_144)), BYE, clientFrame(ping, '')], ['1:262144 bytes', '8:1000']],
  '7.3.1 a goodbye without a code': [[clientFrame(close, '')], ['8:']],
  '7.3.2 a goodbye of one byte': [[clientFrame(close, 'a')], ['8:1002']],
  '7.3.5 a goodbye with the longest reason': [[goodbye(1000, letters(123))], [`8:1000${letters(123)}`]],
  '7.3.6 a goodbye with a reason too long': [[goodbye(1000, letters(124))], ['8:1002']],
  '7.5 a goodbye whose reason is no UTF-8': [[goodbye(1000, Uint8Array.of(0xce, 0xba, 0xed, 0xa0, 0x80))], ['8:1007']],
  ...Object.fromEntries([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999].map((code) => [`7.7 a goodbye with ${code}`, [[goodbye(code)], [`8:${code}`]]])),
  ...Object.fromEntries([0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535].map((code) => [`7.9 a goodbye with ${code}`, [[goodbye(code)], ['8:1002']]])),
  ...Object.fromEntries([64, 4_096, 65_536].flatMap((size) => ([[3, text], [4, binary]] as const).map(([group, opcode]) => [
    `9.${group} a large message in frames of ${size} bytes`, [[...fragmented(opcode, Buffer.alloc(size * 64, '*'), size), BYE], [shown(opcode, size * 64), '8:1000']],
  ]))),
  ...Object.fromEntries([16, 125, 1_000].map((size) => [`9.7 a hundred messages of ${size} bytes`, [[...Array.from({ length: 100 }, () => clientFrame(text, letters(size))), BYE], [...Array.from({ length: 100 }, () => shown(text, size)), '8:1000']]])),
}

/** Sizes of pieces that a case comes in. */
function cuts(bytes: number): number[] {
  return bytes <= 200 ? [bytes, 1] : bytes <= 20_000 ? [bytes, 997] : [bytes, 4_093]
}

for (const [name, [sent, came]] of Object.entries(CASES)) {
  test(name, async () => {
    const bytes = Buffer.concat(sent)
    for (const step of cuts(bytes.length)) {
      const pair = openInMemory({ messages: 'echoed' })
      for (let at = 0; at < bytes.length; at += step) {
        // A copy, since the reader takes masks off where the bytes are.
        pair.far.write(Buffer.from(bytes.subarray(at, at + step)))
        // Each piece is to be a read of its own.
        await new Promise((resolve) => process.nextTick(resolve))
      }
      await pair.quiet()
      assert.deepEqual(pair.came(), came)
      assert.equal(pair.far.readableEnded, true, 'the connection was not ended')
    }
  })
}
