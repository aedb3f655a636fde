/*
 * A lonelyps broadcaster on a server that already has a purpose: only the paths under /v1/ are the hub's.
 *
 *   from a clone:         node --conditions=waystation/source examples/embedding-lonelyps/node.ts
 *   in your own project:  npm install waystation, then node node.ts
 *
 * express.ts and fastify.ts beside this one do the same with those frameworks.
 */
import { once } from 'node:events'
import { createServer as createHttp } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer } from 'waystation'

// Subscribers on this machine may be called. On the open internet, state secrets instead: see docs/protocols/lonelyps.md.
const waystation = createServer({ pinghub: false, sse: false, operations: false, allowPrivate: true })

const server = createHttp((_request, response) => response.end('the application\n'))
await waystation.attach(server)
server.listen(Number(process.env['PORT'] ?? 3003), '127.0.0.1')
await once(server, 'listening')
console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)

async function stop(): Promise<void> {
  server.close(() => console.log('stopped'))
  await waystation.close()
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)
