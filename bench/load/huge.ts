import { createHash, randomBytes } from 'node:crypto'
import type { Server, Socket } from 'node:net'
import { parseReceivePrefix, parseReprDigest, RECEIVE_PREFIX_MAX } from '../../src/protocol/lonelyps/requests.ts'
import type { HugeTask, Report } from '../task.ts'
import { letGo } from './connect.ts'
import { checkNotified, createNotifier, openRequester, subscribe } from './lonelyps.ts'
import { createAnswerer, listen, portOf } from './receivers.ts'
import { cpuSeconds } from './time.ts'

const TOPIC = 'bench/huge'
const BLOCK = 1_048_576

/**
 * One message, which is the same random block over and over. Each receiver compares every byte with what was sent, and the
 * digest in the head with the publisher's: that is a stricter check than hashing, and cheaper, so the receivers are not what is
 * measured.
 */
export async function loadHuge(port: number, task: HugeTask, report: Report): Promise<void> {
  const { size, scheme } = task
  const block = randomBytes(BLOCK)
  const hash = createHash('sha512')
  for (let left = size; left > 0; left -= BLOCK) hash.update(left < BLOCK ? block.subarray(0, left) : block)
  const sha512 = hash.digest()

  const cpu = cpuSeconds()
  const times = { began: 0, sent: 0, firstOut: 0 }
  let taken = 0
  let halfTaken: () => void = () => {}
  const sockets = new Set<Socket>()
  const receivers: Server[] = []
  const urls: string[] = []
  for (let index = 0; index < task.subscribers; index++) {
    const server = await listen((socket) => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket)).on('error', () => {})
      const answer = createAnswerer(urls[index] as string, scheme)
      receiveOne(socket, { size, block, sha512 }, (bytes) => {
        if (times.firstOut === 0) times.firstOut = performance.now()
        taken += bytes
        if (taken >= (size * task.subscribers) / 2) halfTaken()
      }, (identifier) => socket.write(answer(identifier, 0)))
    })
    receivers.push(server)
    urls.push(`http://127.0.0.1:${portOf(server)}/receive`)
  }
  await subscribe(port, scheme, urls, [TOPIC])
  const requester = await openRequester(port)
  const seen = (now = performance.now()) => report({
    end: {
      count: size,
      seconds: (now - times.began) / 1000,
      secondsIn: (times.sent - times.began) / 1000,
      secondsOut: (now - times.firstOut) / 1000,
      cpu: cpuSeconds() - cpu,
    },
  })

  try {
    await report({ begin: true })
    times.began = performance.now()
    const answered = new Promise<Buffer>((resolve) => requester.ask(createNotifier(scheme, TOPIC).begin(size, sha512), resolve))
    const half = new Promise<void>((resolve) => (halfTaken = resolve))
    await send(requester.socket, block, task.until === 'half sent' ? Math.floor(size / 2) : size)
    times.sent = performance.now()
    if (task.until === 'half taken') await half
    if (task.until === 'answered') checkNotified(await answered, task.subscribers)
    // The bench may kill the server now, which closes what is open here.
    requester.socket.removeAllListeners('close').on('error', () => {})
    await seen()
  } finally {
    letGo([requester.socket])
    for (const socket of sockets) socket.destroy()
    for (const server of receivers) server.close()
  }
}

/** As fast as the other side takes it; settles when the last byte has left this process. */
async function send(socket: Socket, block: Buffer, size: number): Promise<void> {
  for (let left = size; left > 0; left -= block.length) {
    await new Promise<void>((resolve) => socket.write(left < block.length ? block.subarray(0, left) : block, () => resolve()))
  }
}

/** Reads one webhook whose message is the block over and over. @throws {Error} at the first byte that is another */
function receiveOne(
  socket: Socket,
  expected: { size: number; block: Buffer; sha512: Buffer },
  took: (bytes: number) => void,
  done: (identifier: Buffer) => void,
): void {
  const { size, block, sha512 } = expected
  let begun: Buffer | undefined = Buffer.alloc(0)
  let identifier = Buffer.alloc(0)
  let at = 0
  socket.on('data', (chunk: Buffer) => {
    let bytes = chunk
    if (begun !== undefined) {
      begun = Buffer.concat([begun, chunk])
      const end = begun.indexOf('\r\n\r\n')
      if (end === -1) return
      const prefix = parseReceivePrefix(begun.subarray(end + 4))
      if (prefix === 'more') {
        if (begun.length > end + 4 + RECEIVE_PREFIX_MAX) throw new Error('a webhook was no receive webhook')
        return
      }
      const digest = parseReprDigest(/\r\nrepr-digest: ([^\r]*)/i.exec(begun.toString('latin1', 0, end))?.[1])
      if (prefix.length !== BigInt(size) || digest?.equals(sha512) !== true) throw new Error('a webhook carried another message')
      identifier = Buffer.from(prefix.identifier)
      bytes = begun.subarray(end + 4 + prefix.size)
      begun = undefined
    }
    for (let from = 0; from < bytes.length; ) {
      const inBlock = (at + from) % block.length
      const length = Math.min(block.length - inBlock, bytes.length - from)
      if (block.compare(bytes, from, from + length, inBlock, inBlock + length) !== 0) throw new Error(`a message was damaged near byte ${at + from}`)
      from += length
    }
    at += bytes.length
    took(bytes.length)
    if (at > size) throw new Error('a message was too long')
    if (at === size) done(identifier)
  })
}
