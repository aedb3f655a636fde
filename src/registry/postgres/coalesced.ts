/**
 * Something that is not done twice at once: who asks while it is being done waits for it to be done once more, all of them
 * for the same time. When it fails, those who wait for the next time fail with it.
 */
export function coalesced(act: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  let next: Promise<void> | undefined

  return function again(): Promise<void> {
    if (running === undefined) return (running = act().finally(() => (running = undefined)))
    return (next ??= running.finally(() => (next = undefined)).then(again))
  }
}
