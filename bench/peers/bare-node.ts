import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { listening } from '../child.ts'

/*
 * The least that plain Node can do: what comes in one turn of the event loop is framed and joined once, and written once
 * to everyone on the channel. It trusts whoever connects: no limits, no checks, no closing handshake, no pings. What
 * Waystation costs above it is Waystation's own; what it costs above the floor is Node's.
 */
interface Channel {
  readonly members: Set<Socket>
  waiting: Buffer[]
}

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const channels = new Map<string, Channel>()
let busy: Channel[] = []

const server = createServer((_, response) => response.end())
server.on('upgrade', (request, stream) => {
  const socket = stream as Socket
  const [path = '/', role] = (request.url ?? '/').split('?')
  const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + GUID).digest('base64')
  let channel = channels.get(path)
  if (channel === undefined) channels.set(path, channel = { members: new Set(), waiting: [] })
  const { members } = channel
  if (role === undefined) members.add(socket)
  socket.setNoDelay(true).on('close', () => members.delete(socket)).on('error', () => socket.destroy()).on('data', createReader(channel))
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
})

function createReader(channel: Channel): (chunk: Buffer) => void {
  let rest: Buffer | undefined
  return (chunk) => {
    const bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk])
    let at = 0
    while (bytes.length - at >= 8) {
      const short = (bytes[at + 1] as number) & 0x7f
      const mask = at + (short < 126 ? 2 : 4)
      const body = mask + 4
      const end = body + (short < 126 ? short : bytes.readUInt16BE(at + 2))
      if (end > bytes.length) break
      for (let i = body; i < end; i++) bytes[i] = (bytes[i] as number) ^ (bytes[mask + ((i - body) & 3)] as number)
      if (((bytes[at] as number) & 0x0f) < 8) publish(channel, bytes.subarray(body, end))
      at = end
    }
    rest = at < bytes.length ? bytes.subarray(at) : undefined
  }
}

function publish(channel: Channel, body: Buffer): void {
  if (channel.waiting.push(body) > 1) return
  if (busy.push(channel) === 1) setImmediate(endTurn)
}

function endTurn(): void {
  const those = busy
  busy = []
  for (const channel of those) {
    const joined = joinFrames(channel.waiting)
    channel.waiting = []
    for (const member of channel.members) member.write(joined)
  }
}

function joinFrames(bodies: readonly Buffer[]): Buffer {
  let size = 0
  for (const { length } of bodies) size += length + (length < 126 ? 2 : 4)
  const joined = Buffer.allocUnsafe(size)
  let at = 0
  for (const body of bodies) {
    joined[at] = 0x81
    joined[at + 1] = body.length < 126 ? body.length : 126
    if (body.length >= 126) joined.writeUInt16BE(body.length, at + 2)
    at += body.length < 126 ? 2 : 4
    joined.set(body, at)
    at += body.length
  }
  return joined
}

server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => listening((server.address() as AddressInfo).port))
