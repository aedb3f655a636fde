import type { Limits } from '../core/limits.ts'
import type { Clock, Random } from '../core/ports.ts'
import type { Extension, Packet } from '../protocol/erps/messages.ts'
import type { Ending as TryEnding } from '../zones/backoff.ts'
import type { Dial, Dialled } from '../zones/ports.ts'
import { createHeld, unsent, type Held } from './held.ts'
import type { Callee, Caller, Connection, ConnectionEvents, Ending } from './ports.ts'
import { createRetries } from './retries.ts'

/** Where the connection of a client is. */
export type ClientState =
  /** The first try, or the one that `connect` has asked for: calls wait for it. */
  | { readonly state: 'connecting' }
  /** `peer`: what the other end has shown itself to be so far. */
  | { readonly state: 'up'; readonly peer: 'waystation' | 'erps' }
  /** It is gone, or could not be made, and is tried again by itself. */
  | { readonly state: 'down'; readonly why: string }
  /** `disconnect` was called. */
  | { readonly state: 'disconnected' }
  | { readonly state: 'closed' }

export interface ClientCounters {
  /** Answers that nobody waited for any more. */
  readonly late: number
  /** Casts that had nowhere to go. */
  readonly dropped: number
  /** Packets of an original that could not be used; their calls end by their deadlines. */
  readonly unusable: number
}

/** One connection to one daemon, made again whenever it is gone. */
export interface ServiceClient extends Callee {
  readonly state: ClientState
  /** Calls that wait for an answer over the connection. */
  readonly pending: number
  readonly counters: ClientCounters
  /** Connects now, where there is no connection. */
  connect(): void
  /** Ends the connection, and stays without one until `connect` is called. */
  disconnect(): void
  /** The same for good. Settles when it is over, at once where the deadline aborts. */
  close(deadline: AbortSignal): Promise<void>
}

/** A caller that is told what comes over its connection. */
export interface ConnectedCaller extends Caller {
  packet(packet: Packet, extension: Extension | undefined): void
  ended(why: Ending, detail: string): void
}

export interface ClientParts {
  readonly dial: Dial
  /** Opens the protocol over what was dialled. */
  readonly open: (dialled: Dialled, events: ConnectionEvents) => Connection
  readonly caller: (connection: Connection) => ConnectedCaller
  readonly clock: Clock
  readonly random: Random
  readonly limits: Limits
  /** ms between two keepalives to an original. */
  readonly keepalive: number
  /** ms: the longest wait before the next try. */
  readonly reconnect: number
  readonly changed: (state: ClientState) => void
}

/** ms without an error after which a connection counts: in TLS 1.3 our certificate is refused after our handshake (`erps.md`, 10.4). */
const QUIET = 200
/** ms that what waits has to go out after `disconnect`. */
const GOODBYE = 1_000

interface Line {
  readonly connection: Connection
  readonly caller: ConnectedCaller
  /** When it began to count. */
  upSince: number | undefined
  /** Takes back its timers. */
  stop(): void
}

/**
 * A client of Erps (`erps.md`, section 9) that heals by itself. It connects when it is told to for the first time; calls and
 * casts that are made meanwhile wait for that try, and for no later one: without a connection calls fail at once with
 * `disconnected`, casts are dropped. A connection that is lost fails all that is not answered.
 */
