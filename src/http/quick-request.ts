import { isPlainPath } from './path.ts'

/**
 * The headers that a simple request may have. None of them says where the request ends but `content-length`, and none asks
 * for anything of the connection but that it stays. Whatever proves something, or says which page speaks, is not among them.
 * What a proxy says of its client is: it is read by `peerOf`, as in the other lane.
 */
const NAMES = [
  'host', 'content-length', 'content-type', 'user-agent', 'accept', 'accept-encoding', 'accept-language', 'connection', 'sec-fetch-mode',
  'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-real-ip',
] as const

export type QuickHeaders = Readonly<Partial<Record<(typeof NAMES)[number], string>>>

/** A request that every reader of HTTP/1.1 reads in one and the same way. */
export interface QuickRequest {
  /** A plain path. */
  readonly target: string
  readonly headers: QuickHeaders
  /** Where the body begins in the chunk, and where it ends. It is not empty. */
  readonly bodyAt: number
  readonly end: number
}

const [CR, LF, SP, COLON] = [0x0d, 0x0a, 0x20, 0x3a]
const BEGINNING = Buffer.from('POST /')
const VERSION = Buffer.from(' HTTP/1.1\r\n')
const NAME_BYTES = NAMES.map((name) => Buffer.from(name))
const [HOST, LENGTH, CONNECTION] = [NAMES.indexOf('host'), NAMES.indexOf('content-length'), NAMES.indexOf('connection')]
const NEEDED = (1 << HOST) | (1 << LENGTH)
/** What a plain path is made of. */
const PATH_BYTES = tableOf(/[\w.~/-]/)
const NAME_LETTERS = tableOf(/[A-Za-z-]/)
const VISIBLE = tableOf(/[!-~]/)

/**
 * Reads one simple request: `POST`, a plain path and `HTTP/1.1` with single blanks between them; headers of the short list
 * above, each at most once, each as `Name: value` with single blanks between what is visible ASCII, among them `Host` and
 * a `Content-Length` above 0; and the whole body.
 * @param from where it begins
 * @param maxHead bytes of request line and headers
 * @returns `cut` when the chunk ends and all was simple so far; `other` for everything else, be it right or wrong
 */
export function readQuickRequest(chunk: Buffer, from: number, maxHead: number): QuickRequest | 'cut' | 'other' {
  const size = chunk.length
  // Nothing may count as cut that is too long already.
  const ended = size - from < maxHead ? 'cut' : 'other'
  let at = skip(chunk, from, BEGINNING)
  if (at < 0) return at === CUT ? ended : 'other'
  const pathAt = from + BEGINNING.length - 1
  while (at < size && PATH_BYTES[chunk[at] as number] === 1) at++
  const pathEnd = at
  at = skip(chunk, at, VERSION)
  if (at < 0) return at === CUT ? ended : 'other'

  let seen = 0
  let length = 0
  const values: string[] = []
  for (;;) {
    const nameAt = at
    while (at < size && NAME_LETTERS[chunk[at] as number] === 1) at++
    if (at === size) return ended
    if (at === nameAt) break
    const name = nameOf(chunk, nameAt, at)
    if (chunk[at] !== COLON || name === -1 || (seen & (1 << name)) !== 0) return 'other'
    seen |= 1 << name
    if (++at === size) return ended
    if (chunk[at] !== SP) return 'other'
    const valueAt = ++at
    for (; at < size && chunk[at] !== CR; at++) {
      if (VISIBLE[chunk[at] as number] !== 1 && (chunk[at] !== SP || chunk[at - 1] === SP)) return 'other'
    }
    // What has a meaning is not judged by its first half.
    if (at === size) return name === LENGTH || name === CONNECTION ? 'other' : ended
    // Also where there is no value at all.
    if (chunk[at - 1] === SP) return 'other'
    const value = chunk.toString('latin1', valueAt, at)
    values[name] = value
    if (name === LENGTH) length = lengthOf(value)
    else if (name === CONNECTION && value.toLowerCase() !== 'keep-alive') return 'other'
    if (++at === size) return ended
    if (chunk[at++] !== LF) return 'other'
  }
  if (chunk[at] !== CR || (seen & NEEDED) !== NEEDED || length === 0) return 'other'
  if (++at === size) return ended
  if (chunk[at++] !== LF || at - from > maxHead) return 'other'
  const target = chunk.toString('latin1', pathAt, pathEnd)
  if (!isPlainPath(target)) return 'other'
  if (size - at < length) return 'cut'
  return { target, headers: headersOf(values), bodyAt: at, end: at + length }
}

const [CUT, OTHER] = [-1, -2]

/** Gives where it goes on behind these bytes, or why it does not. */
function skip(chunk: Buffer, at: number, bytes: Buffer): number {
  for (let i = 0; i < bytes.length; i++, at++) {
    if (at === chunk.length) return CUT
    if (chunk[at] !== bytes[i]) return OTHER
  }
  return at
}

/** Which of the names it is, whatever its case; -1 when it is none. */
function nameOf(chunk: Buffer, from: number, to: number): number {
  for (let name = 0; name < NAME_BYTES.length; name++) {
    const bytes = NAME_BYTES[name] as Buffer
    if (bytes.length !== to - from) continue
    let i = 0
    // Only letters and hyphens come here: the bit that makes letters small leaves a hyphen as it is.
    while (i < bytes.length && ((chunk[from + i] as number) | 0x20) === bytes[i]) i++
    if (i === bytes.length) return name
  }
  return -1
}

/** 0 when it is no length, or one that some might read otherwise. */
function lengthOf(value: string): number {
  return /^[1-9]\d{0,14}$/.test(value) ? Number(value) : 0
}

function headersOf(values: readonly (string | undefined)[]): QuickHeaders {
  const headers: Record<string, string> = {}
  for (let i = 0; i < NAMES.length; i++) if (values[i] !== undefined) headers[NAMES[i] as string] = values[i] as string
  return headers
}

function tableOf(bytes: RegExp): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (bytes.test(String.fromCharCode(byte)) ? 1 : 0))
}
