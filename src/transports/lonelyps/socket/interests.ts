import { compilePattern, type Pattern } from '../../../core/pattern.ts'
import type { HubPort, Identity } from '../../../core/ports.ts'
import type { LostInterest } from '../../../core/message.ts'
import { overlapOf } from '../../../core/overlap.ts'
import { topicFromBytes, type Topic } from '../../../core/topic.ts'
import type { Kind } from '../../../protocol/lonelyps/requests.ts'
import { Fault } from './fault.ts'
import type { Later } from './later.ts'
import { weightOf, type SocketSubscriber, type Wanted } from './wanted.ts'

/** Keeps other hubs on the same registry sending here what sockets want. */
export interface Relaying {
  /** Settles when the registry has it, and whatever is published at any hub from then on finds it there. Rejects when it cannot. */
  want(kind: Kind, target: Topic): Promise<void>
  leave(kind: Kind, target: Topic): void
}

/** What one socket has subscribed to (lonelyps, section 4.8). */
export interface Interests {
  /**
   * Asks for a subscription. Nothing comes before `begin`, which the caller calls in one step with the confirmation.
   * @throws {Fault} when it has it, may not, or has too many
   */
  ask(kind: Kind, bytes: Buffer): Later<{ begin(): void }>
  /** Takes one back. @throws {Fault} when it has none */
  leave(kind: Kind, bytes: Buffer): { end(): void }
  leaveAll(): void
  /** What of it a loss touches, step by step: topics, and `'any'` for what nobody can name. Some topics may come twice. */
  touched(lost: LostInterest): Generator<Topic | 'any' | undefined, void>
}

export interface InterestsParts {
  readonly hub: HubPort
  readonly identity: Identity
  readonly wanted: Wanted
  readonly relaying: Relaying | undefined
  readonly bounds: { readonly maxSocketSubscriptions: number; readonly maxRegistrations: number; readonly maxSocketGlobs: number; readonly maxGlobBytes: number }
}

interface Interest {
  readonly kind: Kind
  readonly target: Topic
  /** Of a glob. */
  readonly pattern: Pattern | undefined
  /** What takes back all that was begun for it. */
  undo: () => void
}

export function createInterests(parts: InterestsParts, socket: () => SocketSubscriber): Interests {
  const { hub, identity, wanted, relaying, bounds } = parts
  const own = new Map<string, Interest>()
  /** Taken back, but that is not confirmed yet. */
  const leaving = new Set<Interest>()
  let weight = 0
  let over = false

  function patternOf(target: Topic, size: number): Pattern {
    if (size > bounds.maxGlobBytes) throw new Fault(`a glob of ${size} bytes`)
    if (!wanted.hasGlob(target) && wanted.globs >= bounds.maxSocketGlobs) throw new Fault('sockets have all the globs that they may have')
    try {
      return compilePattern(target)
    } catch (error) {
      throw new Fault((error as Error).message)
    }
  }

  function enter(kind: Kind, target: Topic, pattern: Pattern | undefined, one: Interest): void {
    // It has gone while the registry was asked.
    if (over) return
    const forget = wanted.add(kind, target, pattern, socket())
    const leaveHub = hub.join(pattern === undefined ? { topics: [target], patterns: [] } : { topics: [], patterns: [pattern] }, socket())
    one.undo = both(both(leaveHub, forget), one.undo)
  }

  return {
    ask(kind, bytes) {
      const target = topicFromBytes(bytes)
      const key = `${kind} ${target}`
      if (own.has(key)) throw new Fault('subscribed to that already')
      if (weight + weightOf(target) > bounds.maxSocketSubscriptions) throw new Fault(`more than ${bounds.maxSocketSubscriptions} subscriptions`)
      if (wanted.weight + weightOf(target) > bounds.maxRegistrations) throw new Fault('sockets have all the subscriptions that they may have')
      const pattern = kind === 'glob' ? patternOf(target, bytes.length) : undefined
      if (!hub.maySubscribe(pattern === undefined ? { topics: [target], patterns: [] } : { topics: [], patterns: [pattern] }, identity)) throw new Fault('a rule does not allow that subscription')
      // Counted from now on: what is asked for may be long in coming.
      const one: Interest = { kind, target, pattern, undo: wanted.reserve(target, pattern) }
      own.set(key, one)
      weight += weightOf(target)
      const begin = (): void => enter(kind, target, pattern, one)
      if (relaying === undefined) return { begin }
      return relaying.want(kind, target).then(() => {
        // It may have gone meanwhile.
        if (over) relaying.leave(kind, target)
        else one.undo = both(one.undo, () => relaying.leave(kind, target))
        return { begin }
      }, (error: Error) => {
        throw new Fault(`the registry: ${error.message}`)
      })
    },
    leave(kind, bytes) {
      const target = topicFromBytes(bytes)
      const key = `${kind} ${target}`
      const one = own.get(key)
      if (one === undefined) throw new Fault('not subscribed to that')
      own.delete(key)
      weight -= weightOf(target)
      leaving.add(one)
      return {
        end() {
          if (leaving.delete(one)) one.undo()
        },
      }
    },
    *touched(lost) {
      const overlap = overlapOf(lost)
      for (const { target, pattern } of own.values()) {
        if (pattern === undefined) yield overlap.wants(target) ? target : undefined
        else if (overlap.patternsMayMeet(pattern)) yield 'any'
        else yield* overlap.namesIn(pattern)
      }
    },
    leaveAll() {
      over = true
      // What it had stays known: what came before it went may still take it back.
      for (const one of [...own.values(), ...leaving]) {
        one.undo()
        one.undo = () => {}
      }
      leaving.clear()
    },
  }
}

function both(first: () => void, second: () => void): () => void {
  return () => {
    first()
    second()
  }
}
