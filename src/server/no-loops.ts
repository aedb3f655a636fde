import { replyEmptyUnread } from '../http/reply.ts'
import type { Route } from '../http/server.ts'

/** What the hub's own webhooks carry: the epoch of the hub that sent them. */
export const HUB_HEADER = 'Waystation-Hub'

/**
 * Refuses what this hub itself has sent (508, RFC 5842). The guard keeps webhooks from the hub's own addresses, but not every
 * way to them can be known: a proxy, a forwarded port, a second name. Without this, one message could go round for ever.
 */
export function createNoLoops(epoch: string): Route {
  return {
    takes: ({ message }) => message.headers['waystation-hub'] === epoch,
    answer: ({ message }, response) => replyEmptyUnread(message, response, 508),
  }
}
