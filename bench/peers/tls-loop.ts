import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createServer, type TLSSocket } from 'node:tls'
import { source, type GiverOptions } from '../link-source.ts'

/* The floor: bytes that were made beforehand, written to every connection in a loop, with one write for what goes out in one turn. No hub. */
const { certificates, window, frame } = JSON.parse(process.argv[2] as string) as GiverOptions
const file = (name: string): Buffer => readFileSync(join(certificates, name))
const sockets = new Set<TLSSocket>()
const server = createServer({ ca: file('ca.pem'), cert: file('hub.pem'), key: file('hub.key'), requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' }, (socket) => {
  sockets.add(socket)
  socket.setNoDelay(true)
  socket.on('error', () => {})
  socket.on('close', () => sockets.delete(socket))
  // What a taker asks for.
  socket.resume()
})
const bytes = framesOf(frame, window)
server.listen(0, '127.0.0.1', () => source((server.address() as AddressInfo).port, window, (messages) => {
  const part = bytes.subarray(0, messages * frame)
  for (const socket of sockets) socket.write(part)
}))

/** Frames of PonyExpress, so that the load counts them alike. */
function framesOf(size: number, count: number): Buffer {
  const one = Buffer.alloc(size, 'x')
  one.writeUInt32BE(0x07440745, 0)
  one.writeUInt32BE(size - 8, 4)
  return Buffer.concat(Array.from({ length: count }, () => one))
}
