import { isUtf8 } from 'node:buffer'
import type { Extension, Work } from './messages.ts'
import { NONCE_BYTES } from './signature.ts'

/*
 * An extension, behind the term of a packet: 4 bytes of magic, 1 of version, 1 of kind, and the fields of the kind in fixed
 * places, numbers big-endian. hello: nonce (16), whether it is a worker (1), and then slots (4), length (1) and bytes of the
 * service's name. welcome: nonce (16). terms: deadline in ms (4). drain and cancel: nothing.
 */

const MAGIC = 0x57_79_53_74
const FORMAT = 1
const KINDS = { hello: 1, welcome: 2, terms: 3, drain: 4, cancel: 5 } as const
const HEAD_BYTES = 6
const HELLO_BYTES = HEAD_BYTES + NONCE_BYTES + 1
const SLOTS_AT = HELLO_BYTES
const NAME_AT = SLOTS_AT + 5
const LONGEST_NAME = 255
const LARGEST = 0xffff_ffff

/**
 * An extension as it stands behind a term.
 * @throws {RangeError} for a nonce that is not of 16 bytes, a service's name that is not of 1 to 255 bytes in UTF-8, or
 * slots that are not 1 to 2^32-1. A deadline is rounded up, and what is beyond 2^32-1 ms is that.
 */
export function writeExtension(extension: Extension): Buffer {
  switch (extension.kind) {
    case 'hello': return writeHello(extension.nonce, extension.work)
    case 'welcome': return withNonce(begin('welcome', HEAD_BYTES + NONCE_BYTES), extension.nonce)
    case 'terms': {
      const bytes = begin('terms', HEAD_BYTES + 4)
      bytes.writeUInt32BE(Math.min(Math.max(0, Math.ceil(extension.deadline)), LARGEST), HEAD_BYTES)
      return bytes
    }
    case 'drain': return begin('drain', HEAD_BYTES)
    case 'cancel': return begin('cancel', HEAD_BYTES)
    default: return extension satisfies never
  }
}

/**
 * What stands at a place and is an extension, to the last byte.
 * @returns `undefined` for anything else: in Erps whatever stands behind a term means nothing
 */
export function readExtension(bytes: Buffer, at: number): Extension | undefined {
  const size = bytes.length - at
  if (size < HEAD_BYTES || bytes.readUInt32BE(at) !== MAGIC || bytes[at + 4] !== FORMAT) return undefined
  switch (bytes[at + 5]) {
    case KINDS.hello: return readHello(bytes.subarray(at))
    case KINDS.welcome: return size === HEAD_BYTES + NONCE_BYTES ? { kind: 'welcome', nonce: bytes.subarray(at + HEAD_BYTES) } : undefined
    case KINDS.terms: return size === HEAD_BYTES + 4 ? { kind: 'terms', deadline: bytes.readUInt32BE(at + HEAD_BYTES) } : undefined
    case KINDS.drain: return size === HEAD_BYTES ? { kind: 'drain' } : undefined
    case KINDS.cancel: return size === HEAD_BYTES ? { kind: 'cancel' } : undefined
    default: return undefined
  }
}

function begin(kind: keyof typeof KINDS, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size)
  bytes.writeUInt32BE(MAGIC)
  bytes[4] = FORMAT
  bytes[5] = KINDS[kind]
  return bytes
}

function withNonce(bytes: Buffer, nonce: Buffer): Buffer {
  if (nonce.length !== NONCE_BYTES) throw new RangeError(`a nonce of ${nonce.length} bytes`)
  bytes.set(nonce, HEAD_BYTES)
  return bytes
}

function writeHello(nonce: Buffer, work: Work | undefined): Buffer {
  const name = Buffer.from(work?.service ?? '', 'utf8')
  const bytes = withNonce(begin('hello', work === undefined ? HELLO_BYTES : NAME_AT + name.length), nonce)
  bytes[HELLO_BYTES - 1] = work === undefined ? 0 : 1
  if (work === undefined) return bytes
  if (name.length === 0 || name.length > LONGEST_NAME) throw new RangeError(`a service's name of ${name.length} bytes`)
  if (!Number.isInteger(work.slots) || work.slots < 1 || work.slots > LARGEST) throw new RangeError(`${work.slots} slots`)
  bytes.writeUInt32BE(work.slots, SLOTS_AT)
  bytes[NAME_AT - 1] = name.length
  bytes.set(name, NAME_AT)
  return bytes
}

function readHello(bytes: Buffer): Extension | undefined {
  if (bytes.length < HELLO_BYTES) return undefined
  const nonce = bytes.subarray(HEAD_BYTES, HEAD_BYTES + NONCE_BYTES)
  const isWorker = bytes[HELLO_BYTES - 1]
  if (isWorker === 0) return bytes.length === HELLO_BYTES ? { kind: 'hello', nonce, work: undefined } : undefined
  if (isWorker !== 1 || bytes.length <= NAME_AT || bytes.length !== NAME_AT + (bytes[NAME_AT - 1] as number)) return undefined
  const slots = bytes.readUInt32BE(SLOTS_AT)
  const name = bytes.subarray(NAME_AT)
  if (slots === 0 || !isUtf8(name)) return undefined
  return { kind: 'hello', nonce, work: { service: name.toString('utf8'), slots } }
}
