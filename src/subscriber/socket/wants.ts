import type { WaystationError } from '../../core/errors.ts'
import type { Topic } from '../../core/topic.ts'
import type { Inlet } from '../feed.ts'
import { matches, type Target } from '../targets.ts'

/** What the feeds want, and which of it the broadcaster of this connection has confirmed. */
export interface Wants {
  readonly size: number
  /** Everything that is wanted, each once. */
  targets(): Target[]
  /** Gives the targets that nobody wanted before, and what settles when all of the feed's stand. */
  join(inlet: Inlet, targets: readonly Target[]): { added: Target[]; ready: Promise<void> }
  /** Gives the targets that nobody wants any more. */
  leave(inlet: Inlet): Target[]
  /** Whose message it is: each feed once, however many of its targets match. */
  receivers(topic: Topic): Iterable<Inlet>
  /** The target as it was given by `targets` or `join`. */
  confirmed(target: Target): void
  /** The connection is gone, and with it all that was confirmed. */
  lost(): void
  /** Whether all stands. */
  stands(): boolean
  /** Ends every feed, those that were not ready with the error. */
  end(error?: WaystationError): void
}

interface Entry {
  readonly inlet: Inlet
  readonly targets: readonly Target[]
  readonly ready: PromiseWithResolvers<void>
  /** Keys that are not confirmed on this connection. */
  readonly missing: Set<string>
  wasReady: boolean
}

interface Place {
  readonly target: Target
  readonly entries: Set<Entry>
  stands: boolean
}

/** @param missed a feed hears that it missed something; may throw what the program's own function throws */
export function createWants(missed: (inlet: Inlet, topics: readonly Topic[]) => void): Wants {
  const places = new Map<string, Place>()
  const exact = new Map<Topic, Place>()
  const globs = new Set<Place>()
  const entries = new Map<Inlet, Entry>()

  function placeFor(target: Target): Place {
    const known = places.get(target.key)
    if (known !== undefined) return known
    const place: Place = { target, entries: new Set(), stands: false }
    places.set(target.key, place)
    if (target.kind === 'exact') exact.set(target.name, place)
    else globs.add(place)
    return place
  }

  /** All that a feed waited for is there: it begins, or goes on after a gap. */
  function complete(entry: Entry): void {
    if (entry.wasReady) return missed(entry.inlet, entry.targets.map(({ name }) => name))
    entry.wasReady = true
    entry.ready.resolve()
  }

  return {
    get size() { return entries.size },
    targets: () => [...places.values()].map(({ target }) => target),
    join(inlet, targets) {
      const entry: Entry = { inlet, targets, ready: Promise.withResolvers(), missing: new Set(), wasReady: false }
      entry.ready.promise.catch(() => {})
      entries.set(inlet, entry)
      const added: Target[] = []
      for (const target of targets) {
        const place = placeFor(target)
        if (place.entries.size === 0) added.push(target)
        place.entries.add(entry)
        if (!place.stands) entry.missing.add(target.key)
      }
      if (entry.missing.size === 0) complete(entry)
      return { added, ready: entry.ready.promise }
    },
    leave(inlet) {
      const gone: Target[] = []
      const entry = entries.get(inlet)
      if (entry === undefined) return gone
      entries.delete(inlet)
      entry.ready.resolve()
      for (const target of entry.targets) {
        const place = places.get(target.key)
        place?.entries.delete(entry)
        if (place === undefined || place.entries.size > 0) continue
        places.delete(target.key)
        // The text of a glob may be a topic, too.
        if (target.kind === 'exact') exact.delete(target.name)
        else globs.delete(place)
        gone.push(target)
      }
      return gone
    },
    receivers(topic) {
      const found = new Set<Inlet>()
      for (const { inlet } of exact.get(topic)?.entries ?? []) found.add(inlet)
      for (const place of globs) if (matches(place.target, topic)) for (const { inlet } of place.entries) found.add(inlet)
      return found
    },
    confirmed(target) {
      const { key } = target
      const place = places.get(key)
      // Given up and wanted anew meanwhile: another confirmation is to come.
      if (place?.target !== target) return
      place.stands = true
      for (const entry of place.entries) if (entry.missing.delete(key) && entry.missing.size === 0) complete(entry)
    },
    lost() {
      for (const place of places.values()) {
        place.stands = false
        for (const entry of place.entries) entry.missing.add(place.target.key)
      }
    },
    stands: () => [...places.values()].every(({ stands }) => stands),
    end(error) {
      const all = [...entries.values()]
      for (const map of [entries, places, exact, globs]) map.clear()
      for (const { inlet, ready } of all) {
        if (error === undefined) ready.resolve()
        else ready.reject(error)
        inlet.end(error)
      }
    },
  }
}
