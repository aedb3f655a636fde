import { isUtf8 } from 'node:buffer'
import type { FrameHandler, ReaderBounds } from './frame-handler.ts'
import { BINARY, CLOSE, CLOSE_STATUS, headerSize, PING, TEXT, writeHeader } from './frame.ts'
import { FIN, headerFault, HEADER_START, isControl, KEY_BYTES, keyPlace, LONGEST_CLIENT_HEADER, maySay, OPCODE, payloadLength } from './header.ts'
import { turnKey, unmask } from './unmask.ts'

/** Given for a place in a chunk: nothing more is read. */
export const OVER = -1
/** What this object and those in it cost, beside the bytes. */
const OBJECT_BYTES = 512
/** In front of what is gathered: room for the longest header that a server sends. */
const HEADER_ROOM = 10
/** A message this short gets all its memory at once. */
const SHORT = 512

/**
 * A message that has not come whole: all its fragments, with the control frames between them. A control frame alone is one,
 * too. Its memory grows with what comes, never with what is announced, which costs an attacker nothing.
 */
export class UnfinishedMessage {
  /** For the owner, to tell one from another. */
  number = 0
  #bytes = 0
  #announced = 0
  #ended = false
  /** TEXT or BINARY since the header of the first fragment has come; 0 before. */
  #opcode = 0
  /** The header that comes, and how much of it has come. */
  readonly #head = Buffer.alloc(LONGEST_CLIENT_HEADER)
  #have = 0
  /** The frame whose header has come. */
  #inPayload = false
  #last = false
  #control: Buffer | undefined
  #controlOpcode = 0
  #left = 0
  #key = 0
  #reads = 0
  /** The message: the first so many bytes behind the room for a header. */
  #gathered: Buffer | undefined
  #length = 0
  #fragments = 0
  /** Not 0 when there is more than ASCII in it. */
  #high = 0

