import type { Wire } from '../../../../src/transports/lonelyps/socket/wire.ts'

/** A connection without a network: whatever the hub writes is read at once, and how full it is is the sequence's choice. */
export interface FakeWire extends Wire {
  readonly paused: boolean
  /** The codes and reasons that it was closed with. */
  readonly closes: readonly string[]
  /** Frames that came after the end of the stream, or where none may be. */
  readonly wrong: readonly string[]
  /** Whole messages that came since the last call. */
  taken(): Buffer[]
  /** Whether a message has begun that has not ended. */
  readonly inMessage: boolean
  stall(): void
  unstall(): void
  /** The peer has gone. */
  cut(): void
}

const FULL = 2 ** 40

export function createFakeWire(): FakeWire {
  let [paused, stalled, over] = [false, false, false]
  let rest: Buffer<ArrayBufferLike> = Buffer.alloc(0)
  let fragments: Buffer[] | undefined
  let messages: Buffer[] = []
  let waiting: { resolve: () => void; reject: (error: Error) => void }[] = []
  const closes: string[] = []
  const wrong: string[] = []

  /** Unmasked frames, whole or in fragments (RFC 6455, sections 5.2 and 5.4). */
  function read(): void {
    while (rest.length >= 2) {
      const [first, second] = [rest[0] as number, rest[1] as number]
      const header = second < 126 ? 2 : second === 126 ? 4 : 10
      if (rest.length < header) return
      const size = second < 126 ? second : second === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2))
      if (rest.length < header + size) return
      frame(first, rest.subarray(header, header + size))
      rest = rest.subarray(header + size)
    }
  }

  function frame(first: number, payload: Buffer): void {
    const opcode = first & 0x7f
    if ((first & 0x70) !== 0 || opcode !== (fragments === undefined ? 2 : 0)) wrong.push(`a frame that begins with ${first.toString(16)}${fragments === undefined ? '' : ' inside of another'}`)
    fragments ??= []
    fragments.push(payload)
    if ((first & 0x80) === 0) return
    messages.push(Buffer.concat(fragments))
    fragments = undefined
  }

  function end(): void {
    over = true
    for (const { reject } of waiting) reject(new Error('the connection is gone'))
    waiting = []
  }

  return {
    get paused() { return paused },
    get pendingBytes() { return stalled ? FULL : 0 },
    get inMessage() { return fragments !== undefined || rest.length > 0 },
    closes, wrong,
    writeAll(chunks) {
      if (over) return
      rest = Buffer.concat([rest, ...chunks])
      read()
    },
    room() {
      if (over) return Promise.reject(new Error('the connection is gone'))
      return stalled ? new Promise((resolve, reject) => waiting.push({ resolve, reject })) : undefined
    },
    pause() {
      paused = true
    },
    resume() {
      paused = false
    },
    close(code, reason) {
      if (over) return
      closes.push(`${code} "${reason}"`)
      end()
    },
    destroy: end,
    taken() {
      const all = messages
      messages = []
      return all
    },
    stall() {
      stalled = true
    },
    unstall() {
      stalled = false
      for (const { resolve } of waiting) resolve()
      waiting = []
    },
    cut: end,
  }
}
