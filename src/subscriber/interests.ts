import type { Topic } from '../core/topic.ts'
import { areDisjoint, matches, type Target } from './targets.ts'

/**
 * Who wants what, and by which url it comes. A broadcaster calls a url once for each of its registrations that match
 * (lonelyps, section 2.7), and a call does not say for which. So targets that may match the same topic are registered with
 * different urls, the doors: 0 is the usual one, and the only one while nothing overlaps. At one door a topic matches one
 * target at most, so a call tells its registration by door and topic. A receiver takes a message only from the first of its
 * targets that matches: once, without remembering anything.
 */
export interface Interests<R> {
  /** Gives the doors whose lists have changed. */
  join(receiver: R, targets: readonly Target[]): ReadonlySet<number>
  leave(receiver: R): ReadonlySet<number>
  /** The doors that the receiver's targets are at. */
  doorsOf(receiver: R): ReadonlySet<number>
  /** What is to be registered for a door. */
  wanted(door: number): readonly Target[]
  /** Whose message a call at a door is; `undefined` when nobody has a target there that matches. */
  receivers(door: number, topic: Topic): readonly R[] | undefined
  /** Everyone who wants the topic. */
  all(topic: Topic): readonly R[]
}

interface Place<R> {
  readonly target: Target
  readonly door: number
  readonly receivers: Set<R>
}

/** What is at one door: no topic matches two of these. */
interface Door<R> {
  readonly exact: Map<Topic, Place<R>>
  readonly globs: Set<Place<R>>
}

export function createInterests<R>(): Interests<R> {
  const doors: Door<R>[] = []
  const places = new Map<string, Place<R>>()
  const byReceiver = new Map<R, readonly Place<R>[]>()

  function isFree({ exact, globs }: Door<R>, target: Target): boolean {
    for (const other of globs) if (!areDisjoint(target, other.target)) return false
    if (target.kind === 'exact') return true
    for (const other of exact.values()) if (!areDisjoint(target, other.target)) return false
    return true
  }

  function placeFor(target: Target): Place<R> {
    const known = places.get(target.key)
    if (known !== undefined) return known
    let door = doors.findIndex((one) => isFree(one, target))
    if (door === -1) door = doors.push({ exact: new Map(), globs: new Set() }) - 1
    const place: Place<R> = { target, door, receivers: new Set() }
    places.set(target.key, place)
    if (target.kind === 'exact') doors[door]?.exact.set(target.name, place)
    else doors[door]?.globs.add(place)
    return place
  }

  function at(door: number, topic: Topic): Place<R> | undefined {
    const exact = doors[door]?.exact.get(topic)
    if (exact !== undefined) return exact
    for (const place of doors[door]?.globs ?? []) if (matches(place.target, topic)) return place
    return undefined
  }

  return {
    join(receiver, targets) {
      const changed = new Set<number>()
      const own = targets.map(placeFor)
      for (const place of own) {
        if (place.receivers.size === 0) changed.add(place.door)
        place.receivers.add(receiver)
      }
      byReceiver.set(receiver, own)
      return changed
    },
    leave(receiver) {
      const changed = new Set<number>()
      for (const place of byReceiver.get(receiver) ?? []) {
        place.receivers.delete(receiver)
        if (place.receivers.size > 0) continue
        changed.add(place.door)
        places.delete(place.target.key)
        // The text of a glob may be a topic, too.
        if (place.target.kind === 'exact') doors[place.door]?.exact.delete(place.target.name)
        else doors[place.door]?.globs.delete(place)
      }
      byReceiver.delete(receiver)
      return changed
    },
    doorsOf: (receiver) => new Set(byReceiver.get(receiver)?.map(({ door }) => door)),
    wanted(door) {
      const here = doors[door]
      return here === undefined ? [] : [...here.exact.values(), ...here.globs].map(({ target }) => target)
    },
    receivers(door, topic) {
      const place = at(door, topic)
      if (place === undefined) return undefined
      return [...place.receivers].filter((one) => byReceiver.get(one)?.find(({ target }) => matches(target, topic)) === place)
    },
    all(topic) {
      const found = new Set<R>()
      for (let door = 0; door < doors.length; door++) for (const one of at(door, topic)?.receivers ?? []) found.add(one)
      return [...found]
    },
  }
}
