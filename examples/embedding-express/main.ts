/*
 * A hub under /hub on the server of an Express application, beside the application's own routes.
 *
 *   from a clone:         node --conditions=waystation/source examples/embedding-express/main.ts
 *   in your own project:  npm install waystation express, then node main.ts
 *
 * Try it: open http://127.0.0.1:3000/hub/orders in a browser, then
 *   curl -d 'two coffees' http://127.0.0.1:3000/orders
 *   curl -d 'one tea' http://127.0.0.1:3000/hub/orders
 *   curl http://127.0.0.1:3000/orders
 */
import { once } from 'node:events'
import { createServer as createHttp } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { createServer } from 'waystation'

const waystation = createServer()
const { hub } = waystation
const orders: string[] = []

const app = express()
// A parser for all bodies: what goes to the hub passes it by.
app.use(express.text({ type: '*/*' }))
app.post('/orders', async (request, response) => {
  const { subscribers } = await hub.publish('orders', request.body ?? '')
  response.status(201).send(`told ${subscribers}\n`)
})
app.get('/orders', (_request, response) => {
  response.json(orders)
})

/** Everything that is published to the topic, by whichever way, until the hub closes. */
async function takeOrders(): Promise<void> {
  for await (const message of hub.subscribe('orders')) orders.push(message.text())
}

const taking = takeOrders()
// The hub is mounted on the server, not in the application: WebSockets do not come to Express at all.
const server = createHttp(app)
await waystation.attach(server, { prefix: '/hub' })
server.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1')
await once(server, 'listening')
console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)

async function stop(): Promise<void> {
  // No newcomers; then the hub says goodbye to those who are here, and the server is free to end.
  server.close(() => console.log('stopped'))
  await waystation.close()
  await taking
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)
