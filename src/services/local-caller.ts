import { ERRORS, WaystationError, type ErrorCode } from '../core/errors.ts'
import type { Clock } from '../core/ports.ts'
import type { Answering, Asker, Bare, From } from './ports.ts'
import type { Values } from './values.ts'

/** Calls of a process to its own service: nothing of them is sent anywhere, and no filter stands before them. */
export interface LocalCaller<V> {
  /**
   * Gives the answer.
   * @param options.timeout ms
   * @throws {WaystationError} `deadline`; `call_failed`, with what the handler has thrown as its cause; `stopped`; `bad_request` for a value that no term can be made of
   */
  call(value: V, options?: { readonly timeout?: number }): Promise<V>
  /** @throws {WaystationError} `bad_request`, `stopped` */
  cast(value: V): void
  /** All that comes later fails with `stopped`. Settles when what waits is answered; where the deadline aborts, it fails so too. */
  close(deadline: AbortSignal): Promise<void>
}

/** A call of this process, and what its handler has thrown. */
export interface LocalFrom extends From {
  crash(error: unknown): void
}

const NOBODY = { remote: false, peer: undefined, identifier: Buffer.alloc(0), version: { major: 0, minor: 0, patch: 0 }, key: undefined } as const satisfies Asker
/** ms: no timer is longer. */
const LONGEST = 2_147_483_647

export function createLocalCaller<V>({ answering, values, clock, timeout }: {
  readonly answering: Answering
  readonly values: Values<V>
  readonly clock: Pick<Clock, 'after'>
  /** ms, where the caller does not say. */
  readonly timeout: number
}): LocalCaller<V> {
  const waiting = new Set<(error: WaystationError) => void>()
  const idle = Promise.withResolvers<void>()
  let isClosed = false

  function begin(value: V): Bare {
    if (isClosed) throw new WaystationError('stopped')
    return written(values, value)
  }

  return {
    async call(value, options = {}) {
      const request = begin(value)
      const deadline = Math.min(options.timeout ?? timeout, LONGEST)
      const controller = new AbortController()
      const { promise, resolve, reject } = Promise.withResolvers<Bare>()
      let isOpen = true
      const end = (): boolean => {
        const was = isOpen
        isOpen = false
        untime()
        waiting.delete(giveUp)
        if (isClosed && waiting.size === 0) idle.resolve()
        return was
      }
      const fail = (error: WaystationError): boolean => {
        if (!end()) return false
        reject(error)
        return true
      }
      const giveUp = (error: WaystationError): void => {
        if (fail(error)) controller.abort(error)
      }
      const untime = clock.after(deadline, () => giveUp(new WaystationError('deadline', `${deadline} ms`)))
      waiting.add(giveUp)
      const from: LocalFrom = {
        ...NOBODY, deadline,
        times: 'once',
        signal: controller.signal,
        onLeave: (told) => void (told !== undefined && controller.signal.addEventListener('abort', told, { once: true })),
        reply(answer) {
          if (!end()) return false
          resolve(answer)
          return true
        },
        fail: (reason) => fail(isCode(reason) ? new WaystationError(reason) : new WaystationError('call_failed', reason)),
        crash: (error) => void fail(new WaystationError('call_failed', error instanceof Error ? error.message : String(error), error)),
      }
      answering.call(request, from)
      return values.read(await promise)
    },
    cast(value) {
      answering.cast(begin(value), NOBODY)
    },
    async close(deadline) {
      isClosed = true
      if (waiting.size > 0) await Promise.race([idle.promise, aborted(deadline)])
      for (const giveUp of waiting) giveUp(new WaystationError('stopped'))
    },
  }
}

/** @throws {WaystationError} `bad_request` */
export function written<V>(values: Values<V>, value: V): Bare {
  try {
    return values.write(value)
  } catch (error) {
    throw new WaystationError('bad_request', (error as Error).message, error)
  }
}

/** Settles when it aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  if (signal.aborted) resolve()
  else signal.addEventListener('abort', () => resolve(), { once: true })
  return promise
}

function isCode(reason: string): reason is ErrorCode {
  return Object.hasOwn(ERRORS, reason)
}
