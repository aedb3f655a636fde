/*
 * A lonelyps broadcaster on the server of a Fastify application: only the paths under /v1/ are the hub's.
 *
 *   from a clone:         node --conditions=waystation/source examples/embedding-lonelyps/fastify.ts
 *   in your own project:  npm install waystation fastify, then node fastify.ts
 */
import Fastify from 'fastify'
import { createServer } from 'waystation'

// Subscribers on this machine may be called. On the open internet, state secrets instead: see docs/protocols/lonelyps.md.
const waystation = createServer({ pinghub: false, sse: false, operations: false, allowPrivate: true })

const app = Fastify()
app.get('/', () => 'the application\n')

await waystation.attach(app.server)
const url = await app.listen({ port: Number(process.env['PORT'] ?? 3003), host: '127.0.0.1' })
console.log(`listening on ${url}`)

async function stop(): Promise<void> {
  await waystation.close()
  await app.close()
  console.log('stopped')
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)
