import { formatCursor, type Cursor } from '../../src/core/cursor.ts'
import { wants } from '../../src/core/interest.ts'
import type { Rules } from '../../src/core/rules.ts'
import { gapIsDue } from './gaps.ts'
import { idIn, type Got, type Ledger, type PlacedLoss, type Publication, type Session } from './ledger.ts'
import { mayTouch, surelyTouches } from './losses.ts'
import type { Plan } from './plan.ts'
import type { Breach, PromiseName } from './promises.ts'

type Placed = Publication & { offset: number }

/** What was promised to one client from the moment it connected until it left. */
export function checkSession(parts: { session: Session; ledger: Ledger; byId: ReadonlyMap<string, Publication>; rules: Rules; plan: Plan }): Breach | undefined {
  const { session, ledger, byId, rules, plan } = parts
  const { interest, after, epoch, ended } = session
  const all = ledger.publications.filter((one): one is Placed => one.epoch === epoch && one.offset !== undefined)
  const losses = ledger.losses.filter((one): one is PlacedLoss => one.epoch === epoch && one.offset !== undefined)
  const touching = losses.filter(({ lost }) => surelyTouches(lost, interest, plan.topics))
  const seen = new Set<string>()
  const ahead = isAhead(session, ledger)
  /** The place that the client has come to. */
  let at = after
  /** `all` before this one has been looked at. */
  let next = 0
  /** Of what is being looked at; at the end everything has been. */
  let step = session.step

  function fail(promise: PromiseName, detail: string, other?: Placed): Breach {
    const about = other === undefined ? [session.name] : [session.name, other.id]
    return { promise, detail: `${session.name}, connected at step ${session.step}: ${detail}`, about, step }
  }

  /** The first message that had to come after `at` and before this offset, and has not. */
  function missing(before: number): Placed | undefined {
    const from = (at as Cursor).offset
    for (; next < all.length; next++) {
      const one = all[next] as Placed
      if (one.offset >= before) return undefined
      if (one.offset > from && wants(interest, one.topic)) return one
    }
    return undefined
  }

  /** The first loss that had to be told behind `at` and before this offset, and was not. */
  function untold(before: number): PlacedLoss | undefined {
    const from = (at as Cursor).offset
    return touching.find(({ offset }) => offset > from && offset < before)
  }

  /** One that the log has shown, and the hub went down before it could tell those who listen. */
  function unplaced(offset: number): PlacedLoss | undefined {
    const one = ledger.losses.find((loss) => loss.epoch === epoch && loss.offset === undefined && mayTouch(loss.lost, interest))
    return one && { ...one, offset }
  }

  function failUntold({ id, offset }: PlacedLoss): Breach {
    return { ...fail('what was lost on the way is told', `${id} at ${offset} was not`), about: [session.name, id] }
  }

  /** Whether a resume had to begin with a gap, and has not. */
  function lacksGap(): boolean {
    return at?.epoch !== epoch || (ahead && at === after)
  }

  function checkPlace(place: Cursor): Breach | undefined {
    const before = all.find(({ offset, answeredStep }) => answeredStep < session.step && offset > place.offset)
    const behind = all.find(({ offset, step }) => step > session.step && offset <= place.offset)
    if (after === undefined && place.epoch === epoch && before === undefined && behind === undefined) return undefined
    return fail('a new stream begins where the hub is', `it was told ${formatCursor(place)}`)
  }

  function checkMessage(one: Got & { kind: 'message' }): Breach | undefined {
    const sent = byId.get(idIn(one.body)) as Placed
    const { id, topic, answeredStep } = sent
    if (!wants(interest, topic)) return fail('nobody gets what it did not want', id)
    if (rules.for(topic).subscribe !== 'anyone') return fail('nobody gets what a rule forbids', id)
    if (seen.has(id)) return fail('nothing comes twice', `${id} at ${one.at.offset}`)
    seen.add(id)
    if (at === undefined) return fail('a new stream begins where the hub is', 'it was told no place')
    if (after === undefined && answeredStep < session.step) return fail('nobody gets what was published before it joined', id)
    if (lacksGap()) return fail('a resume is exact or a gap', `${id} came behind ${formatCursor(at)}`)
    if (one.at.offset <= at.offset) return fail('there is one order', `${id} at ${one.at.offset} came behind ${formatCursor(at)}`)
    const hole = missing(one.at.offset)
    if (hole !== undefined) {
      const comes = session.got.some((other) => other.kind === 'message' && idIn(other.body) === hole.id)
      return fail(comes ? 'there is one order' : 'there is no hole', `${id} at ${one.at.offset} came, and ${hole.id} at ${hole.offset} had not`, hole)
    }
    const loss = untold(one.at.offset)
    if (loss !== undefined) return failUntold(loss)
    if (answeredStep < session.step && !isKept(sent, session, all, rules)) return fail('nothing is kept longer than the rules say', id)
    next++
    at = one.at
    return undefined
  }

  /** A gap that stands exactly where something was lost on its way. */
  function checkLoss(to: Cursor, { id, lost }: PlacedLoss): Breach | undefined {
    if (at === undefined) return fail('a new stream begins where the hub is', 'it was told no place')
    if (lacksGap()) return fail('a resume is exact or a gap', `${id} was told behind ${formatCursor(at)}`)
    if (to.offset <= at.offset) return fail('nothing comes twice', `${id} was told behind ${formatCursor(at)}`)
    const hole = missing(to.offset)
    if (hole !== undefined) return fail('there is no hole', `${id} at ${to.offset} was told, and ${hole.id} at ${hole.offset} had not come`, hole)
    const before = untold(to.offset)
    if (before !== undefined) return failUntold(before)
    if (!mayTouch(lost, interest)) return fail('there is no gap without need', `${id} is nothing to it`)
    at = to
    return undefined
  }

  function checkGap({ from, to, time }: Got & { kind: 'gap' }): Breach | undefined {
    const behind = at !== undefined && formatCursor(from) === formatCursor(at)
    const isLoss = to.epoch === epoch && from.epoch === epoch && from.offset === to.offset - 1
    const loss = isLoss ? (losses.find(({ offset }) => offset === to.offset) ?? unplaced(to.offset)) : undefined
    if (loss !== undefined && (!behind || mayTouch(loss.lost, interest))) return checkLoss(to, loss)
    if (at === undefined || formatCursor(from) !== formatCursor(at)) {
      return fail('a gap is where it says', `it came behind ${at === undefined ? 'nothing' : formatCursor(at)} and says from ${formatCursor(from)}`)
    }
    // What was routed later comes live, so no gap can reach it; and no gap leads back behind what the hub has said.
    const later = all.some(({ answeredStep, offset }) => answeredStep > step && offset <= to.offset)
    const back = to.epoch === from.epoch && to.offset < from.offset && all.some(({ offset, answeredStep }) => answeredStep < session.step && offset >= from.offset)
    if (to.epoch !== epoch || later || back) return fail('a gap is where it says', `it says to ${formatCursor(to)}`)
    if (!gapIsDue({ interest, at, epoch, connected: session.step, step, time }, ledger.publications, rules, plan)) {
      return fail('there is no gap without need', `${formatCursor(from)} to ${formatCursor(to)}`)
    }
    at = to
    next = 0
    return undefined
  }

  function checkEnd(): Breach | undefined {
    if (ended?.by === 'hub' && ended.reason === 'slow consumer' && !session.slow) return fail('only slow ones are let go', 'it read everything at once')
    if (ended !== undefined) return undefined
    if (lacksGap()) return fail('a resume is exact or a gap', 'it was told nothing at all')
    const hole = missing(Infinity)
    const loss = untold(Infinity)
    if (loss !== undefined) return failUntold(loss)
    return hole === undefined ? undefined : fail('whoever stays gets everything', `${hole.id} at ${hole.offset} never came`, hole)
  }

  function check(one: Got): Breach | undefined {
    switch (one.kind) {
      case 'message': return checkMessage(one)
      case 'gap': return checkGap(one)
      case 'place':
        at = one.at
        return checkPlace(one.at)
      default: return one satisfies never
    }
  }

  for (const one of session.got) {
    step = one.step
    const breach = check(one)
    if (breach !== undefined) return breach
  }
  step = Infinity
  return checkEnd()
}

/** Whether it resumes behind an offset that the log had certainly not given by then. */
function isAhead({ after, epoch, step }: Session, { publications, losses }: Ledger): boolean {
  if (after === undefined || after.epoch !== epoch || after.offset === 0) return false
  if (losses.some((one) => one.epoch === epoch && one.step < step && (one.offset ?? Infinity) >= after.offset)) return false
  return !publications.some((one) => one.epoch === epoch && one.step < step && one.outcome !== 'refused' && (one.offset ?? Infinity) >= after.offset)
}

/** Whether the rules had it kept when the session began. */
function isKept(one: Placed, session: Session, all: readonly Placed[], rules: Rules): boolean {
  const keep = rules.for(one.topic).keep
  if (keep === undefined || one.answeredTime + keep.ms < session.time) return false
  return all.filter(({ topic, offset, answeredStep }) => topic === one.topic && offset > one.offset && answeredStep < session.step).length < keep.messages
}
