import type { Limits } from '../core/limits.ts'
import type { Clock, Random } from '../core/ports.ts'
import { createBackoff, type Ending } from '../zones/backoff.ts'
import { openConnection, type Connection } from './connection.ts'
import type { FromGiver } from '../protocol/pony-express/messages.ts'
import type { Dial, Dialled } from '../zones/ports.ts'
import type { Slots } from '../zones/slots.ts'

/** A connection that is made again whenever it is gone, for ever. */
export interface Line {
  readonly connection: Connection | undefined
  start(): void
  /** Says goodbye, for good. Settles when it is over, at once where the deadline aborts. */
  stop(deadline: AbortSignal): Promise<void>
}

export interface LineEvents {
  /** A new connection: nothing has been sent over it, and nothing has come. */
  opened(connection: Connection): void
  up(connection: Connection): void
  said(said: FromGiver, connection: Connection): void
  /** There is none, and the next is tried after a while; also when it could not be made. */
  down(ending: Ending, why: string): void
}

export interface LineParts {
  readonly dial: Dial
  /** Of all lines of a link: a daemon has little time for each handshake. */
  readonly slots: Slots
  readonly clock: Clock
  readonly random: Random
  readonly limits: Limits
}

export function createLine(parts: LineParts, events: LineEvents): Line {
  const { dial, slots, clock, limits } = parts
  const backoff = createBackoff({ first: limits.linkRetry, most: limits.maxLinkRetry, random: parts.random })
  let attempt = new AbortController()
  let connection: Connection | undefined
  let unwait = (): void => {}
  let isStopped = false

  async function connect(): Promise<void> {
    const { signal } = (attempt = new AbortController())
    const dialled = await slots.run(signal, () => dial(signal)).catch((error: Error) => error)
    if (!(dialled instanceof Error)) {
      if (signal.aborted) dialled.stream.destroy()
      else take(dialled)
    } else if (!signal.aborted) retry('failed', dialled.message, 0)
  }

  function take(dialled: Dialled): void {
    const own: Connection = openConnection(dialled, { clock, limits }, {
      up: () => events.up(own),
      said: (said) => events.said(said, own),
      closed(ending, why, lasted) {
        if (connection !== own) return
        connection = undefined
        retry(ending, why, lasted)
      },
    })
    connection = own
    events.opened(own)
  }

  function retry(ending: Ending, why: string, lasted: number): void {
    unwait = clock.after(backoff.after(ending, lasted), start)
    events.down(ending, why)
  }

  function start(): void {
    if (!isStopped) void connect()
  }

  return {
    get connection() { return connection },
    start,
    async stop(deadline) {
      isStopped = true
      attempt.abort()
      unwait()
      const had = connection
      connection = undefined
      await had?.close(deadline)
    },
  }
}
