import { createServer, type AddressInfo } from 'node:net'
import { listening } from '../child.ts'

/*
 * The least that plain Node can do with a POST: heads and Content-Length are found by hand on `node:net`, the body is
 * looked at by nobody. It trusts its clients: no limits, no chunks, no check of any header.
 */
const END = Buffer.from('\r\n\r\n')
const LENGTH = /\r\ncontent-length: *(\d+)/i
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nOK\n'

const server = createServer({ noDelay: true }, (socket) => {
  let rest: Buffer | undefined
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    const bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk])
    let at = 0
    let answers = ''
    for (;;) {
      const head = bytes.indexOf(END, at)
      if (head === -1) break
      const end = head + END.length + Number(LENGTH.exec(bytes.toString('latin1', at, head))?.[1] ?? 0)
      if (end > bytes.length) break
      answers += ANSWER
      at = end
    }
    rest = at < bytes.length ? bytes.subarray(at) : undefined
    if (answers !== '') socket.write(answers, 'latin1')
  })
})
server.listen(0, '127.0.0.1', () => listening((server.address() as AddressInfo).port))
