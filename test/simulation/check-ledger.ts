import { formatCursor } from '../../src/core/cursor.ts'
import { createRules, type Rules } from '../../src/core/rules.ts'
import { topicToUrl, type Topic } from '../../src/core/topic.ts'
import { checkSession } from './check-session.ts'
import { idIn, type Ledger, type Publication } from './ledger.ts'
import type { Plan } from './plan.ts'
import type { Breach, PromiseName } from './promises.ts'

/**
 * What was promised to clients, checked on what they sent and got, at the end of a world in which everyone has read
 * everything that waited. Nothing here looks into the hub.
 * @returns the first breach that is found
 */
export function checkLedger(ledger: Ledger, plan: Plan): Breach | undefined {
  const rules = createRules(plan.rules)
  const byId = new Map(ledger.publications.map((publication) => [publication.id, publication]))
  const breach = checkSightings(ledger, byId) ?? checkOffsets(ledger, rules, plan)
  if (breach !== undefined) return breach
  for (const session of ledger.sessions) {
    const broken = checkSession({ session, ledger, byId, rules, plan })
    if (broken !== undefined) return broken
  }
  return checkCounts(ledger)
}

/** What arrives was sent, as it arrives; and one message has one place, whoever saw it. */
function checkSightings({ sessions }: Ledger, byId: ReadonlyMap<string, Publication>): Breach | undefined {
  for (const { name, got } of sessions) {
    for (const one of got) {
      if (one.kind !== 'message') continue
      const id = idIn(one.body)
      const sent = byId.get(id)
      const fail = (promise: PromiseName): Breach => ({ promise, detail: `${name} got ${id} at ${formatCursor(one.at)}`, about: [id], step: one.step })
      if (sent === undefined || !sent.body.equals(one.body) || topicToUrl(sent.topic) !== one.topic) return fail('what arrives is what was sent')
      if (sent.outcome === 'refused') return fail('what was refused goes to nobody')
      // The hub went down before it could answer; then the first who saw the message knows its place.
      sent.offset ??= one.at.offset
      if (sent.offset !== one.at.offset || sent.epoch !== one.at.epoch) return fail('a message has one place')
    }
  }
  return undefined
}

/** What may be published is taken, and offsets rise by one, in the order of publishing, within a log. */
function checkOffsets({ publications, losses }: Ledger, rules: Rules, plan: Plan): Breach | undefined {
  const heads = new Map<string, { offset: number; unanswered: number }>()
  const all: { id: string; epoch: string; step: number; offset: number | undefined; topic?: Topic; outcome?: Publication['outcome'] }[] = [...publications, ...losses]
  for (const { id, topic, epoch, outcome = 'open', offset, step } of all.sort((a, b) => a.step - b.step)) {
    const fail = (promise: PromiseName, detail: string): Breach => ({ promise, detail: `${id} ${detail}`, about: [id], step: Infinity })
    const allowed = topic === undefined || rules.for(topic).publish === 'anyone'
    const mayFail = plan.pace.append === 'queued'
    if (allowed ? outcome === 'refused' && !mayFail : outcome !== 'refused') return fail('a rule says who may publish', `is ${outcome} at step ${step}`)
    const head = heads.get(epoch) ?? { offset: 0, unanswered: 0 }
    heads.set(epoch, head)
    if (offset === undefined) {
      if (outcome === 'open') head.unanswered++
      continue
    }
    const steps = offset - head.offset
    if (steps < 1 || steps > head.unanswered + 1) return fail('offsets rise by one, in the order of publishing', `has ${offset} after ${head.offset}`)
    head.offset = offset
    head.unanswered = 0
  }
  return undefined
}

/** Receipts say to how many it went. Behind everything else, because who lacks what says more than how many do. */
function checkCounts({ publications }: Ledger): Breach | undefined {
  for (const { id, outcome, told, receivers, step } of publications) {
    if (outcome !== 'taken' || receivers === undefined || told === receivers.length) continue
    const detail = `${id} went to ${receivers.length}, and its receipt says ${told}`
    return { promise: 'a receipt counts the receivers', detail, about: [id, ...receivers], step }
  }
  return undefined
}
