import { exactly } from '../core/interest.ts'
import { draftOfTerm } from '../core/term.ts'
import type { Topic } from '../core/topic.ts'
import type { Intake } from './intake.ts'

/** What a PonyExpress daemon gives of one topic, over all connections for it. */
export interface Broadcasts {
  /**
   * A connection is up. What was published while there was none is lost: nobody can say what it was.
   * @param names by what the daemon may be known again
   */
  up(names: readonly string[]): void
  /**
   * @param term with the 131 before it
   * @param names by what the daemon may be known again
   */
  take(term: Buffer, names: readonly string[]): void
}

/**
 * @param parts.here what the topic is called here
 * @param parts.hasBegun whether something of it may have come before, by whatever way
 */
export function createBroadcasts(parts: { here: Topic; hasBegun: boolean; intake: Intake }): Broadcasts {
  const { here, intake } = parts
  let { hasBegun } = parts
  return {
    up(names) {
      if (hasBegun) intake.lose({ ...exactly(here), via: names })
      hasBegun = true
    },
    take(term, names) {
      intake.take({ ...draftOfTerm(here, term), via: names })
    },
  }
}
