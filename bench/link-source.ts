import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { listening } from './child.ts'

/** What the bench states for either giver, as JSON. */
export interface GiverOptions {
  /** The folder with ca.pem, hub.pem, hub.key. */
  readonly certificates: string
  readonly size: number
  /** Messages under way at most. */
  readonly window: number
  /** Bytes of a whole frame in the form that is taken. */
  readonly frame: number
}

export const TOPIC = 'bench'

/**
 * The process of a giver: it tells the bench the port of a plain connection by which the load says when all takers are
 * there, and how many messages have come to all of them. So many are sent that `window` are under way.
 * @param give sends so many messages more, in this turn of the event loop
 */
export function source(port: number, window: number, give: (messages: number) => void): Server {
  const server = createServer((control) => paced(control, port, window, give))
  server.listen(0, '127.0.0.1', () => listening((server.address() as AddressInfo).port))
  return server
}

function paced(control: Socket, port: number, window: number, give: (messages: number) => void): void {
  let given = 0
  let text = ''
  control.setNoDelay(true)
  control.write(`${port}\n`)
  control.on('error', () => {})
  control.on('data', (chunk) => {
    text += chunk.toString()
    const lines = text.split('\n')
    text = lines.pop() as string
    // The last one counts: each says how many there are.
    const last = lines.at(-1)
    if (last === undefined) return
    const more = Number(last) + window - given
    if (more <= 0) return
    given += more
    give(more)
  })
}
