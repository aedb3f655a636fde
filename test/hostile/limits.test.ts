import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { LIMITS, limitsWith } from '../../src/core/limits.ts'
import { createServer } from '../../src/index.ts'

const here = new URL('.', import.meta.url)
const files = globSync('*.test.ts', { cwd: here }).map((file) => readFileSync(new URL(file, here), 'utf8'))

test('every limit has a test here whose name begins with it', () => {
  assert.ok(files.length > 5)
  const without = Object.keys(LIMITS).filter((name) => !files.some((text) => new RegExp(`\\btest\\(['"\`]${name}: `).test(text)))
  assert.deepEqual(without, [])
})

test('every limit is an option of the same name, refuses what is below its least, and is in force as it is stated', () => {
  for (const [name, { default: usual, min }] of Object.entries(LIMITS)) {
    assert.equal(createServer().options[name as keyof typeof LIMITS], usual, name)
    // The ping interval must stay below the deadline, and the time that a call has by itself below the longest.
    const together = name === 'pongDeadline' ? { pingInterval: LIMITS.pingInterval.min } : name === 'maxCallTimeout' ? { callTimeout: LIMITS.callTimeout.min } : {}
    assert.equal(createServer({ ...together, [name]: min }).options[name as keyof typeof LIMITS], min, name)
    assert.throws(() => createServer({ [name]: min - 1 }), { code: 'config_invalid' }, name)
    assert.equal(limitsWith({ [name]: min })[name as keyof typeof LIMITS], min)
  }
})
