/*
 * A hub inside a program of your own: mounted under /hub on your own node:http server, beside your own routes and your
 * own upgrades.
 *
 *   from a clone:         node --conditions=waystation/source examples/embedding-node/main.ts
 *   in your own project:  npm install waystation, then node main.ts
 *
 * Try it: open http://127.0.0.1:3000/hub/orders in a browser, then
 *   curl -d 'two coffees' http://127.0.0.1:3000/orders
 *   curl -d 'one tea' http://127.0.0.1:3000/hub/orders
 *   curl http://127.0.0.1:3000/orders
 */
import { once } from 'node:events'
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { createServer } from 'waystation'

const waystation = createServer()
const { hub } = waystation
const orders: string[] = []

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === '/orders' && request.method === 'POST') {
    const { subscribers } = await hub.publish('orders', await text(request))
    response.writeHead(201).end(`told ${subscribers}\n`)
  } else if (request.url === '/orders') {
    response.end(JSON.stringify(orders) + '\n')
  } else {
    response.writeHead(404).end('Not here. Try /orders and /hub/orders.\n')
  }
}
const server = createHttp((request, response) => {
  answer(request, response).catch(() => response.writeHead(503).end('Not now.\n'))
})

// An upgrade of your own: it answers every byte with the same byte.
server.on('upgrade', (request, socket) => {
  socket.on('error', () => socket.destroy())
  if (request.url !== '/echo') return void socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n')
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
  socket.pipe(socket)
})

/** Everything that is published to the topic, by whichever way, until the hub closes. */
async function takeOrders(): Promise<void> {
  for await (const message of hub.subscribe('orders')) orders.push(message.text())
}

const taking = takeOrders()
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
