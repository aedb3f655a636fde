import type { ChangeLog } from './change-log.ts'
import type { Listened, Report } from './calls.ts'

/** Tells what changes in the database, to who has asked for it, and whether the database can be asked at all. */
export interface Listening {
  /** Tells what there is of this, and from then on what changes of it. It goes on when that was not possible yet. */
  begin(what: Listened): void
  /** Tells all that was not told yet. */
  tell(): void
  /** What was done is done, whether or not it can be read again now: then the next look tells of it. */
  tellCommitted(): void
  /** The database has answered, or has not. */
  answered(available: boolean): void
  stop(): void
}

interface ListeningParts {
  /** Those of the database that is open now; `undefined` where there is none. */
  readonly feeds: () => Readonly<Record<Listened, ChangeLog>> | undefined
  readonly report: (report: Report) => void
  /** Milliseconds between two looks for what others have changed. */
  readonly pollInterval: number
  readonly from: readonly Listened[]
}

export function createListening({ feeds, report, pollInterval, from }: ListeningParts): Listening {
  const listened = new Set(from)
  let available: boolean | undefined
  let polling: NodeJS.Timeout | undefined

  function poll(): void {
    try {
      const here = feeds()
      for (const what of listened) for (const news of here?.[what].foreignNews() ?? []) report({ news })
      answered(true)
    } catch {
      // Whoever asks next is told why. The next poll tries again.
      answered(false)
    }
  }

  function tell(): void {
    const here = feeds()
    for (const what of listened) for (const news of here?.[what].news() ?? []) report({ news })
  }

  function answered(now: boolean): void {
    if (now !== available) report({ available: now })
    available = now
  }

  if (listened.size > 0) {
    polling = setInterval(poll, pollInterval)
    poll()
  }

  return {
    begin(what) {
      listened.add(what)
      polling ??= setInterval(poll, pollInterval)
      tell()
    },
    tell,
    tellCommitted() {
      try {
        if (listened.size > 0) tell()
      } catch {
        // As said above.
      }
    },
    answered,
    stop: () => clearInterval(polling),
  }
}
