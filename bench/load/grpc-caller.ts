import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client, credentials } from '@grpc/grpc-js'
import type { CallsTask } from '../task.ts'
import type { BenchCaller } from './callers.ts'

export const GRPC_METHOD = '/bench.Echo/Echo'

/** One client of gRPC, which has one connection. No protocol buffers: neither end decodes anything. */
export function openGrpc(port: number, { certificates }: CallsTask, payload: Buffer): BenchCaller {
  const file = (name: string): Buffer => readFileSync(join(certificates, name))
  const same = (bytes: Buffer): Buffer => bytes
  // Otherwise it would state the IP address as a name, which Node refuses.
  const client = new Client(`127.0.0.1:${port}`, credentials.createSsl(file('ca.pem'), file('edge.key'), file('edge.pem')), { 'grpc.ssl_target_name_override': 'localhost' })
  return {
    bytes: payload.length,
    call: (answered) => void client.makeUnaryRequest(GRPC_METHOD, same, same, payload, (error, answer) => {
      if (error !== null) throw error
      answered(answer as Buffer)
    }),
    close: () => client.close(),
  }
}
