import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import type { PublicHub } from '../../src/index.ts'
import type { TlsFiles } from '../../src/zones/ports.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { createFrameReader } from '../../src/protocol/pony-express/frame.ts'
import { readFromTaker } from '../../src/protocol/pony-express/from-taker.ts'
import { broadcastFrame } from './link-giver.ts'

/** A daemon as PonyExpress has it: it reads the term of a subscription and nothing behind it, and never answers. */
export interface PlainDaemon {
  readonly port: number
  /** Topics that it was asked for, by each connection that it ever had. */
  readonly asked: readonly string[]
  close(): void
}

/** @param hub gives what is published to a topic as binaries */
export async function startPlainDaemon(hub: PublicHub, files: TlsFiles): Promise<PlainDaemon> {
  const open = new Set<TLSSocket>()
  const asked: string[] = []
  const [ca, cert, key] = [files.cacertfile, files.certfile, files.keyfile].map((file) => readFileSync(file)) as [Buffer, Buffer, Buffer]

  async function give(socket: TLSSocket, topic: string): Promise<void> {
    const messages = hub.subscribe(topic)
    socket.once('close', () => void messages[Symbol.asyncDispose]())
    for await (const { body } of messages) {
      if (!socket.write(broadcastFrame(encode(body)))) await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => {})
    }
  }

  const server = createServer({ ca, cert, key, requestCert: true, rejectUnauthorized: true }, (socket) => {
    open.add(socket)
    const frames = createFrameReader({ maxBytes: 1_048_576 })
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      for (const payload of frames.push(chunk)) {
        const said = readFromTaker(payload, { maxBytes: 1_048_576, maxTopics: 10_000 })
        if (said.kind !== 'subscribe') continue
        asked.push(said.topic.toString())
        give(socket, said.topic.toString()).catch(() => socket.destroy())
      }
    })
  })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    close() {
      for (const socket of open) socket.destroy()
      server.close()
    },
  }
}
