import { openSync, writeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { workService, type RunningWorker } from '../../src/server/work-service.ts'
import type { TlsFiles } from '../../src/zones/ports.ts'

/*
 * A worker that writes down everything that it is asked, before it does it. It runs in this process, or in one of its own
 * that can be killed: `node chaos-worker.ts '{ "port": … }'`.
 */

/** What it is asked to do. */
export interface Task {
  readonly id: number
  readonly how: 'answer' | 'slow' | 'throw' | 'never'
  /** ms, of one that is slow. */
  readonly ms: number
}

export interface ChaosWorkerOptions {
  readonly port: number
  readonly name: string
  readonly tls: TlsFiles
  /** A line for each task, and `drain` where it takes no more. */
  readonly journal: string
}

/** What a worker in a process of its own tells, and is told. */
export type WorkerSays = 'working' | 'away'
export const DRAIN = 'drain'

export const QUICK = { serviceKeepalive: 100, serviceDeadline: 600, serviceRetry: 20, maxServiceRetry: 200, serviceHandshakeTimeout: 2_000, drainTime: 1_000 } as const
const SLOTS = 16
const SILENT = { info() {}, warn() {}, error() {} }

export async function startChaosWorker({ port, name, tls, journal }: ChaosWorkerOptions, says: (what: WorkerSays) => void): Promise<{ readonly worker: RunningWorker; drain(): Promise<void> }> {
  const file = openSync(journal, 'a')
  const note = (line: string): void => void writeSync(file, `${line}\n`)
  const worker = await workService<'json'>({
    hub: { server: '127.0.0.1', port },
    name, tls,
    as: 'json',
    slots: SLOTS,
    limits: QUICK,
    logger: SILENT,
    onState: ({ state }) => says(state === 'working' ? 'working' : 'away'),
  }, {
    call(request) {
      const { id, how, ms } = request as unknown as Task
      note(String(id))
      switch (how) {
        case 'answer': return { id }
        case 'slow': return new Promise((resolve) => setTimeout(() => resolve({ id }), ms))
        case 'throw': throw new Error('it was told to throw')
        case 'never': return undefined
        default: return how satisfies never
      }
    },
    cast: (request) => note(`cast ${(request as unknown as Task).id}`),
  })
  return {
    worker,
    async drain() {
      const closed = worker.close()
      // It is in a turn of its own that it begins to.
      await Promise.resolve()
      note(DRAIN)
      await closed
    },
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { worker, drain } = await startChaosWorker(JSON.parse(process.argv[2] as string) as ChaosWorkerOptions, (what) => process.send?.(what))
  process.on('message', () => void drain().then(() => process.exit(0)))
  // The test is gone.
  process.on('disconnect', () => void worker.close().then(() => process.exit(1)))
}
