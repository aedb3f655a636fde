import type { Later } from './later.ts'

/** Does what comes in, one after the other, and stops reading while too much of it waits. */
export interface Inlet<Step> {
  /** Frames that wait, or whose step has begun. */
  readonly waiting: number
  /** Nothing more is read for now. */
  readonly paused: boolean
  /** @param size bytes that it keeps in memory until it is done */
  push(step: Step, size: number): void
  /** Looks again whether more may be read. */
  look(): void
  /** What still waits is not done. */
  drop(): void
}

export interface InletParts<Step> {
  readonly act: (step: Step) => Later<void>
  readonly failed: (error: unknown) => void
  /** All was done that has come. */
  readonly idle: () => void
  readonly wire: { pause(): void; resume(): void }
  /** Requests that wait elsewhere. */
  readonly others: () => number
  readonly maxWaiting: number
  /** Whether the peer has too much to read already. It is looked again when it has read that. */
  readonly unread: () => boolean
}

/** Frames that wait keep no more than this, but for one. */
const MOST_BYTES = 1_048_576

export function createInlet<Step>(parts: InletParts<Step>): Inlet<Step> {
  const { act, failed, wire } = parts
  let row: { step: Step; size: number }[] = []
  let bytes = 0
  let busy = false
  let paused = false

  function run(): void {
    while (!busy && row.length > 0) {
      const { step, size } = row.shift() as { step: Step; size: number }
      let done: Later<void>
      try {
        done = act(step)
      } catch (error) {
        bytes -= size
        failed(error)
        continue
      }
      if (!(done instanceof Promise)) {
        bytes -= size
        continue
      }
      busy = true
      done.catch(failed).then(() => {
        busy = false
        bytes -= size
        run()
      })
    }
    if (!busy) parts.idle()
    look()
  }

  function look(): void {
    const full = row.length + parts.others() >= parts.maxWaiting || bytes > MOST_BYTES || parts.unread()
    if (full === paused) return
    paused = full
    if (full) wire.pause()
    else wire.resume()
  }

  return {
    get waiting() { return row.length + (busy ? 1 : 0) },
    get paused() { return paused },
    push(step, size) {
      row.push({ step, size })
      bytes += size
      run()
    },
    look,
    drop() {
      for (const { size } of row) bytes -= size
      row = []
    },
  }
}
