import type { Checker, Verdict } from '../../../protocol/lonelyps/authorization.ts'
import { claims, type Claim } from '../../../protocol/lonelyps/claims.ts'
import type { ToBroadcaster } from '../../../protocol/lonelyps/stateful/messages.ts'
import type { Counters } from './counters.ts'
import type { Later } from './later.ts'

type Begun = { readonly topic: Buffer; readonly identifier: Buffer; readonly sha512: Buffer; readonly tracing: Buffer }

/** A message that is being checked. */
export interface Checked {
  readonly verdict: Later<Verdict>
  /** The pseudo-url that it is signed with; '' where it is with none. */
  readonly url: string
}

/**
 * Whether what a subscriber says is proved (lonelyps, sections 3 and 4.7). To be called once for each message, in the order
 * in which they came: counters follow it, and parts are signed with what the first of them says.
 */
export function createChecks(checker: Checker, counters: Counters): (message: ToBroadcaster) => Checked {
  let stream: Begun | undefined

  /** A claim that is bound to this connection and to one message of it cannot come again: nothing is to be remembered. */
  function bound(message: ToBroadcaster, claimOf: (url: string) => Claim): Checked {
    const url = counters.subscriber()
    return { verdict: checker.checkBound(message.authorization, claimOf(url)), url }
  }

  function free(message: ToBroadcaster, claim: Claim): Checked {
    return { verdict: checker.check(message.authorization, claim), url: '' }
  }

  return (message) => {
    const { tracing } = message
    switch (message.type) {
      case 'configure': return free(message, claims.configure(message))
      case 'subscribe_exact':
      case 'unsubscribe_exact': return bound(message, (url) => claims.subscribeExact({ url, recovery: undefined, topic: message.topic, tracing }))
      case 'subscribe_glob':
      case 'unsubscribe_glob': return bound(message, (url) => claims.subscribeGlob({ url, recovery: undefined, glob: message.glob, tracing }))
      case 'continue_receive': return bound(message, (url) => claims.continueReceive({ url, identifier: message.identifier, part: message.part, tracing }))
      case 'confirm_receive': return bound(message, (url) => claims.confirmReceive({ url, identifier: message.identifier, subscribers: message.subscribers, tracing }))
      case 'notify': {
        const { identifier, head: { topic, sha512 } } = message
        return free(message, claims.notify({ topic, identifier, sha512, tracing }))
      }
      case 'notify_stream': {
        const { head, identifier } = message
        // Copies: the frame is let go of before the last part has come.
        if (head !== undefined) stream = { topic: Buffer.from(head.topic), identifier: Buffer.from(identifier), sha512: Buffer.from(head.sha512), tracing: Buffer.from(tracing) }
        // Where nothing was begun it is refused for that, later.
        return stream === undefined ? { verdict: 'ok', url: '' } : free(message, claims.notify(stream))
      }
      default: return message satisfies never
    }
  }
}
