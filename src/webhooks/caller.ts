import { Agent, type buildConnector, type Dispatcher } from 'undici'
import { RELAY_HEADER } from '../core/hub-proofs.ts'
import type { Wheel, Tickable } from '../core/wheel.ts'
import type { LargeBody } from '../core/message.ts'
import type { Slot, Slots } from './slots.ts'
import { parseTarget, type Target } from './target.ts'

/** One POST that goes out. */
export interface Outgoing {
  readonly target: Target
  readonly headers: Readonly<Record<string, string>>
  /** What stands before the body: parts that go out as they are, one behind the other. */
  readonly parts: readonly Buffer[]
  readonly large?: LargeBody
}

/** The body of the answer, whatever its status; or why there is none. */
export type Answer = { readonly status: number; readonly body: Buffer } | { readonly failure: string }

export interface CallTimes {
  /** ms without an answer after which the call counts as late: from its begin, or from when the last MiB of a long body was taken. */
  readonly webhookReadTimeout: number
  /** ms for the whole call; a large body has a second more for each MiB. */
  readonly webhookTotalTimeout: number
}

/** Sends webhooks. */
export interface Caller {
  /**
   * Sends one, when there is a slot for it. `late` is called at most once, when the peer has not answered to the end within
   * the read timeout: the call goes on, and whoever waits for it may go on without it.
   */
  call(outgoing: Outgoing, late?: () => void): Promise<Answer>
  /** Ends all that is on its way. */
  close(): Promise<void>
}

/** An answer is some hundred bytes; what is longer is cut here, so that a peer cannot fill the memory. */
export const MAX_ANSWER = 65_536
const MAX_REDIRECTS = 5
/** A large body goes out again for each; so only for a url that has moved, and not round in a ring. */
const MAX_REDIRECTS_LARGE = 1
/** A call that has run for so long gives its slot at its host to the next one. */
const SLOW_MS = 250
const IDLE_MS = 3_000
/** A peer may ask for a longer life of idle connections, but not for as long as it likes: each is a descriptor of ours. */
const MAX_IDLE_MS = 10_000
/** Answers may come byte by byte: so many pieces are joined, lest each costs many times its size. */
const MAX_PIECES = 64
/** What a connection says that the peer had ended before it got our request. */
const BROKEN = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])
const GATHER = 65_536
const MIB = 1_048_576
/** A long body goes out in pieces of this size, so that it can be seen how fast the peer takes it. */
const PIECE = 262_144

/**
 * @param parts.connector connects to what the guard lets through, and to nothing else
 * @param parts.mark headers that go with every call, wherever it is led
 */
export function createCaller(parts: { connector: unknown; slots: Slots; wheel: Wheel; times: CallTimes; mark?: Readonly<Record<string, string>> }): Caller {
  const { slots, wheel, times } = parts
  const connector = parts.connector as buildConnector.connector
  let connects = 0
  const connect: buildConnector.connector = (options, callback) => {
    connects++
    connector(options, callback)
  }
  // The times are the calls' own: headersTimeout and bodyTimeout would run beside them.
  const common = { connect, connections: null, allowH2: false, headersTimeout: 0, bodyTimeout: 0 } as const
  // Shorter than the five seconds after which common servers end an idle connection, so that the end is mostly ours.
  const agent = new Agent({ ...common, pipelining: 1, keepAliveTimeout: IDLE_MS, keepAliveMaxTimeout: MAX_IDLE_MS })
  /** Each of its calls has a connection of its own. */
  const fresh = new Agent({ ...common, pipelining: 0 })
  const open = new Set<Call>()
  let closed = false

  return {
    call(outgoing, late = () => {}) {
      if (closed) return Promise.resolve({ failure: 'the hub is stopping' })
      return new Promise((resolve) => {
        const call = new Call(outgoing, { agent, fresh, connects: () => connects, slots, wheel, times, mark: parts.mark ?? {}, late }, (answer) => {
          open.delete(call)
          resolve(answer)
        })
        open.add(call)
        call.takePlace()
      })
    },
    async close() {
      closed = true
      // Those that wait first, or each that ends would begin another.
      for (const call of open) call.forget()
      for (const call of open) call.end({ failure: 'the hub is stopping' })
      await Promise.all([agent.destroy(), fresh.destroy()])
    },
  }
}

