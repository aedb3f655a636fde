import { WaystationError } from '../core/errors.ts'
import type { Limits } from '../core/limits.ts'
import type { Tickable, Wheel } from '../core/wheel.ts'
import type { Extension, Packet, RefusalText, Version } from '../protocol/erps/messages.ts'
import { splitCall, TERM, tuple2, writeText } from '../protocol/erps/payload.ts'
import { createCallAccount, type CallAccount } from './call-account.ts'
import { own } from './own.ts'
import type { Answering, Asker, Bare, Connection, Ending, From, Peer } from './ports.ts'

/** What comes over a connection, as calls and casts of somebody who answers them (`erps.md`, sections 3, 8.2 and 15). */
export interface Answerer {
  /** Calls that are not answered yet. */
  readonly pending: number
  /** Answers that nobody waited for any more. */
  readonly late: number
  /** As `ConnectionEvents` has it. */
  packet(packet: Packet, extension: Extension | undefined): void
  ended(why: Ending, detail: string): void
  /** Takes no more calls: from now on they fail with `stopped`. Settles when those that are here are answered, or the connection is over. */
  drain(): Promise<void>
}

export interface AnswererParts {
  readonly limits: Pick<Limits, 'maxCalls' | 'maxCallBytes' | 'maxCallsPerConnection' | 'maxPacketBytes'>
  /** For the deadlines of all connections together. */
  readonly wheel: Wheel
  /** Of all connections together, of which one may have an eighth of the bytes, and always the largest call. Where it is not stated, there is but one. */
  readonly account?: CallAccount
}

/** Bytes of a ref that a call is found by again; those of a Waystation have five at most. */
const MOST_KEY_BYTES = 16
/** What stands around the answer and the ref. */
const TUPLE_BYTES = 3
const NOTHING = Buffer.alloc(0)
/** The one reason that is no code of `errors.md`. */
export const FILTERED: RefusalText = 'filtered'

type Terms = Extract<Extension, { kind: 'terms' }>

/** Why nobody waits for an answer any more. */
type Leaving = 'deadline' | 'cancelled' | 'ended'

/** Calls of one connection that wait. */
interface Waiting {
  readonly limits: AnswererParts['limits']
  readonly wheel: Wheel
  readonly connection: Connection
  readonly calls: Set<Call>
  /** Those of a Waystation, by their refs: only it takes calls back. */
  readonly byRef: Map<string, Call>
  readonly account: CallAccount
  /** Of requests, and of refs: an original may take any term for one, however large. */
  bytes: number
  late: number
  changed(): void
}

export function createAnswerer(connection: Connection, answering: Answering, { limits, wheel, account }: AnswererParts): Answerer {
  const share = account === undefined ? Infinity : Math.max(limits.maxCallBytes / 8, limits.maxPacketBytes)
  let isDraining = false
  let isOver = false
  const drained = Promise.withResolvers<void>()
  const waiting: Waiting = {
    limits, wheel, connection,
    calls: new Set(),
    byRef: new Map(),
    account: account ?? createCallAccount(limits),
    bytes: 0,
    late: 0,
    changed: settleDrain,
  }

  function settleDrain(): void {
    if (isOver || (isDraining && waiting.calls.size === 0)) drained.resolve()
  }

  function call(packet: Packet, term: Bare, extension: Extension | undefined): void {
    const referred = splitCall(term)
    if (referred === undefined) return connection.drop('bad_term', 'a call that is no {ref, request}')
    const { ref, term: request } = referred
    if (isDraining) return refuse(connection, kept(ref), 'stopped')
    const size = ref.length + request.length
    const isFull = waiting.calls.size >= limits.maxCallsPerConnection || waiting.bytes + size > share || waiting.account.take(size) !== undefined
    if (isFull) return refuse(connection, kept(ref), 'too_many_calls')
    answering.call(request, new Call(waiting, packet, ref, size, extension?.kind === 'terms' ? extension : undefined))
  }

  function cancel(term: Bare): void {
    const ref = splitCall(term)?.ref
    if (ref !== undefined && ref.length <= MOST_KEY_BYTES) waiting.byRef.get(nameOf(ref))?.leave('cancelled')
  }

  return {
    get pending() { return waiting.calls.size },
    get late() { return waiting.late },
    packet(packet, extension) {
      if (isOver) return
      const term = packet.payload.subarray(TERM.length)
      if (extension?.kind === 'cancel') return cancel(term)
      switch (packet.type) {
        case 'keepalive': return
        case 'call': return call(packet, term, extension)
        case 'cast': return answering.cast(term, askerOf(connection, packet, extension))
        case 'reply':
        case 'push':
        case 'error': return connection.drop('bad_packet', `a ${packet.type} to one that answers`)
        default: return packet.type satisfies never
      }
    },
    ended(why, detail) {
      if (isOver) return
      isOver = true
      for (const one of waiting.calls) one.leave('ended')
      answering.ended(why, detail)
    },
    drain() {
      isDraining = true
      settleDrain()
      return drained.promise
    },
  }
}

