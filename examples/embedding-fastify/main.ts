/*
 * A hub under /hub on the server of a Fastify application, beside the application's own routes.
 *
 *   from a clone:         node --conditions=waystation/source examples/embedding-fastify/main.ts
 *   in your own project:  npm install waystation fastify, then node main.ts
 *
 * Try it: open http://127.0.0.1:3000/hub/orders in a browser, then
 *   curl -H 'Content-Type: text/plain' -d 'two coffees' http://127.0.0.1:3000/orders
 *   curl -d 'one tea' http://127.0.0.1:3000/hub/orders
 *   curl http://127.0.0.1:3000/orders
 */
import { fastify } from 'fastify'
import { createServer } from 'waystation'

const waystation = createServer()
const { hub } = waystation
const orders: string[] = []

const app = fastify()
app.post<{ Body: string | null }>('/orders', async (request, reply) => {
  const { subscribers } = await hub.publish('orders', request.body ?? '')
  return reply.code(201).send(`told ${subscribers}\n`)
})
app.get('/orders', async () => orders)

/** Everything that is published to the topic, by whichever way, until the hub closes. */
async function takeOrders(): Promise<void> {
  for await (const message of hub.subscribe('orders')) orders.push(message.text())
}

const taking = takeOrders()
await waystation.attach(app.server, { prefix: '/hub' })
// The hub closes before the server: its connections stay open until it has said goodbye to them.
app.addHook('preClose', async () => {
  await waystation.close()
  await taking
})
console.log(`listening on ${await app.listen({ port: Number(process.env['PORT'] ?? 3000), host: '127.0.0.1' })}`)

async function stop(): Promise<void> {
  await app.close()
  console.log('stopped')
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)
