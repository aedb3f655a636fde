import { WaystationError } from '../core/errors.ts'
import type { Answering, Asker, Bare, Ending, From } from './ports.ts'
import type { Values } from './values.ts'

/** Somebody who has connected to a service. */
export interface ServiceConnection<V> {
  /** Another one for each connection of this service. */
  readonly id: number
  /** IP address. */
  readonly address: string
  /** `cn:…`, `dns:…` and `ip:…` of the certificate that was proved; empty over plain TCP. */
  readonly names: readonly string[]
  /** `erps` until the other end has shown that it is a Waystation. */
  readonly peer: 'erps' | 'waystation'
  /**
   * Gives whether the connection is there to take it.
   * @throws {WaystationError} `bad_request` for a value that no term can be made of
   */
  push(value: V): boolean
  /** Sends what waits, then says goodbye. */
  disconnect(): void
}

/** Who asks. */
export interface ServiceAsker<V> {
  /** False for this process itself (`is_remote` of Erps). */
  readonly remote: boolean
  readonly connection: ServiceConnection<V> | undefined
  /** What the packet says of its sender; empty and 0.0.0 where it says nothing. Nobody has proved it. */
  readonly identifier: string
  readonly version: string
}

/** Who asks, and waits for an answer. */
export interface ServiceFrom<V> extends ServiceAsker<V> {
  /** ms from the beginning of the call until nobody waits any more, where the caller has said so. */
  readonly deadline: number | undefined
  /** Aborts when nobody waits any more. */
  readonly signal: AbortSignal
  /** Answers, once, from wherever and whenever. Gives whether somebody still waited. A value that no term can be made of counts as an exception of the handler. */
  reply(value: V): boolean
}

/** What a program does with what it is asked (`erps.md`, 12.4 and 17). */
export interface ServiceHandlers<V> {
  /** Gives the answer or a promise of it; `undefined`: `from.reply` will. */
  call?(request: V, from: ServiceFrom<V>): V | undefined | void | PromiseLike<V | undefined | void>
  cast?(request: V, from: ServiceAsker<V>): void | PromiseLike<void>
  /** Somebody is here, his certificate proved. */
  connected?(connection: ServiceConnection<V>): void
  disconnected?(connection: ServiceConnection<V>, why: Ending, detail: string): void
  /** Whether a request from the network is let through to `call` or `cast`. */
  filter?(request: V, mode: 'call' | 'cast', from: ServiceAsker<V>): boolean
}

export interface ProgramParts<V> {
  readonly handlers: ServiceHandlers<V>
  readonly values: Values<V>
  /** `undefined` for this process itself. */
  readonly connection: ServiceConnection<V> | undefined
  /** Runs a handler in the context that it belongs to. */
  readonly run: <T>(handler: () => T) => T
  /** A handler has thrown, has rejected, has answered nonsense, or is missing. `from`: where somebody waits for an answer. */
  readonly crashed: (error: unknown, from: From | undefined) => void
  /** The filter has said no. */
  readonly filtered: (from: From | undefined) => void
  /** A handler has begun with a cast that takes its time; it is done, or has failed. */
  readonly casting?: { begun(): void; ended(): void }
}

/** The handlers of a program as what answers on one connection, which `begin` tells them of. Nothing that they throw gets any further than `crashed`. */
export function createProgram<V>({ handlers, values, connection, run, crashed, filtered, casting }: ProgramParts<V>): Answering & { begin(): void } {
  function isLetThrough(request: V, mode: 'call' | 'cast', from: ServiceAsker<V>): boolean {
    if (!from.remote || handlers.filter === undefined) return true
    const verdict: unknown = handlers.filter(request, mode, from)
    // A promise would let everything through.
    if (typeof verdict !== 'boolean') throw new TypeError('filter must give true or false')
    return verdict
  }

  function reply(value: V, from: From): boolean {
    let answer: Bare
    try {
      answer = values.write(value)
    } catch (error) {
      crashed(error, from)
      return false
    }
    return from.reply(answer)
  }

  /** Those who give up when nobody waits any more have done right. */
  function rejected(error: unknown, from: From): void {
    const { signal } = from
    const hasGivenUp = signal.aborted && (error === signal.reason || (error as Error | null)?.name === 'AbortError')
    if (!hasGivenUp) crashed(error, from)
  }

  function call(bare: Bare, from: From): void {
    const request = values.read(bare)
    const view = new FromView(from, connection, reply)
    if (!isLetThrough(request, 'call', view)) return filtered(from)
    if (handlers.call === undefined) throw new WaystationError('call_failed', 'the service has no handler for calls')
    const answer = handlers.call(request, view)
    if (isPromise(answer)) answer.then((value) => settle(value as V | undefined, from), (error: unknown) => rejected(error, from))
    else settle(answer as V | undefined, from)
  }

  function settle(value: V | undefined, from: From): void {
    if (value !== undefined) reply(value, from)
  }

  function cast(bare: Bare, from: Asker): void {
    const request = values.read(bare)
    const view = new AskerView(from, connection)
    if (!isLetThrough(request, 'cast', view)) return filtered(undefined)
    if (handlers.cast === undefined) throw new WaystationError('call_failed', 'the service has no handler for casts')
    const done = handlers.cast(request, view)
    if (!isPromise(done)) return
    casting?.begun()
    done.then(() => casting?.ended(), (error: unknown) => {
      casting?.ended()
      crashed(error, undefined)
    })
  }

  function attempt(handler: () => void, from: From | undefined): void {
    try {
      run(handler)
    } catch (error) {
      crashed(error, from)
    }
  }

  return {
    begin: () => attempt(() => {
      if (connection !== undefined) handlers.connected?.(connection)
    }, undefined),
    call: (bare, from) => attempt(() => call(bare, from), from),
    cast: (bare, from) => attempt(() => cast(bare, from), undefined),
    ended: (why, detail) => attempt(() => {
      if (connection !== undefined) handlers.disconnected?.(connection, why, detail)
    }, undefined),
  }
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

class AskerView<V, F extends Asker = Asker> implements ServiceAsker<V> {
  readonly connection: ServiceConnection<V> | undefined
  protected readonly from: F

  constructor(from: F, connection: ServiceConnection<V> | undefined) {
    this.from = from
    this.connection = connection
  }

  get remote(): boolean { return this.from.remote }
  get identifier(): string { return this.from.identifier.toString() }
  get version(): string {
    const { major, minor, patch } = this.from.version
    return `${major}.${minor}.${patch}`
  }
}

class FromView<V> extends AskerView<V, From> implements ServiceFrom<V> {
  readonly #reply: (value: V, from: From) => boolean

  constructor(from: From, connection: ServiceConnection<V> | undefined, reply: (value: V, from: From) => boolean) {
    super(from, connection)
    this.#reply = reply
  }

  get deadline(): number | undefined { return this.from.deadline }
  get signal(): AbortSignal { return this.from.signal }
  reply(value: V): boolean { return this.#reply(value, this.from) }
}
