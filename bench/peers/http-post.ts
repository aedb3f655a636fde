import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { listening } from '../child.ts'

/* A bare `node:http` handler that takes the body of a POST and answers as Waystation does. */
const server = createServer((request, response) => {
  request.resume().on('end', () => {
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': 3 })
    response.end('OK\n')
  })
})
server.listen(0, '127.0.0.1', () => listening((server.address() as AddressInfo).port))
