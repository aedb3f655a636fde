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
  /** Subscriptions that are there or asked for, by their weight. */
  readonly weight: number
  /** Different globs of them. */
  readonly globs: number
  hasGlob(source: Topic): boolean
  /** Counts what is asked for, before anything comes of it. Gives what takes that back: call it once. */
  reserve(target: Topic, pattern: Pattern | undefined): () => void
  /** Gives what takes it out again: call it once. */
  add(kind: Kind, target: Topic, pattern: Pattern | undefined, socket: SocketSubscriber): () => void
  /** Each once. Looks at every glob: not for the way of a message. */
  of(topic: Topic): ReadonlySet<SocketSubscriber>
}

interface Glob {
  readonly pattern: Pattern
  readonly sockets: Set<SocketSubscriber>
  /** By those who have asked for it, or have it. */
  reserved: number
}

const WEIGHT_BYTES = 1_024

/** One subscription counts as one, and as one more for each KiB of its topic or glob: no number of them may cost any memory. */
export function weightOf(target: Topic): number {
  return 1 + Math.floor(target.length / WEIGHT_BYTES)
}

export function createWanted(): Wanted {
  const topics = new Map<Topic, Set<SocketSubscriber>>()
  const globs = new Map<Topic, Glob>()
  let weight = 0

  function globOf(source: Topic, pattern: Pattern): Glob {
    let glob = globs.get(source)
    if (glob === undefined) globs.set(source, (glob = { pattern, sockets: new Set(), reserved: 0 }))
    return glob
  }

  function forget(source: Topic, { sockets, reserved }: Glob): void {
    if (sockets.size === 0 && reserved === 0) globs.delete(source)
  }

  return {
    get weight() { return weight },
    get globs() { return globs.size },
    hasGlob: (source) => globs.has(source),
    reserve(target, pattern) {
      const own = weightOf(target)
      weight += own
      const glob = pattern === undefined ? undefined : globOf(target, pattern)
      if (glob !== undefined) glob.reserved++
      return () => {
        weight -= own
        if (glob === undefined) return
        glob.reserved--
        forget(target, glob)
      }
    },
    add(kind, target, pattern, socket) {
      if (kind === 'exact' || pattern === undefined) return into(topics, target, socket)
      const glob = globOf(target, pattern)
      glob.sockets.add(socket)
      return () => {
        glob.sockets.delete(socket)
        forget(target, glob)
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
