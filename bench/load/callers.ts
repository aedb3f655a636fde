import type { CallsTask } from '../task.ts'

/** One end that calls. What a call that fails throws gets out of everything: the figures would be worth nothing. */
export interface BenchCaller {
  /** Calls once, and tells the answer. */
  call(answered: (answer: Buffer) => void): void
  /** Bytes of an answer. */
  readonly bytes: number
  close(): Promise<void> | void
}

/** Loads no more than it needs: every load would pay for it. */
export async function openCaller(port: number, task: CallsTask): Promise<BenchCaller> {
  const payload = Buffer.alloc(task.size, 'x')
  switch (task.by) {
    case 'erps-tls': case 'erps-tcp': return (await import('./erps-caller.ts')).openErps(port, task, payload)
    case 'grpc': return (await import('./grpc-caller.ts')).openGrpc(port, task, payload)
    case 'http': return (await import('./http-caller.ts')).openHttp(port, task, payload)
    default: return task.by satisfies never
  }
}
