/** A connection that can be told that the server is going. */
export interface Leaving {
  close(code: number, reason: string): void
  destroy(): void
}

const STEP_MS = 50
const REASON = 'the server is going away'

/**
 * Tells everyone goodbye with 1001, spread evenly over `spreadMs`, so that they do not all come back in one instant.
 * Settles when `open` is empty; when the deadline aborts, those who have not been told are, and all are cut off.
 * @param open the connections; each takes itself out when it is closed
 */
export async function sayGoodbye(
  open: ReadonlySet<Leaving>,
  spreadMs: number,
  deadline: AbortSignal,
  after: (ms: number, fn: () => void) => void,
): Promise<void> {
  const all = [...open]
  const steps = Math.max(1, Math.floor(spreadMs / STEP_MS))
  const perStep = Math.ceil(all.length / steps)
  const { promise: timeIsUp, resolve } = Promise.withResolvers<void>()
  const cut = (): void => {
    for (const one of open) {
      one.close(1001, REASON)
      one.destroy()
    }
    resolve()
  }
  if (deadline.aborted) cut()
  deadline.addEventListener('abort', cut, { once: true })
  for (let at = 0; at < all.length && !deadline.aborted; ) {
    for (const end = at + perStep; at < end && at < all.length; at++) all[at]?.close(1001, REASON)
    if (at < all.length) await pause(STEP_MS)
  }
  while (open.size > 0 && !deadline.aborted) await pause(STEP_MS / 5)
  deadline.removeEventListener('abort', cut)

  function pause(ms: number): Promise<void> {
    return Promise.race([timeIsUp, new Promise<void>((next) => after(ms, next))])
  }
}
