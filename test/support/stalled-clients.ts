import { connect as connectTcp, type OnReadOpts, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { handshake } from './raw.ts'
import { request } from './responses.ts'

/*
 * A program: opens subscribers that never read, so that one who measures need not have their files in the same process.
 * Its task is its argument, as JSON. It says `{ opened }` when they are there, and ends with its standard input.
 */

export interface StalledTask {
  readonly port: number
  readonly count: number
  readonly path: string
  readonly kind: 'websocket' | 'sse'
  readonly secure: boolean
  /** ms from one byte that each reads to the next; 0 for none ever. */
  readonly sipEvery: number
}

const AT_ONCE = 64
const ANSWER = /^HTTP\/1\.1 (101|200) [\s\S]*?\r\n\r\n/

/** Reads until the answer has come; from then on one byte for each `resume`, or nothing. */
function open(task: StalledTask): Promise<Socket> {
  return new Promise((resolve, reject) => {
    let head = ''
    let isOpen = false
    const onread: OnReadOpts = {
      buffer: Buffer.alloc(1),
      callback(_length, byte) {
        if (isOpen) return false
        head += Buffer.from(byte).toString('latin1', 0, 1)
        isOpen = ANSWER.test(head)
        if (!isOpen) return true
        // What it had to say until now has come; from here on it is not read.
        process.nextTick(() => resolve(socket))
        return false
      },
    }
    const to = { port: task.port, host: '127.0.0.1', onread }
    const socket: Socket = task.secure ? connectTls({ ...to, rejectUnauthorized: false }, () => begin()) : connectTcp(to, () => begin())
    const begin = (): void => {
      socket.write(task.kind === 'websocket' ? handshake(task.path) : request(`GET ${task.path}`, { headers: { Accept: 'text/event-stream' } }))
    }
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`refused: ${head}`)))
  })
}

const task = JSON.parse(process.argv[2] as string) as StalledTask
process.stdin.on('end', () => process.exit()).resume()
const all: Socket[] = []
let begun = 0
async function openInTurn(): Promise<void> {
  while (begun < task.count) {
    begun++
    all.push(await open(task))
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, openInTurn))
console.log(JSON.stringify({ opened: all.length }))
if (task.sipEvery > 0) setInterval(() => all.forEach((socket) => socket.resume()), task.sipEvery)
