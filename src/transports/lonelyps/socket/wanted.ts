import type { Pattern } from '../../../core/pattern.ts'
import type { Kind } from '../../../protocol/lonelyps/requests.ts'
import type { Subscriber } from '../../../core/ports.ts'
import { topicIsText, type Topic } from '../../../core/topic.ts'

/** A socket, as the hub knows it. */
export interface SocketSubscriber extends Subscriber {
  /** Something on a topic that it wants may have been missed. */
  missed(topic: Topic): void
}

/** Which sockets want what: for what is said to all who want a topic, beside its messages, and to bound globs. */
export interface Wanted {
  /** Different globs. */
  readonly globs: number
  hasGlob(source: Topic): boolean
  /** Gives what takes it out again: call it once. */
  add(kind: Kind, target: Topic, pattern: Pattern | undefined, socket: SocketSubscriber): () => void
  /** Each once. Looks at every glob: not for the way of a message. */
  of(topic: Topic): ReadonlySet<SocketSubscriber>
}

export function createWanted(): Wanted {
  const topics = new Map<Topic, Set<SocketSubscriber>>()
  const globs = new Map<Topic, { readonly pattern: Pattern; readonly sockets: Set<SocketSubscriber> }>()

  return {
    get globs() { return globs.size },
    hasGlob: (source) => globs.has(source),
    add(kind, target, pattern, socket) {
      if (kind === 'exact' || pattern === undefined) return into(topics, target, socket)
      let glob = globs.get(target)
      if (glob === undefined) globs.set(target, (glob = { pattern, sockets: new Set() }))
      const { sockets } = glob
      sockets.add(socket)
      return () => {
        sockets.delete(socket)
        if (sockets.size === 0 && globs.get(target)?.sockets === sockets) globs.delete(target)
      }
    },
    of(topic) {
      const found = new Set(topics.get(topic))
      if (!topicIsText(topic)) return found
      for (const { pattern, sockets } of globs.values()) {
        if (pattern.matches(topic)) for (const socket of sockets) found.add(socket)
      }
      return found
    },
  }
}

function into(map: Map<Topic, Set<SocketSubscriber>>, target: Topic, socket: SocketSubscriber): () => void {
  let sockets = map.get(target)
  if (sockets === undefined) map.set(target, (sockets = new Set()))
  const own = sockets
  own.add(socket)
  return () => {
    own.delete(socket)
    if (own.size === 0 && map.get(target) === own) map.delete(target)
  }
}
