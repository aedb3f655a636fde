import { join } from 'node:path'
import { createServer } from '../src/index.ts'
import { serveLinks } from '../src/server/link.ts'
import { source, TOPIC, type GiverOptions } from './link-source.ts'

/* Waystation as the giver of links: what the program publishes goes out by its daemon. */
const { certificates, size, window } = JSON.parse(process.argv[2] as string) as GiverOptions
const server = createServer({ addr: '127.0.0.1:0', logLevel: 'error', lonelyps: false, wspubsub: false })
await server.listen()
const tls = { cacertfile: join(certificates, 'ca.pem'), certfile: join(certificates, 'hub.pem'), keyfile: join(certificates, 'hub.key') }
const links = await serveLinks({ hub: server.hub, port: 0, host: '127.0.0.1', tls })
const body = Buffer.alloc(size, 'x')
source(links.port, window, (messages) => {
  for (let i = 0; i < messages; i++) void server.hub.publish(TOPIC, body)
})
