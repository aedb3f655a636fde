import type { Checker } from '../../protocol/lonelyps/authorization.ts'
import type { Claim } from '../../protocol/lonelyps/claims.ts'
import type { ToSubscriber } from '../../protocol/lonelyps/stateful/messages.ts'
import { createQueue } from './queue.ts'

/** What answers something that we sent. */
export type Answer = Exclude<ToSubscriber, { type: 'confirm_configure' | 'receive_stream' | 'enable_zstd_preset' | 'enable_zstd_custom' | 'disable_zstd_custom' | 'missed' }>

/** An answer that is to come. */
export interface Expected {
  readonly type: Answer['type']
  /** The topic, the glob or the identifier. */
  readonly subject: Buffer
  /** Bytes of the message that it is about: a large one may take its time. */
  readonly size: number
  claim(answer: Answer): Claim
  settle(answer: Answer): void
}

/** What its answer is waited for. */
export interface Asked {
  readonly size: number
  /** Whether the network has taken all of it. */
  hasLeft: boolean
}

/** Answers come in the order of what they answer, whatever it was (lonelyps, section 4.14). */
export interface Answers {
  /** What is answered next. */
  readonly next: Asked | undefined
  expect(one: Expected): Asked
  /** Gives what is wrong with it. */
  take(answer: Answer): string | undefined
}

export function createAnswers(checker: Checker): Answers {
  const queue = createQueue<Asked & { readonly expected: Expected }>()
  return {
    get next() { return queue.peek() },
    expect(expected) {
      const asked = { expected, size: expected.size, hasLeft: false }
      queue.push(asked)
      return asked
    },
    take(answer) {
      const next = queue.shift()?.expected
      if (next === undefined) return 'an answer came to nothing'
      if (next.type !== answer.type) return `${next.type} was due, and ${answer.type} came`
      if (!subjectOf(answer).equals(next.subject)) return `${answer.type} is about something else`
      const verdict = checker.checkBound(answer.authorization, next.claim(answer))
      if (verdict !== 'ok') return `the authorization of ${answer.type} is ${verdict}`
      next.settle(answer)
      return undefined
    },
  }
}

function subjectOf(answer: Answer): Buffer {
  if ('topic' in answer) return answer.topic
  return 'glob' in answer ? answer.glob : answer.identifier
}
