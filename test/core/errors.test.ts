import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ERRORS, WaystationError, type ErrorCode } from '../../src/core/errors.ts'

test('every error has a code that stays, an HTTP status of a failure, and a text that can stand in a line', () => {
  for (const [code, { status, text }] of Object.entries(ERRORS)) {
    assert.match(code, /^[a-z]+(_[a-z]+)*$/)
    assert.ok(status >= 400 && status < 600, `${code} has ${status}`)
    assert.match(text, /^[a-z][^\n.]*$/)
  }
})

test('an error says its text and what is particular to the case, and has its code, status and cause', () => {
  const cause = new Error('below')
  const error = new WaystationError('bad_pattern', 'it is empty', cause)
  assert.equal(error.message, 'the topic pattern cannot be used: it is empty')
  assert.deepEqual([error.code, error.detail, error.status, error.cause, error.name], ['bad_pattern', 'it is empty', 400, cause, 'WaystationError'])
  assert.ok(error instanceof Error)
  const plain = new WaystationError('stopped')
  assert.deepEqual([plain.message, plain.detail, 'cause' in plain], [ERRORS.stopped.text, '', false])
})

test('each code can be thrown and has the status of the table', () => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) assert.equal(new WaystationError(code).status, ERRORS[code].status)
})
