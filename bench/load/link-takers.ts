import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { subscribeFrame } from '../../src/protocol/pony-express/from-taker.ts'
import { TOPIC } from '../link-source.ts'
import type { LinksTask, Report } from '../task.ts'
import { measured } from './time.ts'

const HEADER = 8
/** Handshakes at once. */
const TOGETHER = 50

/** Counts frames, and looks at nothing but their lengths. */
function counter(skip: number): { take(chunk: Buffer): number } {
  let left = 0
  let skipped = 0
  let header: Buffer = Buffer.alloc(0)
  return {
    take(chunk) {
      let at = 0
      let whole = 0
      while (at < chunk.length) {
        if (left > 0) {
          const step = Math.min(left, chunk.length - at)
          left -= step
          at += step
        } else {
          // A header that is cut is put together; most are not.
          const from = header.length === 0 && chunk.length - at >= HEADER ? chunk.subarray(at, at + HEADER) : Buffer.concat([header, chunk.subarray(at, at + HEADER - header.length)])
          at += from.length - header.length
          if (from.length < HEADER) {
            header = from
            return whole
          }
          header = Buffer.alloc(0)
          left = from.readUInt32BE(4)
        }
        if (left > 0) continue
        if (skipped < skip) skipped++
        else whole++
      }
      return whole
    },
  }
}

/** Takers that subscribe to one topic and count what comes. What has come to all of them is told to the giver, which sends as much again. */
export async function loadLinks(port: number, task: LinksTask, report: Report): Promise<void> {
  const control = connectPlain(port, '127.0.0.1').setNoDelay(true)
  const [first] = (await once(control, 'data')) as [Buffer]
  const linkPort = Number(first.toString())
  const file = (name: string): Buffer => readFileSync(join(task.certificates, name))
  const options = { host: '127.0.0.1', port: linkPort, ca: file('ca.pem'), cert: file('edge.pem'), key: file('edge.key'), minVersion: 'TLSv1.3' as const }
  const topic = Buffer.from(TOPIC)
  const wish = { hub: 'bench', topics: [topic], patterns: [], after: undefined }
  const frame = subscribeFrame(topic, task.form === 'waystation' ? wish : undefined)
  const received = new Float64Array(task.takers)
  let counted = 0
  let told = 0

  async function open(index: number): Promise<TLSSocket> {
    const socket = connect(options)
    await once(socket, 'secureConnect')
    // The answer to a wish is no message.
    const frames = counter(task.answers === 'ready' ? 1 : 0)
    socket.on('data', (chunk: Buffer) => {
      const whole = frames.take(chunk)
      counted += whole
      received[index] = (received[index] as number) + whole
      if (task.takers === 1 || index === 0) tell()
    })
    socket.on('close', () => {
      throw new Error(`taker ${index} was let go`)
    })
    socket.write(frame)
    return socket
  }
  function tell(): void {
    let least = Infinity
    for (const count of received) if (count < least) least = count
    // A window that is empty has nobody left to open it; the others are told in between.
    if (least === told) return
    told = least
    control.write(`${least}\n`)
  }
  const open_: TLSSocket[] = []
  for (let at = 0; at < task.takers; at += TOGETHER) {
    open_.push(...await Promise.all(Array.from({ length: Math.min(TOGETHER, task.takers - at) }, (_, i) => open(at + i))))
  }
  // Nothing says that a subscription of PonyExpress has taken effect.
  await new Promise((resolve) => setTimeout(resolve, task.settle * 1_000))
  const looks = setInterval(tell, 1)
  control.write('0\n')
  await measured(task, report, () => counted)
  clearInterval(looks)
  for (const socket of open_) socket.removeAllListeners('close').destroy()
  control.destroy()
}
