import type { Socket } from 'node:net'
import type { PostTask, Report } from '../task.ts'
import { letGo, openMany, openSocket } from './connect.ts'
import { createHistogram } from './histogram.ts'
import { arrived, measured } from './time.ts'

interface Requester {
  socket: Socket | undefined
  answer: string
  askedAt: number
}

/** One request after the other on each connection. @throws {Error} when an answer is not 200, or never came */
export async function loadPost(port: number, task: PostTask, report: Report): Promise<void> {
  const body = 'x'.repeat(task.size)
  const request = Buffer.from(
    `POST /bench/post HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\nContent-Length: ${task.size}\r\n\r\n${body}`,
  )
  let histogram = createHistogram()
  let asked = 0
  let answered = 0
  let asking = true

  function ask(one: Requester): void {
    asked++
    one.askedAt = performance.now()
    one.socket?.write(request)
  }

  function onBytes(one: Requester, bytes: Buffer, length: number): void {
    one.answer += bytes.toString('latin1', 0, length)
    const size = answerSize(one.answer)
    if (size === undefined || one.answer.length < size) return
    one.answer = one.answer.slice(size)
    answered++
    histogram.add((performance.now() - one.askedAt) * 1000)
    if (asking) ask(one)
  }

  const requesters = await openMany(task.connections, async () => {
    const one: Requester = { socket: undefined, answer: '', askedAt: 0 }
    one.socket = await openSocket(port, (bytes, length) => onBytes(one, bytes, length))
    one.socket.on('close', () => {
      throw new Error('the server closed a connection')
    })
    return one
  })
  try {
    for (const one of requesters) ask(one)
    await measured(task, report, () => answered, () => (histogram = createHistogram()))
    asking = false
    await arrived(() => asked - answered, 'answers', task.patience)
  } finally {
    letGo(requesters.flatMap(({ socket }) => socket ?? []))
  }
}

/** The length of the answer that stands at the beginning, its head included; `undefined` while the head is not whole. */
function answerSize(text: string): number | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  if (!text.startsWith('HTTP/1.1 200 ')) throw new Error(`the server answered ${text.slice(0, text.indexOf('\r\n'))}`)
  const length = /\r\ncontent-length: (\d+)/i.exec(text)
  if (length === null) throw new Error('the server answered without a Content-Length')
  return end + 4 + Number(length[1])
}