/** What was filtered an original is told as its older servers say it: without a ref, so that its caller waits in vain (`erps.md`, 17). */
function refuse(connection: Connection, ref: Bare, reason: string): void {
  const text = writeText(reason)
  connection.send('error', reason === FILTERED && !connection.isWaystation ? [TERM, text] : tuple2(text, ref))
}

function nameOf(ref: Bare): string {
  return ref.toString('latin1')
}

function askerOf({ peer }: Connection, { identifier, version }: Packet, extension: Extension | undefined): Asker {
  return { remote: true, peer, identifier: kept(identifier), version, key: keyOf(extension) }
}

/** What a pool chooses by. A view would keep the packet. */
function keyOf(extension: Extension | undefined): Buffer | undefined {
  return extension?.kind === 'terms' && extension.key !== undefined ? kept(extension.key) : undefined
}

function kept(bytes: Buffer): Buffer {
  return bytes.length === 0 ? NOTHING : own(bytes)
}

/** A call that waits for its answer; there may be many. */
class Call implements From, Tickable {
  readonly remote = true
  readonly peer: Peer
  readonly identifier: Buffer
  readonly version: Version
  readonly deadline: number | undefined
  readonly times: 'once' | 'repeatable'
  readonly key: Buffer | undefined
  wheelSlot: Set<Tickable> | undefined = undefined
  readonly #ref: Bare
  /** Bytes that are booked for it. */
  readonly #size: number
  /** By which a Waystation takes it back. */
  readonly #name: string | undefined
  readonly #waiting: Waiting
  readonly #until: number
  #state: 'open' | 'settled' | Leaving = 'open'
  #isCounted = false
  #controller: AbortController | undefined
  #left: (() => void) | undefined

  constructor(waiting: Waiting, { identifier, version }: Packet, ref: Bare, size: number, terms: Terms | undefined) {
    const { connection, wheel, calls, byRef } = waiting
    this.peer = connection.peer
    this.identifier = kept(identifier)
    this.version = version
    const deadline = terms?.deadline
    this.deadline = deadline
    this.times = terms?.times ?? 'once'
    this.key = keyOf(terms)
    this.#ref = kept(ref)
    this.#size = size
    this.#waiting = waiting
    this.#until = deadline === undefined ? Infinity : wheel.now + deadline
    calls.add(this)
    waiting.bytes += size
    if (deadline !== undefined) wheel.add(this, deadline)
    this.#name = connection.isWaystation && ref.length <= MOST_KEY_BYTES ? nameOf(ref) : undefined
    if (this.#name !== undefined) byRef.set(this.#name, this)
  }

  /** Made only where somebody asks: it costs more than all the rest. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#state !== 'open' && this.#state !== 'settled') this.#controller.abort(reasonOf(this.#state))
    }
    return this.#controller.signal
  }

  onLeave(told: (() => void) | undefined): void {
    this.#left = told
    if (this.#state !== 'open' && this.#state !== 'settled') told?.()
  }

  reply(answer: Bare): boolean {
    const { connection, limits } = this.#waiting
    if (answer.length + this.#ref.length + TUPLE_BYTES > limits.maxPacketBytes) return this.fail('call_failed') && false
    if (!this.#settle()) return false
    connection.send('reply', tuple2(answer, this.#ref))
    this.#waiting.changed()
    return true
  }

  fail(reason: string): boolean {
    if (!this.#settle()) return false
    refuse(this.#waiting.connection, this.#ref, reason)
    this.#waiting.changed()
    return true
  }

  /** Nobody waits any more. */
  leave(why: Leaving): void {
    if (this.#state !== 'open') return
    this.#state = why
    this.#forget()
    this.#left?.()
    this.#controller?.abort(reasonOf(why))
    this.#waiting.changed()
  }

  tick(now: number): number {
    if (now < this.#until) return this.#until - now
    this.leave('deadline')
    return 0
  }

  /** Gives whether somebody waits, and nobody has answered. */
  #settle(): boolean {
    if (this.#state === 'open') {
      this.#state = 'settled'
      this.#forget()
      return true
    }
    if (this.#state !== 'settled' && !this.#isCounted) {
      this.#isCounted = true
      this.#waiting.late++
    }
    return false
  }

  #forget(): void {
    const { wheel, calls, byRef, account } = this.#waiting
    wheel.remove(this)
    calls.delete(this)
    account.give(this.#size)
    this.#waiting.bytes -= this.#size
    if (this.#name !== undefined && byRef.get(this.#name) === this) byRef.delete(this.#name)
  }
}

function reasonOf(why: Leaving): WaystationError {
  switch (why) {
    case 'deadline': return new WaystationError('deadline')
    case 'cancelled': return new WaystationError('deadline', 'the caller does not wait any more')
    case 'ended': return new WaystationError('disconnected', 'the caller is gone')
    default: return why satisfies never
  }
}
