import { Agent, type Dispatcher } from 'undici'
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
  /** ms of silence after which the call counts as late. */
  readonly webhookReadTimeout: number
  /** ms for the whole call; a large body has a second more for each MiB. */
  readonly webhookTotalTimeout: number
}

/** Sends webhooks. */
export interface Caller {
  /**
   * Sends one, when there is a slot for it. `late` is called at most once, when the peer has been silent for the read
   * timeout: the call goes on, and whoever waits for it may go on without it.
   */
  call(outgoing: Outgoing, late?: () => void): Promise<Answer>
  /** Ends all that is on its way. */
  close(): Promise<void>
}

/** An answer is some hundred bytes; what is longer is cut here, so that a peer cannot fill the memory. */
export const MAX_ANSWER = 65_536
const MAX_REDIRECTS = 5
/** A call that has run for so long gives its slot at its host to the next one. */
const SLOW_MS = 1_000
const GATHER = 65_536
const MIB = 1_048_576

/**
 * @param parts.connector connects to what the guard lets through, and to nothing else
 */
export function createCaller(parts: { connector: unknown; slots: Slots; wheel: Wheel; times: CallTimes }): Caller {
  const { slots, wheel, times } = parts
  const agent = new Agent({
    connect: parts.connector as NonNullable<Agent.Options['connect']>,
    connections: null,
    pipelining: 1,
    // Shorter than the five seconds after which common servers end an idle connection, so that the end is ours.
    keepAliveTimeout: 3_000,
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  const open = new Set<Call>()
  let closed = false

  return {
    call(outgoing, late = () => {}) {
      if (closed) return Promise.resolve({ failure: 'the hub is stopping' })
      return new Promise((resolve) => {
        const call = new Call(outgoing, { agent, wheel, times, late }, (answer) => {
          open.delete(call)
          resolve(answer)
        })
        open.add(call)
        call.forget = slots.take(outgoing.target.origin, (slot) => call.begin(slot))
      })
    },
    async close() {
      closed = true
      for (const call of open) call.end({ failure: 'the hub is stopping' })
      await agent.destroy()
    },
  }
}

interface CallParts {
  readonly agent: Agent
  readonly wheel: Wheel
  readonly times: CallTimes
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
  #began = 0
  /** When bytes last came. */
  #heard = 0
  #target: Target
  #redirects = 0
  #controller: Dispatcher.DispatchController | undefined
  #status = 0
  #location: string | undefined
  #pieces: Buffer[] = []
  #size = 0
  /** Bytes of a large body that have gone out. */
  #sent = 0
  #toldLate = false
  #ended = false

  constructor(outgoing: Outgoing, parts: CallParts, done: (answer: Answer) => void) {
    this.#outgoing = outgoing
    this.#parts = parts
    this.#done = done
    this.#target = outgoing.target
  }

  begin(slot: Slot): void {
    if (this.#ended) return slot.release()
    this.#slot = slot
    this.#began = this.#heard = this.#parts.wheel.now
    this.#parts.wheel.add(this, Math.min(SLOW_MS, this.#parts.times.webhookReadTimeout))
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
    const total = webhookTotalTimeout + ((this.#outgoing.large?.size ?? 0) / MIB) * 1_000
    if (now - this.#began >= total) {
      this.end({ failure: `no answer within ${Math.round(total)} ms` })
      return 0
    }
    if (now - this.#began >= SLOW_MS) this.#slot?.slow()
    const lateAt = this.#heard + webhookReadTimeout
    if (now >= lateAt && !this.#toldLate && !this.#isSending()) {
      this.#toldLate = true
      this.#parts.late()
    }
    const next = this.#toldLate ? this.#began + total : Math.min(this.#began + total, Math.max(lateAt, now + 250))
    return Math.max(1, Math.min(next, now < this.#began + SLOW_MS ? this.#began + SLOW_MS : Infinity) - now)
  }

  /** While a large body goes out, silence of the other side says nothing. */
  #isSending(): boolean {
    return this.#outgoing.large !== undefined && this.#sent < this.#outgoing.large.size
  }

  #send(): void {
    const { parts, large, headers } = this.#outgoing
    const size = parts.reduce((sum, part) => sum + part.length, large?.size ?? 0)
    const whole = large === undefined && size <= GATHER
    const body = whole ? Buffer.concat(parts, size) : this.#stream()
    const { origin, path, host } = this.#target
    try {
      this.#parts.agent.dispatch({ origin, path, method: 'POST', headers: { ...this.#headers(headers), host, 'content-length': String(size) }, body: body as Buffer }, this)
    } catch (error) {
      this.end({ failure: (error as Error).message })
    }
  }

  /** What proves us to one host is not told to another. */
  #headers(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    if (this.#target.origin === this.#outgoing.target.origin) return headers
    const { Authorization: _, ...rest } = headers
    return rest
  }

  async *#stream(): AsyncGenerator<Buffer> {
    yield* this.#outgoing.parts
    if (this.#outgoing.large === undefined) return
    this.#sent = 0
    for await (const piece of this.#outgoing.large.read()) {
      yield piece
      this.#sent += piece.length
      this.#heard = this.#parts.wheel.now
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#ended) controller.abort(new Error('over'))
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Record<string, string | string[] | undefined>): void {
    if (status < 200) return
    this.#heard = this.#parts.wheel.now
    this.#status = status
    const location = headers['location']
    // The others would make a GET of it, and a GET delivers nothing.
    this.#location = (status === 307 || status === 308) && typeof location === 'string' ? location : undefined
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#heard = this.#parts.wheel.now
    if (this.#location !== undefined) return
    this.#pieces.push(chunk)
    this.#size += chunk.length
    if (this.#size >= MAX_ANSWER) this.#answered()
  }

  onResponseEnd(): void {
    // It is over, and its connection is free for the next.
    this.#controller = undefined
    if (this.#location === undefined) return this.#answered()
    if (++this.#redirects > MAX_REDIRECTS) return this.end({ failure: 'it redirects without an end' })
    const next = URL.canParse(this.#location, this.#target.signed) ? parseTarget(new URL(this.#location, this.#target.signed).href) : 'it redirects to no URL'
    if (typeof next === 'string') return this.end({ failure: next })
    this.#target = next
    this.#location = undefined
    this.#send()
  }

  onResponseError(_: unknown, error: Error): void {
    this.end({ failure: error.message })
  }

  #answered(): void {
    this.end({ status: this.#status, body: Buffer.concat(this.#pieces).subarray(0, MAX_ANSWER) })
  }
}
