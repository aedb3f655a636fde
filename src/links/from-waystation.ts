import { interestKey } from '../core/interest.ts'
import { draft, type Draft, type LostInterest } from '../core/message.ts'
import { draftOfTerm, ERLANG_TERM } from '../core/term.ts'
import type { Clock } from '../core/ports.ts'
import { topicFromBytes } from '../core/topic.ts'
import type { Extended, Place, RemoteMessage } from '../protocol/pony-express/messages.ts'
import type { Asked } from './asked.ts'
import type { Dropped, Intake } from './intake.ts'

/** Hubs that a message may have come through, the giver among them. Past it, it goes round in a ring of hubs that hide. */
export const MOST_VIA = 16

/** Words of lost globs within a second: everyone who may want something of one is asked, and a bare WebSocket is closed by it. */
const [MOST_GAPS, SECOND] = [100, 1_000]

/** What a Waystation at the other end has given so far, over all connections to it. */
export interface Given {
  /** After what the next connection goes on; `undefined` before the first, and where the place is of no use any more. */
  readonly position: Place | undefined
  /**
   * A new connection begins. Gives what is wrong with it, if anything is.
   * @param asked the position that its wish had
   */
  begin(ready: Extended & { kind: 'ready' }, asked: Place | undefined): string | undefined
  /** Gives what is wrong with it, if anything is: then the connection must go. */
  take(said: Extended): string | undefined
  /** The position is of no use: the next connection begins at the present, and says that something is lost. */
  forget(): void
  /** The link has been up, if only to PonyExpress: whoever begins now has missed something. */
  begun(): void
  readonly hasBegun: boolean
}

export function createGiven({ asked, intake, hubId, clock, dropped }: {
  asked: Asked
  intake: Intake
  hubId: () => string
  clock: Clock
  dropped: (why: Dropped) => void
}): Given {
  let epoch: string | undefined
  let offset = 0
  let giver = ''
  /** All that was asked for, as lost by this giver: the log counts the names of one and the same object once. */
  let everything: LostInterest = asked.everything
  /** What the giver said last is lost, for the same reason. */
  let before: { readonly key: string; readonly lost: LostInterest } | undefined
  let hasBegun = false
  let gaps = 0
  let gapsSince = -Infinity

  function takeMessage(message: RemoteMessage): string | undefined {
    const topic = topicFromBytes(message.topic)
    if (!asked.wants(topic)) return `it sent something of ${JSON.stringify(topic).slice(0, 200)}, which was not asked for`
    if (message.offset <= offset) return void dropped('repeat')
    offset = message.offset
    if (message.via.includes(hubId())) return void dropped('own')
    const via = [...message.via, giver]
    if (via.length > MOST_VIA) return void dropped('via')
    const here = asked.here(topic)
    const { body, contentType } = message
    const made: Draft = contentType === ERLANG_TERM ? draftOfTerm(here, body) : draft(here, body, contentType)
    intake.take({ ...made, via })
    return undefined
  }

  /** A word of what is lost goes the way of a message, or it would go round. */
  function takeGap({ topics, patterns, via: through }: Extended & { kind: 'gap' }): string | undefined {
    if (through.includes(hubId())) return void dropped('own')
    const via = [...through, giver]
    if (via.length > MOST_VIA) return void dropped('via')
    if (patterns.length > 0 && isStorm()) return 'it says again and again that something is lost'
    return void intake.lose(sameAsBefore({ ...asked.lostOf(topics, patterns), via }))
  }

  function isStorm(): boolean {
    const now = clock.monotonic()
    if (now - gapsSince >= SECOND) {
      gapsSince = now
      gaps = 0
    }
    return ++gaps > MOST_GAPS
  }

  function sameAsBefore(lost: LostInterest): LostInterest {
    const key = JSON.stringify([interestKey(lost), lost.via])
    if (before?.key !== key) before = { key, lost }
    return before.lost
  }

  /** Moves on, never back. */
  function reach(to: Place): string | undefined {
    if (to.epoch !== epoch) return 'it goes on in another log than it began with'
    offset = Math.max(offset, to.offset)
    return undefined
  }

  return {
    get position() { return epoch === undefined ? undefined : { epoch, offset } },
    get hasBegun() { return hasBegun },
    begin({ at, hub }, wished) {
      if (hub === hubId()) return 'the other end is this hub itself'
      const isSame = wished !== undefined && at.epoch === wished.epoch && at.offset === wished.offset
      if (giver !== hub) everything = { ...asked.everything, via: [hub] }
      giver = hub
      if (hasBegun && !isSame) intake.lose(everything)
      hasBegun = true
      epoch = at.epoch
      offset = at.offset
      return undefined
    },
    take(said) {
      switch (said.kind) {
        case 'message': return takeMessage(said)
        case 'alive': return reach(said.at)
        case 'gap': {
          const isOld = said.to.epoch === epoch && said.to.offset < offset
          return reach(said.to) ?? (isOld ? undefined : takeGap(said))
        }
        case 'ready': return 'it said twice that it is ready'
        case 'refused': return undefined
        default: return said satisfies never
      }
    },
    forget() {
      epoch = undefined
    },
    begun() {
      hasBegun = true
    },
  }
}