interface CallParts {
  readonly agent: Agent
  readonly fresh: Agent
  /** How many connections have been asked for. */
  readonly connects: () => number
  readonly slots: Slots
  readonly wheel: Wheel
  readonly times: CallTimes
  readonly mark: Readonly<Record<string, string>>
  readonly late: () => void
}

/** One webhook on its way: what undici tells of it, and its times. A class, because there are thousands a second. */
class Call implements Tickable {
  wheelSlot: Set<Tickable> | undefined = undefined
  forget: () => void = () => {}
  readonly #outgoing: Outgoing
  readonly #parts: CallParts
  readonly #done: (answer: Answer) => void
  #slot: Slot | undefined
  /** When it got the place that it has. */
  #placedAt = 0
  /** When it got its first place. */
  #began: number | undefined
  /**
   * From when the answer is awaited. What the peer says does not move it, or one that says a byte now and then would never
   * be late; that it takes a long body does, at a fair pace.
   */
  #since = 0
  /** Bytes that the peer has taken since then. */
  #taken = 0
  #target: Target
  #redirects = 0
  #controller: Dispatcher.DispatchController | undefined
  #status = 0
  #location: string | undefined
  #pieces: Buffer[] = []
  #size = 0
  /** When it went out, the last time. */
  #sentAt = 0
  /** It went out on a connection that was there, and nothing came back yet. */
  #onOld = false
  #retried = false
  #toldLate = false
  #ended = false

  constructor(outgoing: Outgoing, parts: CallParts, done: (answer: Answer) => void) {
    this.#outgoing = outgoing
    this.#parts = parts
    this.#done = done
    this.#target = outgoing.target
  }

  takePlace(): void {
    this.forget = this.#parts.slots.take(this.#target.origin, (slot) => this.#begin(slot))
  }

