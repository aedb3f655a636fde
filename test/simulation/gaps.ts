import type { Cursor } from '../../src/core/cursor.ts'
import { wants, type Interest } from '../../src/core/interest.ts'
import type { Rules } from '../../src/core/rules.ts'
import type { Publication } from './ledger.ts'
import { PLENTY, type Plan } from './plan.ts'

/** A gap that a client was told of: behind `at`, at this step and time. */
export interface ToldGap {
  readonly interest: Interest
  readonly at: Cursor
  readonly epoch: string
  /** When the client connected. */
  readonly connected: number
  readonly step: number
  readonly time: number
}

/**
 * Whether anything may be missing behind this place, as far as somebody can say who knows the rules and every
 * publication. Where the answer depends on what only the log knows (the moment of an append), it is yes. The log may
 * also forget which topics it has forgotten, since it must not remember every name for ever: then it has to tell of a
 * gap where a topic that was emptied by age, or one that nobody keeps, might have been among those that are wanted.
 */
export function gapIsDue(told: ToldGap, publications: readonly Publication[], rules: Rules, plan: Plan): boolean {
  const { interest, at, epoch, step } = told
  if (at.epoch !== epoch) return true
  const before = publications.filter((one) => one.epoch === epoch && one.step <= step && one.outcome !== 'refused')
  const isPast = at.offset === 0 || before.some(({ offset, answeredStep }) => answeredStep < told.connected && (offset as number) >= at.offset)
  if (!isPast) return true
  const behind = before.filter(({ offset }) => offset === undefined || offset > at.offset)
  if (behind.length === 0) return false
  if (plan.maxLogBytes < PLENTY) return true
  const many = interest.patterns.length > 0
  const wantsUnkept = interest.topics.some((topic) => rules.for(topic).keep === undefined)
  return behind.some((one) => {
    const keep = rules.for(one.topic).keep
    if (keep === undefined) return many || wantsUnkept
    if (one.time + keep.ms < told.time) return true
    const later = behind.filter(({ topic, offset }) => topic === one.topic && (offset === undefined || one.offset === undefined || offset > one.offset))
    return later.length >= keep.messages && (many || wants(interest, one.topic))
  })
}
