import { hash } from 'node:crypto'
import type { LargeBody, Message } from '../../../core/message.ts'
import type { Active } from './compressors.ts'
import { whenThere, type Later } from './later.ts'
import { FIRST_CUSTOM, type Compressed, type SharedCompression } from './shared-compression.ts'

/** A message as one socket is to get it. */
export interface Content {
  /** 0 is none. */
  readonly compressor: number
  /** As sent; empty when it lies on disk. */
  readonly body: Buffer
  readonly large: LargeBody | undefined
  /** Bytes as sent. */
  readonly size: number
  readonly decompressed: number
  /** Of the bytes as sent. */
  readonly sha512: Buffer
  /** The same for all sockets that get the same; `undefined` where it is for this one alone. */
  readonly key: string | undefined
  /** To be called once, when it was sent or will not be. */
  letGo(): void
}

const digests = new WeakMap<Message, Buffer>()

/** @param active what it is compressed with, if it is */
export function contentOf(message: Message, active: Active | undefined, shared: SharedCompression): Later<Content> {
  if (active === undefined) return asItIs(message)
  const form = shared.compressed(message, active)
  // Without room on the disk for another, a large one goes as it is.
  if (message.large !== undefined && form instanceof Promise) return form.then((done) => compressed(message, active, done), () => asItIs(message))
  return whenThere(form, (done) => compressed(message, active, done))
}

function asItIs(message: Message): Content {
  const { body, large } = message
  const size = large?.size ?? body.length
  return { compressor: 0, body, large, size, decompressed: size, sha512: digestOf(message), key: '0', letGo() {} }
}

function compressed({ body, large }: Message, { id, level }: Active, { bytes, large: packed, size, sha512 }: Compressed): Content {
  return {
    compressor: id, body: bytes ?? body, large: packed, size, decompressed: large?.size ?? body.length, sha512,
    key: id < FIRST_CUSTOM ? `${id}:${level}` : undefined,
    letGo: () => packed?.letGo(),
  }
}

function digestOf(message: Message): Buffer {
  // A large one always has its own: it was hashed on its way to the disk.
  const stated = message.sha512 ?? digests.get(message)
  if (stated !== undefined) return stated
  const made = hash('sha512', message.body, 'buffer')
  digests.set(message, made)
  return made
}
