import type { IncomingMessage } from 'node:http'

/** Watches that request bodies come to an end, or at least come. */
export interface BodyWatch {
  /** From now on, until the body has come or the request is closed. */
  begin(message: IncomingMessage): void
  /** To be called now and then. */
  look(): void
}

/** What a large body must bring in each span of the request time: less is a connection held for nothing. */
export const LEAST_BYTES = 1_048_576

const large = new WeakSet<IncomingMessage>()

/** This body may take longer than the request time, as long as it comes at a fair pace. */
export function expectLargeBody(message: IncomingMessage): void {
  large.add(message)
}

/**
 * Node bounds the time of all bodies alike; one of eight gigabytes has no place in it. So the time is kept here.
 * @param span the request time, in milliseconds
 * @param late told of a body that did not come in time
 */
export function createBodyWatch(span: number, now: () => number, late: (message: IncomingMessage) => void): BodyWatch {
  const open = new Map<IncomingMessage, { due: number; seen: number }>()

  function isOver(message: IncomingMessage, one: { due: number; seen: number }): boolean {
    const { bytesRead } = message.socket
    if (!large.has(message) || bytesRead - one.seen < LEAST_BYTES) return true
    one.seen = bytesRead
    one.due = now() + span
    return false
  }

  return {
    begin(message) {
      open.set(message, { due: now() + span, seen: message.socket.bytesRead })
      message.once('close', () => open.delete(message))
      message.once('end', () => open.delete(message))
    },
    look() {
      const time = now()
      for (const [message, one] of open) {
        if (one.due > time || !isOver(message, one)) continue
        open.delete(message)
        late(message)
      }
    },
  }
}
