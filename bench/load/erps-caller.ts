import { join } from 'node:path'
import { connectService } from '../../src/server/connect-service.ts'
import type { CallsTask } from '../task.ts'
import type { BenchCaller } from './callers.ts'

/** One client of Waystation. */
export async function openErps(port: number, { by, certificates, service }: CallsTask, payload: Buffer): Promise<BenchCaller> {
  const file = (name: string): string => join(certificates, name)
  const tls = { cacertfile: file('ca.pem'), certfile: file('edge.pem'), keyfile: file('edge.key') }
  const connected = await connectService({
    server: '127.0.0.1', port,
    ...(by === 'erps-tls' ? { tls } : { transport: 'tcp' as const }),
    ...(service !== undefined && { identifier: service }),
  })
  return {
    bytes: payload.length,
    call: (answered) => void connected.call(payload).then((answer) => answered(answer as Buffer)),
    close: () => connected.close(),
  }
}
