import { WebSocket } from 'ws'
import { connectService, type ConnectedService } from '../../src/server/connect-service.ts'
import type { WaystationError } from '../../src/core/errors.ts'
import type { TlsFiles } from '../../src/zones/ports.ts'
import type { CallLedger } from './call-ledger.ts'
import { QUICK, type Task } from './chaos-worker.ts'

/** What is to be done, and how long whoever asks waits. */
export interface Wish {
  readonly how: Task['how']
  readonly ms: number
  /** ms. */
  readonly deadline: number
  readonly kind: 'once' | 'repeatable'
}

/** Somebody who calls a service by one of the ways in. */
export interface ChaosCaller {
  readonly name: string
  /** Settles when the call has ended, whichever way. Gives whether it was answered. */
  call(wish: Wish): Promise<boolean>
  cast(): void
  close(): Promise<void>
}

/** ms that somebody who hears nothing of the hub waits beyond his deadline. */
const PATIENCE = 500
/** ms that a request and its answer may take to the hub and back: that part is not the hub's. */
const WAY = 150
/** Nobody has said what became of it. */
const NOTHING = 'nothing heard'
/** Times that a call with a key is sent where the way to the hub was lost. */
const TRIES = 3

/** @param reached whether nothing but the hub itself is between him and the hub: then he hears by his deadline */
export function httpCaller(name: string, ledger: CallLedger, service: string, port: () => number, reached: 'directly' | 'by a proxy'): ChaosCaller {
  const send = (kind: 'call' | 'cast', task: Task, headers: Record<string, string>, ms: number): Promise<Response> => fetch(`http://127.0.0.1:${port()}/_/${kind}/${service}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(task),
    signal: AbortSignal.timeout(ms),
  })

  async function once(id: number, { how, ms, deadline, kind }: Wish): Promise<{ readonly answer: unknown } | { readonly code: string }> {
    try {
      const response = await send('call', { id, how, ms }, { 'Waystation-Deadline': `${deadline}ms`, ...(kind === 'repeatable' && { 'Idempotency-Key': String(id) }) }, deadline + PATIENCE)
      const body = await response.json() as { code?: string }
      return response.status === 200 ? { answer: body } : { code: body.code ?? `status ${response.status}` }
    } catch {
      return { code: NOTHING }
    }
  }

  return {
    name,
    async call(wish) {
      const id = ledger.begin(wish.kind)
      const made = performance.now()
      const times = reached === 'directly' ? { made, due: made + wish.deadline + WAY, who: name } : undefined
      let ended = await once(id, wish)
      for (let tries = 1; tries < TRIES && wish.kind === 'repeatable' && 'code' in ended && ended.code === NOTHING; tries++) {
        ended = await once(id, wish)
        // What was sent before may still be under way, and come when this was refused.
        if ('code' in ended) ended = { code: NOTHING }
      }
      if ('answer' in ended) ledger.answered(id, ended.answer, times)
      else ledger.failed(id, ended.code, times)
      return 'answer' in ended
    },
    cast() {
      void send('cast', { id: ledger.begin('cast'), how: 'answer', ms: 0 }, {}, PATIENCE).then((response) => response.arrayBuffer(), () => {})
    },
    async close() {},
  }
}

export function webSocketCaller(name: string, ledger: CallLedger, service: string, port: () => number): ChaosCaller {
  let socket: WebSocket | undefined
  let isClosed = false
  const waiting = new Map<number, (said: { readonly answer?: unknown; readonly code: string }) => void>()

  function connect(): void {
    if (isClosed) return
    const own = new WebSocket(`ws://127.0.0.1:${port()}/_/call`)
    own.on('error', () => {})
    own.on('open', () => void (socket = own))
    own.on('message', (data: Buffer) => {
      const { id, answer, error } = JSON.parse(data.toString()) as { id: number; answer?: unknown; error?: { code: string } }
      waiting.get(id)?.({ answer, code: error?.code ?? '' })
    })
    own.on('close', () => {
      socket = undefined
      for (const end of waiting.values()) end({ code: NOTHING })
      setTimeout(connect, 50)
    })
  }

  connect()
  return {
    name,
    call({ how, ms, deadline, kind }) {
      const own = socket
      if (own === undefined) return new Promise((resolve) => setTimeout(resolve, 20, false))
      const id = ledger.begin(kind)
      return new Promise((resolve) => {
        // Whoever hears nothing for so long gives his connection up, which takes all its calls back.
        const timer = setTimeout(() => own.terminate(), deadline + PATIENCE)
        waiting.set(id, ({ answer, code }) => {
          clearTimeout(timer)
          waiting.delete(id)
          if (code === '') ledger.answered(id, answer)
          else ledger.failed(id, code)
          resolve(code === '')
        })
        own.send(JSON.stringify({ id, service, call: { id, how, ms }, deadline: `${deadline}ms`, ...(kind === 'repeatable' && { idempotencyKey: String(id) }) }))
      })
    },
    cast: () => socket?.send(JSON.stringify({ service, cast: { id: ledger.begin('cast'), how: 'answer', ms: 0 } })),
    async close() {
      isClosed = true
      socket?.terminate()
    },
  }
}

export async function erpsCaller(name: string, ledger: CallLedger, service: string, port: number, tls: TlsFiles): Promise<ChaosCaller> {
  const connected: ConnectedService<unknown> = await connectService<'json'>({
    server: '127.0.0.1', port, tls, identifier: service, as: 'json', reconnect: 200, limits: QUICK, logger: { info() {}, warn() {}, error() {} },
  }) as ConnectedService<unknown>
  return {
    name,
    async call({ how, ms, deadline, kind }) {
      const id = ledger.begin(kind)
      const made = performance.now()
      const times = { made, due: made + deadline, who: name }
      try {
        ledger.answered(id, await connected.call({ id, how, ms }, { timeout: deadline, idempotent: kind === 'repeatable' }), times)
        return true
      } catch (error) {
        ledger.failed(id, (error as WaystationError).code, times)
        return false
      }
    },
    cast: () => void connected.cast({ id: ledger.begin('cast'), how: 'answer', ms: 0 }),
    close: () => connected.close(),
  }
}
