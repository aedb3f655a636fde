import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server } from 'socket.io'
import { listening } from '../child.ts'

/*
 * Socket.IO as one uses it for channels: whoever connects with `?c=` joins that room, and what is published goes to the
 * room that the first eight characters name. The load answers no pings, so there are none while it is measured.
 */
const CHANNEL_CHARS = 8
const NEVER_MS = 3_600_000

const server = createServer()
const sockets = new Server(server, { transports: ['websocket'], pingInterval: NEVER_MS })
sockets.on('connection', (socket) => {
  const channel = socket.handshake.query['c']
  if (typeof channel === 'string') void socket.join(channel)
  socket.on('p', (message: string) => sockets.to(message.slice(0, CHANNEL_CHARS)).emit('p', message))
})
server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => listening((server.address() as AddressInfo).port))
