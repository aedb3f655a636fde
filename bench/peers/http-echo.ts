import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { listening } from '../child.ts'

/* node:http that echoes the body of a request, over keep-alive connections without encryption. */
const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const body = chunks.length === 1 ? chunks[0] as Buffer : Buffer.concat(chunks)
    response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': body.length })
    response.end(body)
  })
})
server.listen(0, '127.0.0.1', () => listening((server.address() as AddressInfo).port))
