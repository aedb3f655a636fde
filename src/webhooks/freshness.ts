import { memoryOf, type Message } from '../core/message.ts'
import type { Clock } from '../core/ports.ts'

/** Sees to it that a message finds whoever was registered before it came, at whichever hub on the database. */
export interface Freshness {
  /** Passes it on when that is sure, behind those before it. */
  take(message: Message): void
  /** Settles when the message has been passed on; `undefined` when nothing is waited for. */
  passed(message: Message): Promise<void> | undefined
  /** Settles when nothing waits. */
  idle(): Promise<void>
}

/** Messages that wait for one answer of the database. */
interface Group {
  readonly messages: Message[]
  readonly done: PromiseWithResolvers<void>
}

/** Milliseconds that messages wait for the database; then they go to whom we know. */
const PATIENCE = 2_000

/**
 * Whatever is published in one turn shares one look at the database; whatever comes while an answer is awaited shares the
 * next. When the database does not answer, or too many bytes wait, they go to whom we know.
 * @param parts.maxBytes of messages in memory that may wait
 * @param parts.pass must not throw
 */
export function createFreshness(parts: {
  /** Settles when all that was registered before has been told; `undefined` when it has, or when nobody can say. */
  readonly current: () => Promise<void> | undefined
  readonly clock: Clock
  readonly maxBytes: number
  readonly pass: (message: Message) => void
}): Freshness {
  const { current, clock, maxBytes, pass } = parts
  /** Those whose answer is awaited, and those who are asked for next. */
  let asked: Group | undefined
  let next: Group | undefined
  let bytes = 0

  function look(): void {
    if (asked !== undefined || next === undefined) return
    const group = next
    next = undefined
    const answer = current()
    if (answer === undefined) return finish(group)
    asked = group
    const goOn = (): void => {
      if (asked !== group) return
      asked = undefined
      finish(group)
      look()
    }
    const cancel = clock.after(PATIENCE, goOn)
    void answer.then(goOn, goOn).finally(cancel)
  }

  function finish({ messages, done }: Group): void {
    for (const message of messages) {
      bytes -= memoryOf(message)
      pass(message)
      message.large?.letGo()
    }
    done.resolve()
  }

  /** All that wait, in their order. */
  function letPass(): void {
    const groups = [asked, next].filter((group) => group !== undefined)
    asked = next = undefined
    for (const group of groups) finish(group)
  }

  return {
    take(message) {
      if (next === undefined) {
        next = { messages: [], done: Promise.withResolvers() }
        if (asked === undefined) clock.endOfTurn(look)
      }
      message.large?.hold()
      bytes += memoryOf(message)
      next.messages.push(message)
      if (bytes > maxBytes) letPass()
    },
    passed: ({ offset }) => [asked, next].find((group) => group !== undefined && (group.messages[0]?.offset ?? Infinity) <= offset && (group.messages.at(-1)?.offset ?? 0) >= offset)?.done.promise,
    idle: () => (next ?? asked)?.done.promise ?? Promise.resolve(),
  }
}
