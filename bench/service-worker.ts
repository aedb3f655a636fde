import { join } from 'node:path'
import type { Term } from '../src/protocol/etf/term.ts'
import { workService } from '../src/server/work-service.ts'
import { listening } from './child.ts'

/** What the bench states for a worker, as JSON. */
export interface WorkerOptions {
  /** The folder with ca.pem, edge.pem, edge.key. */
  readonly certificates: string
  /** Where the hub takes workers. */
  readonly port: number
  readonly service: string
  readonly slots: number
}

/* A worker of a hub that echoes. The bench hears of it when the hub has taken it. */
const { certificates, port, service, slots } = JSON.parse(process.argv[2] as string) as WorkerOptions
const file = (name: string): string => join(certificates, name)
await workService({
  hub: { server: '127.0.0.1', port },
  name: service,
  slots,
  tls: { cacertfile: file('ca.pem'), certfile: file('edge.pem'), keyfile: file('edge.key') },
  onState({ state }) {
    if (state === 'working') listening(0)
  },
}, { call: (request: Term) => request })
