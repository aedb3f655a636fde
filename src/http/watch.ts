export interface Watch {
  /** Looks now. */
  reload(): Promise<void>
  stop(): void
}

const LOOK_MS = 1_000

/**
 * Looks at contents every second and hands them over when they changed. What cannot be read or used is told once, until
 * it changes again. The contents are compared, not times: what changed before the first look is seen as well, and so is a
 * link that points elsewhere.
 */
export function watchContents<T>(parts: {
  /** Rejects with what is told when it cannot be read. */
  read(): Promise<T>
  /** What tells one state of the contents from another. */
  markOf(found: T): string
  /** The mark of what is there already. */
  first: string
  /** Throws what is told when they cannot be used. */
  take(found: T): void | Promise<void>
  error(error: Error): void
  /** Called after each look, whatever it found. */
  looked?(): void
}): Watch {
  /** What the last look found, usable or not. */
  let seen = parts.first
  let running: Promise<void> | undefined
  let [again, stopped] = [false, false]

  async function look(): Promise<void> {
    const found = await parts.read().then((contents) => ({ contents }), (error: Error) => error)
    const mark = found instanceof Error ? found.message : parts.markOf(found.contents)
    if (mark === seen || stopped) return
    seen = mark
    try {
      if (found instanceof Error) throw found
      await parts.take(found.contents)
    } catch (error) {
      if (!stopped) parts.error(error as Error)
    }
  }
  async function load(): Promise<void> {
    do {
      again = false
      await look()
    } while (again)
    running = undefined
    if (!stopped) parts.looked?.()
  }
  function reload(): Promise<void> {
    again = running !== undefined
    return (running ??= load())
  }
  const timer = setInterval(() => void reload(), LOOK_MS)
  timer.unref()
  return {
    reload,
    stop() {
      stopped = true
      clearInterval(timer)
    },
  }
}
