import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { HeaderForm, ToBroadcaster, ToSubscriber } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { parseToBroadcaster } from '../../src/protocol/lonelyps/stateful/to-broadcaster.ts'
import { parseToSubscriber } from '../../src/protocol/lonelyps/stateful/to-subscriber.ts'

/** One message of the stateful protocol, as it stood on the wire. */
export interface Heard<M> {
  readonly message: M
  readonly form: HeaderForm
  /** Bytes of it, headers included. */
  readonly size: number
}

/** A TCP relay in front of a hub's port that understands what passes. */
export interface Tap {
  readonly ws: string
  /** How many connections there were. */
  readonly connections: number
  readonly fromHub: Heard<ToSubscriber>[]
  readonly fromSubscriber: Heard<ToBroadcaster>[]
  /** What could not be understood. */
  readonly wrong: string[]
  /** From now on, connections go to another port. */
  redirect(port: number): void
  /** Breaks what is open. */
  cut(): void
}

export async function startTap(t: TestContext, to: number): Promise<Tap> {
  const open = new Set<Socket>()
  const tap = { connections: 0, fromHub: [] as Heard<ToSubscriber>[], fromSubscriber: [] as Heard<ToBroadcaster>[], wrong: [] as string[] }
  let target = to

  function heard<M>(all: Heard<M>[], parse: (frame: Buffer) => M | string): (chunk: Buffer) => void {
    return createReader((frame) => {
      const message = parse(frame)
      if (typeof message === 'string') return void tap.wrong.push(message)
      all.push({ message, form: frame.readUInt16BE(0) % 2 === 1 ? 'minimal' : 'expanded', size: frame.length })
    }, tap.wrong)
  }

  const server = createServer((near) => {
    tap.connections++
    const far = connect(target, '127.0.0.1')
    near.on('data', heard(tap.fromSubscriber, parseToBroadcaster))
    far.on('data', heard(tap.fromHub, parseToSubscriber))
    for (const [one, other] of [[near, far], [far, near]] as const) {
      open.add(one)
      one.setNoDelay()
      one.on('error', () => {})
      one.pipe(other)
      one.on('close', () => {
        open.delete(one)
        other.destroy()
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    for (const one of open) one.destroy()
  }
  t.after(() => {
    cut()
    server.close()
  })
  return Object.assign(tap, {
    ws: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    redirect: (port: number) => void (target = port),
    cut,
  })
}

const BINARY = 2
const CLOSE = 8

/** Puts the messages of one direction together. What is no binary message is told to `wrong`, but for control frames. */
function createReader(take: (message: Buffer) => void, wrong: string[]): (chunk: Buffer) => void {
  let chunks: Buffer[] = []
  let [size, needed] = [0, 0]
  let head = true
  let fragments: Buffer[] = []

  return (chunk) => {
    chunks.push(chunk)
    size += chunk.length
    if (size < needed) return
    let bytes = chunks.length === 1 ? chunk : Buffer.concat(chunks)
    if (head) {
      const end = bytes.indexOf('\r\n\r\n')
      if (end !== -1) {
        head = false
        if (/permessage-deflate/i.test(bytes.toString('latin1', 0, end)) && bytes.toString('latin1', 0, 4) === 'HTTP') wrong.push('permessage-deflate')
        bytes = bytes.subarray(end + 4)
      }
    }
    needed = 0
    while (!head && bytes.length >= 2) {
      const { header, length } = lengthOf(bytes)
      needed = header + length
      if (bytes.length < needed) break
      const opcode = bytes.readUInt8(0) % 16
      const payload = unmasked(bytes.subarray(0, needed), header)
      if (opcode === 0 || opcode === BINARY) fragments.push(payload)
      else if (opcode < CLOSE) wrong.push(`a frame of type ${opcode}`)
      if (opcode < CLOSE && bytes.readUInt8(0) >= 128) {
        take(Buffer.concat(fragments))
        fragments = []
      }
      bytes = bytes.subarray(needed)
      needed = 0
    }
    chunks = [bytes]
    size = bytes.length
  }
}

/** A copy of a frame's payload as it was before it was masked. */
function unmasked(frame: Buffer, header: number): Buffer {
  const payload = Buffer.from(frame.subarray(header))
  if (frame.readUInt8(1) < 128) return payload
  const mask = frame.subarray(header - 4, header)
  for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] as number) ^ (mask[i % 4] as number)
  return payload
}

/** @returns less than the truth while the header is not whole; the header alone is longer than what is there then */
function lengthOf(begun: Buffer): { header: number; length: number } {
  const bytes = begun.length < 10 ? Buffer.concat([begun], 10) : begun
  const second = bytes.readUInt8(1)
  const short = second % 128
  const extended = short === 126 ? 2 : short === 127 ? 8 : 0
  const length = extended === 2 ? bytes.readUInt16BE(2) : extended === 8 ? Number(bytes.readBigUInt64BE(2)) : short
  return { header: 2 + extended + (second >= 128 ? 4 : 0), length }
}
