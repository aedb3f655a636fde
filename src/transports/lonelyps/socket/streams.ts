import { createHash, type Hash } from 'node:crypto'
import type { Spool, SpoolFile } from '../../../http/spool.ts'
import type { MessageHead, NotifyPart } from '../../../protocol/lonelyps/stateful/messages.ts'
import { Fault } from './fault.ts'
import type { Packed } from './unpack.ts'
import { whenThere, type Later } from './later.ts'

/** Messages that come in parts, one after the other (lonelyps, section 4.10). */
export interface Streams {
  /** Bytes that have come of the message that has begun; `undefined` when none has. */
  readonly size: number | undefined
  /**
   * The next part.
   * @returns the message, when this was its last part
   * @throws {Fault} when it is out of place, too long, or has another hash; when there is no room
   */
  add(part: NotifyPart): Later<Packed | undefined>
  /** Lets go of what has come. */
  discard(): void
}

interface Stream {
  readonly identifier: Buffer
  readonly head: MessageHead
  readonly length: number
  readonly digest: Hash
  /** In memory: what has come, and room for more. */
  room: Buffer
  file: SpoolFile | undefined
  size: number
  parts: number
}

export interface StreamsParts {
  readonly spool: Spool
  readonly bounds: { readonly spoolAbove: number; readonly maxSpoolBytes: number }
  /** Books memory. False when there is too little. */
  readonly take: (bytes: number) => boolean
  readonly give: (bytes: number) => void
}

const NOTHING = Buffer.alloc(0)

export function createStreams({ spool, bounds, take, give }: StreamsParts): Streams {
  let stream: Stream | undefined
  let booked = 0
  let discarded = false

  function begin({ identifier, head, part }: NotifyPart): Later<Stream> {
    if (head === undefined || part !== 0) throw new Fault('a part of a message that was not begun')
    if (head.compressor !== 0 && head.compressedLength === 0n) throw new Fault('nothing, compressed')
    if (head.compressedLength > BigInt(bounds.maxSpoolBytes - spool.bytes)) throw new Fault(`no room for ${head.compressedLength} bytes`)
    // Copies, because they are views of a frame that is otherwise done with.
    const own = { ...head, topic: Buffer.from(head.topic), sha512: Buffer.from(head.sha512) }
    const begun: Stream = { identifier: Buffer.from(identifier), head: own, length: Number(head.compressedLength), digest: createHash('sha512'), room: NOTHING, file: undefined, size: 0, parts: 0 }
    stream = begun
    if (begun.length <= bounds.spoolAbove) return begun
    return spool.create().then((file) => {
      begun.file = file
      if (!discarded) return begun
      file.discard()
      throw new Fault('its socket is gone')
    }, (error: Error) => {
      throw new Fault(error.message)
    })
  }

  function into(stream: Stream, { identifier, part, body, head }: NotifyPart): Later<void> {
    if (!stream.identifier.equals(identifier) || (part === 0) !== (head !== undefined)) throw new Fault('parts of two messages at once')
    if (part !== stream.parts) throw new Fault(`part ${part} where ${stream.parts} was next`)
    if (stream.size + body.length > stream.length) throw new Fault('more bytes than announced')
    if (stream.file === undefined) keep(stream, body)
    stream.parts++
    stream.size += body.length
    if (stream.file === undefined) return void stream.digest.update(body)
    const written = stream.file.write(body)
    stream.digest.update(body)
    return written.catch((error: Error) => {
      throw new Fault(error.message)
    })
  }

  /** A copy: a part of one byte, or of none, may have come with headers of a hundred thousand. */
  function keep(stream: Stream, body: Buffer): void {
    const { room, size, length } = stream
    const needed = size + body.length
    if (needed > room.length) {
      const larger = Math.min(length, Math.max(needed, 2 * room.length))
      if (!take(larger - room.length)) throw new Fault('too much is on its way')
      booked += larger - room.length
      stream.room = Buffer.allocUnsafeSlow(larger)
      room.copy(stream.room, 0, 0, size)
    }
    body.copy(stream.room, size)
  }

  function end(done: Stream): Packed | undefined {
    // Its file is gone, too.
    if (discarded) throw new Fault('its socket is gone')
    if (done.size < done.length) return undefined
    stream = undefined
    give(booked)
    booked = 0
    const { head, file, room, digest } = done
    if (!digest.digest().equals(head.sha512)) {
      file?.discard()
      throw new Fault('the message has another SHA-512 than announced')
    }
    return file === undefined ? { head, body: room } : { head, body: NOTHING, large: file.finish() }
  }

  function discard(): void {
    discarded = true
    stream?.file?.discard()
    stream = undefined
    give(booked)
    booked = 0
  }

  return {
    get size() { return stream?.size },
    add(part) {
      return whenThere(stream ?? begin(part), (one) => whenThere(into(one, part), () => end(one)))
    },
    discard,
  }
}
