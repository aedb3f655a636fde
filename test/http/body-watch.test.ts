import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { createBodyWatch, expectLargeBody, LEAST_BYTES } from '../../src/http/body-watch.ts'

const SPAN = 1_000

/** As much of a request as the watch looks at. */
interface Body extends EventEmitter {
  readonly socket: { bytesRead: number }
}

function open() {
  let now = 0
  const late: Body[] = []
  const watch = createBodyWatch(SPAN, () => now, (message) => late.push(message as unknown as Body))
  return {
    late,
    begin(size: 'small' | 'large', seen = 0): Body {
      const body = Object.assign(new EventEmitter(), { socket: { bytesRead: seen } })
      const message = body as unknown as IncomingMessage
      watch.begin(message)
      if (size === 'large') expectLargeBody(message)
      return body
    },
    /** Looks at the time that it is then. */
    at(time: number): number {
      now = time
      watch.look()
      return late.length
    },
  }
}

test('a small body that has not come within the span is late, once, however much of it came', () => {
  const watch = open()
  const body = watch.begin('small')
  body.socket.bytesRead += 10 * LEAST_BYTES
  assert.equal(watch.at(SPAN - 1), 0)
  assert.equal(watch.at(SPAN), 1)
  assert.deepEqual(watch.late, [body])
  assert.equal(watch.at(10 * SPAN), 1)
})

for (const event of ['end', 'close']) {
  test(`a body that came to its ${event} is never late`, () => {
    const watch = open()
    watch.begin('small').emit(event)
    watch.begin('large').emit(event)
    assert.equal(watch.at(10 * SPAN), 0)
  })
}

test('a large body has another span for every one that brings its due', () => {
  const watch = open()
  const body = watch.begin('large', 5_000)
  for (let i = 1; i <= 20; i++) {
    body.socket.bytesRead += LEAST_BYTES
    assert.equal(watch.at(i * SPAN), 0, `span ${i}`)
  }
  body.socket.bytesRead += LEAST_BYTES - 1
  assert.equal(watch.at(21 * SPAN - 1), 0)
  assert.equal(watch.at(21 * SPAN), 1)
})

test('what came in one span does not count for the next', () => {
  const watch = open()
  const body = watch.begin('large')
  body.socket.bytesRead += 100 * LEAST_BYTES
  assert.equal(watch.at(SPAN), 0)
  assert.equal(watch.at(2 * SPAN), 1)
})

test('what the connection had brought before the body does not count', () => {
  const watch = open()
  watch.begin('large', 100 * LEAST_BYTES)
  assert.equal(watch.at(SPAN), 1)
})

test('a look that comes late counts from when it came', () => {
  const watch = open()
  const body = watch.begin('large')
  body.socket.bytesRead += LEAST_BYTES
  assert.equal(watch.at(1.5 * SPAN), 0)
  assert.equal(watch.at(2.4 * SPAN), 0)
  assert.equal(watch.at(2.5 * SPAN), 1)
})

test('each body has its own time', () => {
  const watch = open()
  const first = watch.begin('small')
  watch.at(SPAN / 2)
  const second = watch.begin('small')
  watch.at(SPAN)
  assert.deepEqual(watch.late, [first])
  watch.at(1.5 * SPAN)
  assert.deepEqual(watch.late, [first, second])
})