  #begin(slot: Slot): void {
    if (this.#ended) return slot.release()
    const { wheel, times } = this.#parts
    this.#slot = slot
    this.#placedAt = wheel.now
    if (this.#began === undefined) this.#began = this.#since = wheel.now
    if (this.#toldLate) this.#giveWay()
    if (this.#ended) return
    wheel.add(this, Math.min(SLOW_MS, times.webhookReadTimeout))
    this.#send()
  }

  end(answer: Answer): void {
    if (this.#ended) return
    this.#ended = true
    this.forget()
    this.#parts.wheel.remove(this)
    this.#controller?.abort(new Error('over'))
    this.#slot?.release()
    this.#done(answer)
  }

  tick(now: number): number {
    const { webhookReadTimeout, webhookTotalTimeout } = this.#parts.times
    const began = this.#began ?? now
    const total = webhookTotalTimeout + ((this.#outgoing.large?.size ?? 0) / MIB) * 1_000
    // A large body has hours; but not for somebody who takes nothing of it.
    const overAt = Math.min(began + total, this.#since + webhookTotalTimeout)
    if (now >= overAt) {
      this.end({ failure: `no answer within ${Math.round(now - began)} ms` })
      return 0
    }
    const slowAt = this.#placedAt + SLOW_MS
    if (now >= slowAt) this.#slot?.slow()
    const lateAt = this.#since + webhookReadTimeout
    if (now >= lateAt && !this.#toldLate) {
      this.#toldLate = true
      this.#parts.late()
      this.#giveWay()
    }
    if (this.#ended) return 0
    const next = Math.min(overAt, this.#toldLate ? Infinity : lateAt, now < slowAt ? slowAt : Infinity)
    return Math.max(1, next - now)
  }

  #giveWay(): void {
    this.#slot?.late(() => this.end({ failure: 'no answer yet, and others wait for its place' }))
  }

  #send(): void {
    const { parts, large, headers } = this.#outgoing
    const size = parts.reduce((sum, part) => sum + part.length, large?.size ?? 0)
    const whole = large === undefined && size <= GATHER
    const body = whole ? Buffer.concat(parts, size) : this.#stream()
    const { origin, path, host } = this.#target
    const { agent, fresh, wheel } = this.#parts
    this.#sentAt = wheel.now
    this.#status = 0
    this.#taken = 0
    const isOld = this.#watchConnects()
    try {
      const options = { origin, path, method: 'POST' as const, headers: { ...this.#parts.mark, ...this.#headers(headers), host, 'content-length': String(size) }, body: body as Buffer }
      ;(this.#retried ? fresh : agent).dispatch(options, this)
      isOld()
    } catch (error) {
      this.end({ failure: (error as Error).message })
    }
  }

  /**
   * Finds out whether a request goes out on a connection that was there. Undici connects for the request that it is given,
   * and does so before `dispatch` returns, or for a body in pieces in the next microtask.
   */
  #watchConnects(): () => void {
    const { connects } = this.#parts
    const before = connects()
    this.#onOld = false
    let later = 0
    queueMicrotask(() => (later = connects()))
    return () => {
      const meanwhile = connects() - before
      queueMicrotask(() => (this.#onOld = meanwhile === 0 && connects() === later && !this.#retried && this.#status === 0))
    }
  }

  /** What proves us to one host is not told to another. */
  #headers(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    if (this.#target.origin === this.#outgoing.target.origin) return headers
    const { Authorization: _, [RELAY_HEADER]: __, ...rest } = headers
    return rest
  }

  async *#stream(): AsyncGenerator<Buffer> {
    const { parts, large } = this.#outgoing
    for (const part of parts) {
      for (let from = 0; from < part.length; from += PIECE) {
        const piece = part.subarray(from, from + PIECE)
        yield piece
        this.#took(piece.length)
      }
    }
    if (large !== undefined) {
      for await (const piece of large.read()) {
        // Its size is read before: the piece is gone when the next is asked for.
        const { length } = piece
        yield piece
        this.#took(length)
      }
    }
    // The answer to a long body has all of its time. A redirect gets no more, or five could make five times of it.
    if (this.#redirects === 0) this.#since = this.#parts.wheel.now
  }

  #took(bytes: number): void {
    this.#taken += bytes
    if (this.#taken < MIB) return
    this.#taken = 0
    this.#since = this.#parts.wheel.now
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#ended) controller.abort(new Error('over'))
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Record<string, string | string[] | undefined>): void {
    this.#status = status
    if (status < 200) return
    const location = headers['location']
    // The others would make a GET of it, and a GET delivers nothing.
    this.#location = (status === 307 || status === 308) && typeof location === 'string' ? location : undefined
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#size += chunk.length
    if (this.#location === undefined) {
      this.#pieces.push(chunk)
      if (this.#pieces.length === MAX_PIECES) this.#pieces = [Buffer.concat(this.#pieces)]
    }
    if (this.#size >= MAX_ANSWER) this.#answered()
  }

  onResponseEnd(): void {
    // It is over, and its connection is free for the next.
    this.#controller = undefined
    if (this.#location === undefined) return this.#answered()
    const most = this.#outgoing.large === undefined ? MAX_REDIRECTS : MAX_REDIRECTS_LARGE
    if (++this.#redirects > most) return this.end({ failure: 'it redirects without an end' })
    const next = URL.canParse(this.#location, this.#target.signed) ? parseTarget(new URL(this.#location, this.#target.signed).href) : 'it redirects to no URL'
    if (typeof next === 'string') return this.end({ failure: next })
    const stays = next.origin === this.#target.origin
    this.#target = next
    this.#location = undefined
    this.#size = 0
    if (stays) return this.#send()
    // Its host bounds the calls to it, not the host that sent us there.
    this.#slot?.release()
    this.#slot = undefined
    this.takePlace()
  }

  /**
   * A peer may end an idle connection just as we send on it. Then nothing of the answer comes, and that at once: the call is
   * made once more, on a connection of its own. On a new connection, or later, the peer may have taken the message before
   * it broke off, so that counts as failed.
   */
  onResponseError(_: unknown, error: Error & { code?: string }): void {
    this.#controller = undefined
    const { wheel } = this.#parts
    const again = this.#onOld && !this.#ended && this.#status === 0 && BROKEN.has(error.code ?? '') && wheel.now - this.#sentAt < SLOW_MS
    if (!again) return this.end({ failure: error.message })
    this.#retried = true
    this.#send()
  }

  #answered(): void {
    this.end({ status: this.#status, body: Buffer.concat(this.#pieces).subarray(0, MAX_ANSWER) })
  }
}
