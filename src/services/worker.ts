import type { Limits } from '../core/limits.ts'
import type { Clock, Random } from '../core/ports.ts'
import { errorText, TERM } from '../protocol/erps/payload.ts'
import { createBackoff, type Ending as TryEnding } from '../zones/backoff.ts'
import type { Dial, Dialled } from '../zones/ports.ts'
import type { Answerer } from './answerer.ts'
import { aborted } from './local-caller.ts'
import type { Connection, ConnectionEvents, Ending } from './ports.ts'

/** Where a worker is. */
export type WorkerState =
  | { readonly state: 'connecting' }
  /** The hub has taken the offer: calls come. */
  | { readonly state: 'working' }
  /** There is no hub, or it does not take the offer; it is tried again by itself. */
  | { readonly state: 'down'; readonly why: string }
  /** It takes no more, and answers what it has. */
  | { readonly state: 'draining' }
  | { readonly state: 'stopped' }

/** One worker of a pool: it connects to a hub and answers what that hands it. */
export interface Worker {
  readonly state: WorkerState
  /** Calls that are not answered yet. */
  readonly pending: number
  /** Answers that nobody waited for any more. */
  readonly late: number
  start(): void
  /** Takes no more, answers what it has, and goes for good. Settles when it is over, at once where the deadline aborts. */
  stop(deadline: AbortSignal): Promise<void>
}

export interface WorkerParts {
  readonly dial: Dial
  /** Opens the protocol over what was dialled, and offers the work. */
  readonly open: (dialled: Dialled, events: ConnectionEvents) => Connection
  /** What answers, once the hub has taken the offer. */
  readonly answerer: (connection: Connection) => Answerer
  readonly clock: Clock
  readonly random: Random
  readonly limits: Limits
  readonly changed: (state: WorkerState) => void
}

interface Line {
  readonly connection: Connection
  /** Since the hub has taken the offer. */
  up: { readonly since: number; readonly answerer: Answerer } | undefined
}

/** ms that the hub's last calls may need to come in: until it has heard that no more are wanted. */
const LINGER = 200
/** Over TLS 1.3 the own end hears nothing of a certificate that is not taken: the connection is up for it, and ends. */
const REFUSED_UNHEARD = '; a hub that refuses the certificate of a worker ends the connection so, and says why in its log'
/** Takes no more: behind a term that says nothing. */
const NOTHING = Buffer.of(106)

/**
 * A worker dials out and offers its work; only a Waystation understands that, and says so. Whenever there is no connection
 * it is made again, for ever: at once after one that was up, later and later after failures.
 */
export function createWorker(parts: WorkerParts): Worker {
  const { clock, limits } = parts
  const backoff = createBackoff({ first: limits.serviceRetry, most: limits.maxServiceRetry, random: parts.random })
  let state: WorkerState = { state: 'connecting' }
  let attempt = new AbortController()
  let line: Line | undefined
  let unwait = (): void => {}
  let late = 0
  let ended: Promise<void> | undefined

  function become(next: WorkerState): void {
    if (state.state === next.state && ('why' in state ? state.why : '') === ('why' in next ? next.why : '')) return
    state = next
    parts.changed(next)
  }

  async function connect(): Promise<void> {
    if (ended !== undefined) return
    const { signal } = (attempt = new AbortController())
    const dialled = await parts.dial(signal).catch((error: Error) => error)
    if (signal.aborted) {
      if (!(dialled instanceof Error)) dialled.stream.destroy()
    } else if (dialled instanceof Error) retry('failed', dialled.message, 0)
    else take(dialled)
  }

  function take(dialled: Dialled): void {
    const isOwn = (): boolean => line !== undefined && line === own
    const connection = parts.open(dialled, {
      packet(packet, extension) {
        if (!isOwn()) return
        if (packet.type === 'error') return connection.drop('refused', errorText(packet.payload.subarray(TERM.length)) ?? 'it does not say why')
        own.up?.answerer.packet(packet, extension)
      },
      shown() {
        if (!isOwn() || own.up !== undefined) return
        own.up = { since: clock.monotonic(), answerer: parts.answerer(connection) }
        // It was stopped while it offered: what the hub has sent meanwhile goes to others.
        if (ended !== undefined) return void drain(own)
        // A hub that does not want it says so right behind its welcome.
        clock.endOfTurn(() => {
          if (isOwn() && ended === undefined) become({ state: 'working' })
        })
      },
      ended(why, detail) {
        if (isOwn()) over(own, why, detail)
      },
    })
    const own: Line = { connection, up: undefined }
    line = own
  }

  function over(own: Line, why: Ending, detail: string): void {
    line = undefined
    own.up?.answerer.ended(why, detail)
    late += own.up?.answerer.late ?? 0
    if (why === 'refused') retry('refused', `the hub refuses this worker: ${detail}`, 0)
    else if (own.up === undefined) retry('failed', `what answers there has not taken the offer of work, as a hub of Waystation does: ${detail}${why === 'lost' ? REFUSED_UNHEARD : ''}`, 0)
    else retry(why === 'lost' || why === 'silent' ? 'lost' : 'failed', detail, clock.monotonic() - own.up.since)
  }

  function retry(ending: TryEnding, why: string, lasted: number): void {
    if (ended !== undefined) return
    unwait = clock.after(backoff.after(ending, lasted), () => void connect())
    become({ state: 'down', why })
  }

  async function drain({ connection, up }: Line): Promise<void> {
    connection.send('keepalive', [TERM, NOTHING], { extension: { kind: 'drain' } })
    await up?.answerer.drain()
  }

  async function end(deadline: AbortSignal): Promise<void> {
    attempt.abort()
    unwait()
    const had = line
    if (had !== undefined) {
      if (had.up !== undefined && !deadline.aborted) {
        become({ state: 'draining' })
        await Promise.race([drain(had), aborted(deadline)])
        // Those that the hub has sent meanwhile are told that nobody does them, so that others can.
        if (line === had) await Promise.race([new Promise<void>((resolve) => void clock.after(LINGER, resolve)), aborted(deadline)])
      }
      await had.connection.close(deadline)
    }
    become({ state: 'stopped' })
  }

  return {
    get state() { return state },
    get pending() { return line?.up?.answerer.pending ?? 0 },
    get late() { return late + (line?.up?.answerer.late ?? 0) },
    start: () => void connect(),
    stop: (deadline) => (ended ??= Promise.resolve().then(() => end(deadline))),
  }
}
