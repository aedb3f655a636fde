import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { Client, credentials } from '@grpc/grpc-js'
import { encode } from '../../src/protocol/etf/encode.ts'
import { connectService } from '../../src/server/connect-service.ts'
import type { CallsTask } from '../task.ts'

export const GRPC_METHOD = '/bench.Echo/Echo'

/** One end that calls. A call that fails throws out of everything: the figures would be worth nothing. */
export interface BenchCaller {
  /** Calls once, and tells the answer. */
  call(answered: (answer: Buffer) => void): void
  /** Bytes of an answer. */
  readonly bytes: number
  close(): Promise<void> | void
}

export function openCaller(port: number, task: CallsTask): Promise<BenchCaller> | BenchCaller {
  const payload = Buffer.alloc(task.size, 'x')
  switch (task.by) {
    case 'erps-tls': case 'erps-tcp': return openErps(port, task, payload)
    case 'grpc': return openGrpc(port, task, payload)
    case 'http': return openHttp(port, task, payload)
    default: return task.by satisfies never
  }
}

async function openErps(port: number, { by, certificates, service }: CallsTask, payload: Buffer): Promise<BenchCaller> {
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

function openGrpc(port: number, { certificates }: CallsTask, payload: Buffer): BenchCaller {
  const file = (name: string): Buffer => readFileSync(join(certificates, name))
  // Otherwise it would state the IP address as a name, which Node refuses.
  const client = new Client(`127.0.0.1:${port}`, credentials.createSsl(file('ca.pem'), file('edge.key'), file('edge.pem')), { 'grpc.ssl_target_name_override': 'localhost' })
  const same = (bytes: Buffer): Buffer => bytes
  return {
    bytes: payload.length,
    call: (answered) => void client.makeUnaryRequest(GRPC_METHOD, same, same, payload, (error, answer) => {
      if (error !== null) throw error
      answered(answer as Buffer)
    }),
    close: () => client.close(),
  }
}

/** A hub takes and gives the same term that is in a packet of Erps. */
function openHttp(port: number, { together, service }: CallsTask, payload: Buffer): BenchCaller {
  const agent = new Agent({ keepAlive: true, maxSockets: together })
  const body = service === undefined ? payload : encode(payload)
  const type = service === undefined ? 'application/octet-stream' : 'application/x-erlang-term'
  const options = {
    agent, port, host: '127.0.0.1', method: 'POST', path: service === undefined ? '/' : `/_/call/${service}`,
    headers: { 'Content-Type': type, Accept: type, 'Content-Length': body.length },
  }
  return {
    bytes: body.length,
    call(answered) {
      request(options, (response) => {
        if (response.statusCode !== 200) throw new Error(`the server answered ${response.statusCode}`)
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => answered(chunks.length === 1 ? chunks[0] as Buffer : Buffer.concat(chunks)))
      }).end(body)
    },
    close: () => agent.destroy(),
  }
}