export function createServiceClient(parts: ClientParts): ServiceClient {
  const { clock, limits } = parts
  const retries = createRetries({ first: Math.min(limits.serviceRetry, parts.reconnect), most: parts.reconnect, clock, random: parts.random })
  let state: ClientState = { state: 'disconnected' }
  let held: Held | undefined
  let attempt: AbortController | undefined
  let line: Line | undefined
  let unwait = (): void => {}
  let late = 0
  let dropped = 0
  let unusable = 0

  function become(next: ClientState): void {
    if (isSame(state, next)) return
    state = next
    parts.changed(next)
  }

  function connect(): void {
    if (state.state === 'closed' || line !== undefined || held !== undefined) return
    held = createHeld({ clock, bounds: { calls: limits.maxCallsPerConnection, bytes: limits.maxServicePendingBytes } })
    become({ state: 'connecting' })
    if (attempt === undefined) void tryNow()
  }

  async function tryNow(): Promise<void> {
    unwait()
    const own = (attempt = new AbortController())
    const dialled = await parts.dial(own.signal).catch((error: Error) => error)
    if (own.signal.aborted) {
      if (!(dialled instanceof Error)) dialled.stream.destroy()
      return
    }
    attempt = undefined
    if (dialled instanceof Error) retry('failed', dialled.message, 0)
    else take(dialled)
  }

  function take(dialled: Dialled): void {
    const isOwn = (): boolean => line !== undefined && line === own
    const rise = (): void => {
      if (!isOwn() || own.upSince !== undefined) return
      own.upSince = clock.monotonic()
      become({ state: 'up', peer: connection.isWaystation ? 'waystation' : 'erps' })
    }
    const connection = parts.open(dialled, {
      packet(packet, extension) {
        rise()
        if (isOwn()) own.caller.packet(packet, extension)
      },
      seen: rise,
      dropped: () => void unusable++,
      shown() {
        rise()
        if (isOwn()) become({ state: 'up', peer: 'waystation' })
      },
      ended(why, detail) {
        if (isOwn()) over(own, why, detail)
      },
    })
    const unrise = clock.after(QUIET, rise)
    let unbeat = clock.after(parts.keepalive, beat)
    function beat(): void {
      // Waystations have keepalives of their own, which the connection sends.
      if (!connection.isWaystation) connection.keepalive()
      unbeat = clock.after(parts.keepalive, beat)
    }
    const own: Line = {
      connection,
      caller: parts.caller(connection),
      upSince: undefined,
      stop() {
        unrise()
        unbeat()
      },
    }
    line = own
    const waiting = held
    held = undefined
    waiting?.release(own.caller)
  }

  /** Nothing comes from it any more. What it has not answered is told by `settle`, when the state is the new one. */
  function letGo(own: Line): { settle(why: Ending, detail: string): void } {
    line = undefined
    own.stop()
    return {
      settle(why, detail) {
        own.caller.ended(why, detail)
        late += own.caller.late
      },
    }
  }

  function over(own: Line, why: Ending, detail: string): void {
    const gone = letGo(own)
    const lasted = own.upSince === undefined ? 0 : clock.monotonic() - own.upSince
    if (why === 'refused') retry('refused', `the service refuses this client: ${detail}`, lasted)
    else if (own.upSince === undefined) retry('failed', `${detail}, right after connecting`, 0)
    else retry(why === 'lost' || why === 'silent' ? 'lost' : 'failed', detail, lasted)
    gone.settle(why, detail)
  }

  function retry(ending: TryEnding, why: string, lasted: number): void {
    unwait = clock.after(retries.after(ending, lasted), () => void tryNow())
    const waiting = held
    held = undefined
    become({ state: 'down', why })
    dropped += waiting?.fail('disconnected', why) ?? 0
  }

  function end(next: ClientState, why: string, deadline: AbortSignal): Promise<void> {
    unwait()
    attempt?.abort()
    attempt = undefined
    const had = line
    const gone = had === undefined ? undefined : letGo(had)
    const waiting = held
    held = undefined
    become(next)
    dropped += waiting?.fail(codeOf(next), why) ?? 0
    gone?.settle('stopped', why)
    return had?.connection.close(deadline) ?? Promise.resolve()
  }

  return {
    get state() { return state },
    get pending() { return line?.caller.pending ?? 0 },
    get counters() { return { late: late + (line?.caller.late ?? 0), dropped, unusable } },
    call(wish, settle) {
      const to = line?.caller ?? held
      return to === undefined ? unsent(clock, codeOf(state), 'why' in state ? state.why : '', settle) : to.call(wish, settle)
    },
    cast(request, identifier, key) {
      const isTaken = (line?.caller ?? held)?.cast(request, identifier, key) ?? false
      if (!isTaken) dropped++
      return isTaken
    },
    connect,
    disconnect() {
      if (state.state === 'closed' || state.state === 'disconnected') return
      const deadline = new AbortController()
      const untime = clock.after(GOODBYE, () => deadline.abort())
      void end({ state: 'disconnected' }, 'disconnect() was called', deadline.signal).then(untime)
    },
    close(deadline) {
      return state.state === 'closed' ? Promise.resolve() : end({ state: 'closed' }, 'this client was closed', deadline)
    },
  }
}

/** Why a call cannot be sent. */
function codeOf({ state }: ClientState): 'stopped' | 'disconnected' {
  return state === 'closed' ? 'stopped' : 'disconnected'
}

function isSame(one: ClientState, other: ClientState): boolean {
  return one.state === other.state && ('why' in one ? one.why : undefined) === ('why' in other ? other.why : undefined)
    && ('peer' in one ? one.peer : undefined) === ('peer' in other ? other.peer : undefined)
}
