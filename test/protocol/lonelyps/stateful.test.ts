import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectionNonce, NONCE_SIZE, pseudoUrl } from '../../../src/protocol/lonelyps/stateful/connection.ts'
import { minimalSize, readNumber, readUnsigned, writeUnsigned } from '../../../src/protocol/lonelyps/stateful/integers.ts'
import { encode, messageOf, parse, type ParseCase, TYPES, vectors } from './stateful-vectors.ts'
import { hex } from './vectors.ts'

const { connection_nonce, int_minimal_unsigned, stateful_messages, stateful_parse_cases } = vectors
const WITH_BODY = ['notify', 'notify_stream', 'receive_stream', 'enable_zstd_custom']

test('the vectors have a frame of every type', () => {
  const seen = (direction: string) => new Set(stateful_messages.filter((each) => each.direction === direction).map(({ fields }) => fields['type'] as number)).size
  assert.deepEqual([stateful_messages.length, seen('S2B'), seen('B2S')], [35, TYPES.S2B.length, TYPES.B2S.length])
})

for (const { id, direction, fields, ...frames } of stateful_messages) {
  for (const form of ['minimal', 'expanded'] as const) {
    test(`${direction} ${id}, ${form}: the fields come out of the frame, and the frame out of the fields`, () => {
      const [frame, message] = [hex(frames[`${form}_hex`]), messageOf(direction, fields)]
      assert.deepEqual(parse(direction, frame), message)
      assert.deepEqual(encode(direction, message, form).toString('hex'), frame.toString('hex'))
    })

    test(`${direction} ${id}, ${form}: a frame that ends within its headers is refused`, () => {
      const [frame, message] = [hex(frames[`${form}_hex`]), messageOf(direction, fields)]
      const headers = frame.length - ('body' in message ? message.body.length : 0)
      for (let size = 0; size < headers; size++) assert.equal(parse(direction, frame.subarray(0, size)), 'the frame is truncated', `${size} bytes`)
    })

    if (WITH_BODY.includes(messageOf(direction, fields).type)) continue
    test(`${direction} ${id}, ${form}: bytes behind a message without body are ignored`, () => {
      assert.deepEqual(parse(direction, Buffer.concat([hex(frames[`${form}_hex`]), Buffer.from('trailing')])), messageOf(direction, fields))
    })
  }
}

/** Q13: the original reads 48, the character `0`, where x-initial-dict is missing, and then knows no such preset. Here it is 0. */
function expected({ direction, description, fields }: ParseCase): unknown {
  const message = messageOf(direction, fields ?? {})
  return description.includes('without x-initial-dict') ? { ...message, initialDictionary: 0 } : message
}

test('one case of the vectors is the one that differs on purpose', () => {
  assert.equal(stateful_parse_cases.cases.length, 23)
  const different = stateful_parse_cases.cases.filter((each) => each.accepted && (expected(each) as { initialDictionary?: number }).initialDictionary !== each.fields?.['initial_dict'])
  assert.deepEqual(different.map(({ fields }) => fields?.['initial_dict']), [48])
})

for (const [index, each] of stateful_parse_cases.cases.entries()) {
  test(`odd frame ${index}, ${each.accepted ? 'accepted' : 'refused'}: ${each.description}`, () => {
    const found = parse(each.direction, hex(each.hex))
    if (each.accepted) assert.deepEqual(found, expected(each))
    else assert.equal(typeof found, 'string')
  })
}

for (const { value, hex: written } of int_minimal_unsigned.cases) {
  test(`the integer ${value} is written without leading zeros, and read with and without them`, () => {
    const whole = BigInt(value)
    for (const number of whole <= BigInt(Number.MAX_SAFE_INTEGER) ? [whole, Number(whole)] : [whole]) {
      const into = Buffer.alloc(minimalSize(number) + 2, 0xa5)
      assert.equal(writeUnsigned(number, minimalSize(number), into, 1), into.length - 1)
      assert.equal(into.toString('hex'), `a5${written}a5`)
    }
    for (let size = written.length / 2; size <= 8; size++) {
      const padded = hex(`ff${written.padStart(2 * size, '0')}ff`)
      assert.equal(readUnsigned(padded, 1, size + 1), whole)
      assert.equal(readNumber(padded, 1, size + 1), whole <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(whole) : undefined)
    }
  })
}

test('an integer of every size is written in so many bytes, and read again', () => {
  for (let bits = 0n; bits < 64n; bits++) {
    for (const value of [1n << bits, (1n << (bits + 1n)) - 1n]) {
      const size = minimalSize(value)
      assert.equal(size, Math.ceil(value.toString(16).length / 2))
      if (value <= BigInt(Number.MAX_SAFE_INTEGER)) assert.equal(minimalSize(Number(value)), size)
      const into = Buffer.alloc(size)
      writeUnsigned(value, size, into, 0)
      assert.equal(readUnsigned(into, 0, size), value)
    }
  }
})

for (const value of [-1, -1n, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 1n << 64n]) {
  test(`${String(value)} (${typeof value}) is no integer of a header`, () => {
    assert.throws(() => minimalSize(value), RangeError)
  })
}

test('the nonce of a connection is that of the vectors, in padded standard base64', () => {
  const { second_example_with_plus_and_slash: second } = connection_nonce
  for (const { subscriber_nonce_hex, broadcaster_nonce_hex, connection_nonce_b64 } of [connection_nonce, second]) {
    assert.equal(connectionNonce(hex(subscriber_nonce_hex), hex(broadcaster_nonce_hex)), connection_nonce_b64)
  }
  assert.equal(pseudoUrl(second.connection_nonce_b64, -1), second.url_counter_minus_1)
})

test('counters stand in pseudo-URLs as signed small hexadecimal', () => {
  assert.equal(connection_nonce.urls.length, 12)
  for (const { counter, url } of connection_nonce.urls) assert.equal(pseudoUrl(connection_nonce.connection_nonce_b64, counter), url)
})

test('a nonce of another size than 32 bytes makes no connection nonce', () => {
  for (const size of [0, NONCE_SIZE - 1, NONCE_SIZE + 1]) {
    assert.throws(() => connectionNonce(Buffer.alloc(size), Buffer.alloc(NONCE_SIZE)), RangeError)
    assert.throws(() => connectionNonce(Buffer.alloc(NONCE_SIZE), Buffer.alloc(size)), RangeError)
  }
})
