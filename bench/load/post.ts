import type { Socket } from 'node:net'
import type { PostTarget, PostTask, Report } from '../task.ts'
import { letGo, openMany, openSocket } from './connect.ts'
import { createHistogram } from './histogram.ts'
import { arrived, measured } from './time.ts'

interface Requester {
  readonly request: Buffer
  socket: Socket | undefined
  answer: string
  askedAt: number
}

/** One request after the other on each connection. @throws {Error} when an answer has another status, or never came */
export async function loadPost(port: number, task: PostTask, report: Report): Promise<void> {
  const begin = `HTTP/1.1 ${task.status ?? 200} `
  const requests = (task.to ?? [{ path: '/bench/post', key: undefined }]).map((to) => requestOf(to, task.size))
  let histogram = createHistogram()
  /** As long as a whole answer was: one that comes whole and as long needs no reading but of its status. */
  let usual = 0
  let asked = 0
  let answered = 0
  let asking = true

  function ask(one: Requester): void {
    asked++
    one.askedAt = performance.now()
    one.socket?.write(one.request)
  }

  function onBytes(one: Requester, bytes: Buffer, length: number): void {
    if (one.answer !== '' || length !== usual || bytes.toString('latin1', 0, begin.length) !== begin) {
      one.answer += bytes.toString('latin1', 0, length)
      const size = answerSize(one.answer, begin)
      if (size === undefined || one.answer.length < size) return
      one.answer = one.answer.slice(size)
      usual = size
    }
    answered++
    histogram.add((performance.now() - one.askedAt) * 1000)
    if (asking) ask(one)
  }

  const requesters = await openMany(task.connections, async (index) => {
    const one: Requester = { request: requests[index % requests.length] as Buffer, socket: undefined, answer: '', askedAt: 0 }
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

function requestOf({ path, key }: PostTarget, size: number): Buffer {
  const proof = key === undefined ? '' : `Authorization: Bearer ${key}\r\n`
  return Buffer.from(`POST ${path} HTTP/1.1\r\nHost: bench\r\n${proof}Content-Type: text/plain\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`)
}

/** The length of the answer that stands at the beginning, its head included; `undefined` while the head is not whole. */
function answerSize(text: string, begin: string): number | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  if (!text.startsWith(begin)) throw new Error(`the server answered ${text.slice(0, text.indexOf('\r\n'))}`)
  const length = /\r\ncontent-length: (\d+)/i.exec(text)
  if (length === null) throw new Error('the server answered without a Content-Length')
  return end + 4 + Number(length[1])
}
