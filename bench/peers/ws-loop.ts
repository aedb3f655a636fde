import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'
import { listening } from '../child.ts'

/*
 * What one writes without a hub, with the same library: the path is the channel, whatever comes in goes to everyone
 * there in a loop, and POST publishes. No limits, no rules, no offsets, no pings, no metrics. Whoever adds `?alone` to
 * the path only publishes there.
 */
const channels = new Map<string, Set<WebSocket>>()
const server = createServer((request, response) => void publish(request, response))
const sockets = new WebSocketServer({ server })

sockets.on('connection', (socket, request) => {
  const [path = '/', role] = (request.url ?? '/').split('?')
  socket.on('message', (data, binary) => broadcast(path, data as Buffer, binary))
  if (role === 'alone') return
  const members = channels.get(path) ?? new Set()
  channels.set(path, members.add(socket))
  socket.on('close', () => {
    members.delete(socket)
    if (members.size === 0) channels.delete(path)
  })
})

function broadcast(path: string, data: Buffer | string, binary: boolean): void {
  for (const member of channels.get(path) ?? []) member.send(data, { binary })
}

async function publish(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  broadcast(request.url ?? '/', Buffer.concat(chunks), false)
  response.end('OK\n')
}

server.listen(0, '127.0.0.1', () => listening((server.address() as AddressInfo).port))
