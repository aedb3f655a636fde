import { WaystationError } from '../core/errors.ts'
import type { Topic } from '../core/topic.ts'
import { createReceived, type Content, type ReceivedMessage } from './received.ts'

export interface FeedOptions {
  /**
   * Told that something on a topic was missed. Without it the next step of the feed throws `gap`; the feed itself goes on,
   * and can be iterated again.
   */
  readonly onMissed?: (topic: string) => void
}

/**
 * Messages as they come. A message is confirmed to its broadcaster when the next is asked for, or the feed ends: a feed
 * that nobody reads holds up whoever published. Leaving the loop ends the feed.
 */
export interface Feed extends AsyncIterableIterator<ReceivedMessage>, AsyncDisposable {
  /** Settles when broadcasters have the subscription. Rejects with what the loop throws, if it comes to nothing. */
  readonly ready: Promise<void>
  return(): Promise<IteratorResult<ReceivedMessage>>
  /** Ends the feed; settles when the broadcasters know, or could not be told. Never rejects. */
  close(): Promise<void>
}

/** A message on its way into feeds. */
export interface Parcel {
  readonly topic: Topic
  readonly content: Content
  /** Called once by each feed that got it: `taken` when somebody has seen it. */
  released(outcome: 'taken' | 'unseen'): void
}

/** The other end of a feed. */
export interface Inlet {
  push(parcel: Parcel): void
  missed(...topics: readonly Topic[]): void
  /** No more comes. With an error, that is what the next step throws. */
  end(error?: WaystationError): void
}

type Step = IteratorResult<ReceivedMessage>

/**
 * @param parts.ready settles when the subscription stands; `leave` takes it back, called once, and never rejects
 */
export function createFeed(parts: { onMissed: ((topic: string) => void) | undefined; leave: () => Promise<void> }): { feed: Omit<Feed, 'ready'>; inlet: Inlet } {
  const { onMissed, leave } = parts
  const queue: Parcel[] = []
  const waiting: PromiseWithResolvers<Step>[] = []
  let letGo: (() => void) | undefined
  let gap: WaystationError | undefined
  let over: 'no' | 'yes' | WaystationError = 'no'
  let leaving: Promise<void> | undefined

  function hand(parcel: Parcel): Step {
    const received = createReceived(parcel.topic, parcel.content)
    letGo = () => {
      letGo = undefined
      received.letGo()
      parcel.released('taken')
    }
    return { done: false, value: received.message }
  }

  function end(error?: WaystationError): void {
    if (over !== 'no') return
    over = error ?? 'yes'
    letGo?.()
    for (const parcel of queue.splice(0)) release(parcel)
    for (const one of waiting.splice(0)) settle(one)
  }

  function release({ content, released }: Parcel): void {
    content.large?.letGo()
    released('unseen')
  }

  /** What stands at the end: its error once, then nothing more. */
  function settle(one: PromiseWithResolvers<Step>): void {
    if (over instanceof WaystationError) {
      one.reject(over)
      over = 'yes'
    } else one.resolve({ done: true, value: undefined })
  }

  const inlet: Inlet = {
    push(parcel) {
      if (over !== 'no') return parcel.released('unseen')
      parcel.content.large?.hold()
      const first = waiting.shift()
      if (first === undefined) return void queue.push(parcel)
      letGo?.()
      first.resolve(take(parcel))
    },
    missed(...topics) {
      if (over !== 'no') return
      if (onMissed !== undefined) return topics.forEach((topic) => onMissed(topic))
      const more = topics.length > 1 ? `, or on ${topics.length - 1} more,` : ''
      const error = new WaystationError('gap', `something on ${JSON.stringify(topics[0])}${more} was missed`)
      const first = waiting.shift()
      if (first === undefined) gap ??= error
      else first.reject(error)
    },
    end,
  }

  /** Out of the queue: what it held is held by the message from now on. */
  function take(parcel: Parcel): Step {
    const step = hand(parcel)
    parcel.content.large?.letGo()
    return step
  }

  function close(): Promise<void> {
    end()
    return (leaving ??= leave())
  }

  const feed: Omit<Feed, 'ready'> = {
    next() {
      letGo?.()
      const one = Promise.withResolvers<Step>()
      const parcel = queue[0]
      if (over !== 'no') settle(one)
      else if (gap !== undefined) {
        one.reject(gap)
        gap = undefined
      } else if (parcel === undefined) waiting.push(one)
      else {
        queue.shift()
        one.resolve(take(parcel))
      }
      return one.promise
    },
    async return() {
      await close()
      return { done: true, value: undefined }
    },
    close,
    [Symbol.asyncIterator]() {
      return this as Feed
    },
    [Symbol.asyncDispose]: close,
  }
  return { feed, inlet }
}
