import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LIMITS, limitsWith, type Limit } from '../../src/core/limits.ts'

test('every limit has a default that it allows itself, and a reason', () => {
  for (const [name, limit] of Object.entries(LIMITS) as [string, Limit][]) {
    assert.ok(Number.isSafeInteger(limit.default) && limit.default >= limit.min, name)
    assert.ok(limit.min >= 0, name)
    assert.ok(limit.reason.length > 20, `${name} says why it is there`)
  }
})

test('what is stated stands over the defaults, and the rest stays', () => {
  const limits = limitsWith({ maxConnections: 7 })
  assert.equal(limits.maxConnections, 7)
  for (const [name, limit] of Object.entries(LIMITS)) if (name !== 'maxConnections') assert.equal(limits[name as keyof typeof LIMITS], limit.default)
})