  /** Bytes of it that have come, headers included, and the control frames in between. */
  get bytes(): number { return this.#bytes }
  /** Bytes of payload that its frames have announced so far. */
  get announced(): number { return this.#announced }
  /** Bytes of memory that it takes, about. */
  get kept(): number { return OBJECT_BYTES + (this.#gathered?.length ?? 0) + (this.#control?.length ?? 0) }
  /** Whether it has come whole and the handler has been told. */
  get ended(): boolean { return this.#ended }

  /** Reads on from a place in a chunk, to the end of this message or of the chunk. Gives that place, or `OVER`. */
  take(chunk: Buffer, from: number, bounds: ReaderBounds, handler: FrameHandler): number {
    if (this.#reads >= bounds.maxPieces) return tooManyPieces(handler)
    let at = from
    while (!this.#ended) {
      if (!this.#inPayload) {
        at = this.#takeHeader(chunk, at, bounds, handler)
        if (at === OVER) return OVER
        if (!this.#inPayload) break
      }
      at = this.#takePayload(chunk, at, bounds)
      if (this.#left > 0) break
      this.#inPayload = false
      if (!(this.#control === undefined ? this.#dataEnded(bounds, handler) : this.#controlEnded(this.#control, handler))) return OVER
    }
    this.#bytes += at - from
    return at
  }

  #takeHeader(chunk: Buffer, from: number, bounds: ReaderBounds, handler: FrameHandler): number {
    const head = this.#head
    for (let at = from; at < chunk.length;) {
      head[this.#have++] = chunk[at++] as number
      if (this.#have < HEADER_START) continue
      const [first, second] = [head[0] as number, head[1] as number]
      // As early as it can be known, because the rest may never come.
      if (this.#have === HEADER_START) {
        const fault = headerFault(first, second, this.#opcode)
        if (fault !== undefined) {
          handler.broken(1002, fault)
          return OVER
        }
      }
      const keyAt = keyPlace(second)
      if (this.#have === keyAt && !isControl(first) && !this.#fits(payloadLength(head, 0), bounds)) {
        handler.broken(1009, 'the payload of a message is too long')
        return OVER
      }
      if (this.#have < keyAt + KEY_BYTES) continue
      this.#begin(first, payloadLength(head, 0), head.readInt32LE(keyAt))
      return at
    }
    return chunk.length
  }

  #fits(length: number, { messages, maxFrameBytes }: ReaderBounds): boolean {
    return messages === 'discarded' ? Number.isSafeInteger(length) : this.#announced + length <= maxFrameBytes
  }

  #begin(first: number, length: number, key: number): void {
    const opcode = first & OPCODE
    this.#have = 0
    this.#inPayload = true
    this.#left = length
    this.#key = key
    this.#reads = 0
    if (isControl(first)) {
      this.#control = Buffer.allocUnsafeSlow(length)
      this.#controlOpcode = opcode
      return
    }
    this.#last = (first & FIN) !== 0
    this.#announced += length
    if (opcode !== 0) this.#opcode = opcode
  }

  #takePayload(chunk: Buffer, at: number, bounds: ReaderBounds): number {
    const step = Math.min(this.#left, chunk.length - at)
    const control = this.#control
    const isTaken = control !== undefined || bounds.messages !== 'discarded'
    if (control !== undefined) unmask(chunk, at, control, control.length - this.#left, step, this.#key)
    else if (isTaken) this.#gather(chunk, at, step)
    this.#key = turnKey(this.#key, step)
    this.#left -= step
    if (isTaken && step > 0 && this.#left > 0) this.#reads++
    return at + step
  }

  #gather(chunk: Buffer, at: number, step: number): void {
    const length = this.#length + step
    let gathered = this.#gathered
    if (gathered === undefined || gathered.length < HEADER_ROOM + length) {
      // Not from the pool: a slow sender would keep all of its slab.
      const room = gathered === undefined ? length : 2 * length
      gathered = Buffer.allocUnsafeSlow(HEADER_ROOM + Math.min(this.#announced, Math.max(SHORT, room)))
      this.#gathered?.copy(gathered, 0, 0, HEADER_ROOM + this.#length)
      this.#gathered = gathered
    }
    this.#high |= unmask(chunk, at, gathered, HEADER_ROOM + this.#length, step, this.#key)
    this.#length = length
  }

  /** Whether to go on. */
  #dataEnded(bounds: ReaderBounds, handler: FrameHandler): boolean {
    this.#ended = this.#last
    if (bounds.messages === 'discarded') return true
    if (++this.#fragments > bounds.maxPieces) {
      tooManyPieces(handler)
      return false
    }
    if (!this.#last) return true
    const gathered = this.#gathered as Buffer
    const payload = gathered.subarray(HEADER_ROOM, HEADER_ROOM + this.#length)
    if (this.#opcode === TEXT && this.#high !== 0 && !isUtf8(payload)) {
      notText(handler)
      return false
    }
    writeHeader(gathered, HEADER_ROOM - headerSize(payload.length), this.#opcode, payload.length)
    handler.message(payload, this.#opcode === BINARY)
    return true
  }

  /** Whether to go on. */
  #controlEnded(payload: Buffer, handler: FrameHandler): boolean {
    this.#control = undefined
    this.#ended = this.#opcode === 0
    if (this.#controlOpcode === PING) handler.ping(payload)
    if (this.#controlOpcode !== CLOSE) return true
    readClose(payload, handler)
    return false
  }
}

/** RFC 6455, section 5.5.1. */
function readClose(payload: Buffer, handler: FrameHandler): void {
  if (payload.length === 0) {
    handler.closing(CLOSE_STATUS.none, payload)
    return
  }
  const code = payload.readUInt16BE(0)
  const reason = payload.subarray(2)
  if (!maySay(code)) handler.broken(1002, `a Close with the code ${code}`)
  else if (!isUtf8(reason)) handler.broken(1007, 'the reason of a Close is not UTF-8')
  else handler.closing(code, reason)
}

function tooManyPieces(handler: FrameHandler): number {
  handler.broken(1008, 'a message in too many pieces')
  return OVER
}

/** Says that what is called text is none. */
export function notText(handler: FrameHandler): number {
  handler.broken(1007, 'text that is not UTF-8')
  return OVER
}
