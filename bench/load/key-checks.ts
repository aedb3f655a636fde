import { createKeys } from '../../src/core/keys.ts'
import { LIMITS } from '../../src/core/limits.ts'
import { realClock } from '../../src/server/real-world.ts'
import type { KeyChecksTask, Report } from '../task.ts'
import { domainOf, keyOf, rowsOf } from './bench-keys.ts'
import { measured } from './time.ts'

/** Between two turns, so that the time is seen to be over. */
const TOGETHER = 1_000

/** What the hub asks of every publisher, without the hub: keys that are remembered, in turn. @throws {Error} when one is not */
export async function loadKeyChecks(task: KeyChecksTask, report: Report): Promise<void> {
  const rows = rowsOf(task.keys, 'hashed').flatMap((row) => (row.type === 'key' ? [{ ...row, id: 0 }] : []))
  const known = rows.map((_, index) => ({ key: keyOf(index), domain: domainOf(index) }))
  const limits = { maxCachedKeys: task.keys, keyCacheTime: LIMITS.keyCacheTime.default, maxKeyChecks: task.keys }
  const failed = (error: unknown): void => {
    throw error
  }
  const keys = createKeys({ table: { watchDomains: async () => {}, keysOf: async () => rows }, clock: realClock, limits, failed })
  await keys.start()
  for (const { key, domain } of known) if ((await keys.check(key, domain)) !== 'good') throw new Error('a key is refused')

  let checked = 0
  let checking = true
  function check(): void {
    for (let i = 0; i < TOGETHER; i++, checked++) {
      const { key, domain } = known[checked % known.length] as (typeof known)[number]
      if (keys.check(key, domain) !== 'good') throw new Error('a key is no longer remembered')
    }
    if (checking) setImmediate(check)
  }
  check()
  await measured(task, report, () => checked)
  checking = false
  keys.stop()
}
