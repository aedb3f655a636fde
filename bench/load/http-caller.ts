import { Agent, request } from 'node:http'
import { encode } from '../../src/protocol/etf/encode.ts'
import type { CallsTask } from '../task.ts'
import type { BenchCaller } from './callers.ts'

/** Keep-alive connections of `node:http`, as many as calls are under way. A hub takes and gives the same term that is in a packet of Erps. */
export function openHttp(port: number, { together, service }: CallsTask, payload: Buffer): BenchCaller {
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
