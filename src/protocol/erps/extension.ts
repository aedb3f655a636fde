import { isUtf8 } from 'node:buffer'
import type { Extension, Terms, Work } from './messages.ts'
import { NONCE_BYTES } from './signature.ts'

/*
 * An extension, behind the term of a packet: 4 bytes of magic, 1 of version, 1 of kind, and the fields of the kind in fixed
 * places, numbers big-endian. hello: nonce (16), whether it is a worker (1), and then slots (4), length (1) and bytes of the
 * service's name; behind it terms may stand. welcome: nonce (16). terms: deadline in ms (4),
 * whether it may be done twice (1), length (1) and bytes of a key. drain and cancel: nothing.
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
const TERMS_BYTES = HEAD_BYTES + 6
/** Bytes of a key that a pool chooses by. */
export const LONGEST_KEY = 255

/**
 * An extension as it stands behind a term.
 * @throws {RangeError} for a nonce that is not of 16 bytes, a service's name that is not of 1 to 255 bytes in UTF-8, or
 * slots that are not 1 to 2^32-1, or a key that is not of 1 to 255 bytes. A deadline is rounded up, and what is beyond 2^32-1 ms is that.
 */
export function writeExtension(extension: Extension): Buffer {
  switch (extension.kind) {
    case 'hello': return extension.terms === undefined ? writeHello(extension.nonce, extension.work) : Buffer.concat([writeHello(extension.nonce, extension.work), writeTerms(extension.terms)])
    case 'welcome': return withNonce(begin('welcome', HEAD_BYTES + NONCE_BYTES), extension.nonce)
    case 'terms': return writeTerms(extension)
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
    case KINDS.terms: return readTerms(bytes.subarray(at))
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

function writeTerms({ deadline, times, key }: Terms): Buffer {
  const size = key?.length ?? 0
  if (size > LONGEST_KEY || key?.length === 0) throw new RangeError(`a key of ${size} bytes`)
  const bytes = begin('terms', TERMS_BYTES + size)
  bytes.writeUInt32BE(Math.min(Math.max(0, Math.ceil(deadline)), LARGEST), HEAD_BYTES)
  bytes[TERMS_BYTES - 2] = times === 'repeatable' ? 1 : 0
  bytes[TERMS_BYTES - 1] = size
  if (key !== undefined) bytes.set(key, TERMS_BYTES)
  return bytes
}

function readTerms(bytes: Buffer): Terms | undefined {
  if (bytes.length < TERMS_BYTES || bytes.length !== TERMS_BYTES + (bytes[TERMS_BYTES - 1] as number)) return undefined
  const times = bytes[TERMS_BYTES - 2] as number
  if (times > 1) return undefined
  return { kind: 'terms', deadline: bytes.readUInt32BE(HEAD_BYTES), times: times === 1 ? 'repeatable' : 'once', key: bytes.length === TERMS_BYTES ? undefined : bytes.subarray(TERMS_BYTES) }
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
  if (isWorker === 0) return greeting(nonce, undefined, bytes.subarray(HELLO_BYTES))
  if (isWorker !== 1 || bytes.length <= NAME_AT) return undefined
  const end = NAME_AT + (bytes[NAME_AT - 1] as number)
  const slots = bytes.readUInt32BE(SLOTS_AT)
  const name = bytes.subarray(NAME_AT, end)
  if (slots === 0 || name.length === 0 || bytes.length < end || !isUtf8(name)) return undefined
  return greeting(nonce, { service: name.toString('utf8'), slots }, bytes.subarray(end))
}

/** @param rest what stands behind it: nothing, or terms */
function greeting(nonce: Buffer, work: Work | undefined, rest: Buffer): Extension | undefined {
  if (rest.length === 0) return { kind: 'hello', nonce, work }
  const terms = readExtension(rest, 0)
  return terms?.kind === 'terms' ? { kind: 'hello', nonce, work, terms } : undefined
}
