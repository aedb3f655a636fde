import { HEAD, type Header, WRONG } from './headers.ts'
import type { HeaderForm, MessageHead } from './messages.ts'

/** What a message of one type is made of, in the order of the minimal form (section 4.4): all that both forms and both directions need. */
export interface Layout<H extends Header = Header> {
  /** On the wire (section 4.3). */
  readonly number: number
  readonly headers: readonly H[]
  /** Whether the five headers of the head follow: `first` with part 0 only. */
  readonly head: 'never' | 'always' | 'first'
  readonly body: 'none' | 'rest'
}
/** A header of a property that such a message has, and of its type. */
type HeaderOf<M> = { [K in keyof M & string]: Header<K, M[K]> }[keyof M & string]

interface Tagged {
  readonly type: string
}
/** The layouts of one direction. */
export type Layouts<M extends Tagged> = { readonly [T in M['type']]: Layout<HeaderOf<Extract<M, { type: T }>>> }

/** Reads and writes all that is before a body, for one direction. */
export interface Codec<M extends Tagged> {
  /** The message, or what is wrong with the frame. Views, no copies. Never throws. */
  parse(frame: Buffer): M | string
  /** @throws {RangeError} when a value does not fit */
  encode(message: M, form: HeaderForm): Buffer
}

interface Plan extends Layout {
  readonly type: string
  /** Where a name's header stands among `headers` and those of the head. */
  readonly places: ReadonlyMap<string, number>
  readonly longestName: number
}
type Values = Record<string, unknown>

/** The frame, and where the next value is: in minimal form behind the last one, else where `spans` says. */
interface Cursor {
  at: number
  /** From and to of each header's value, by its place in the plan; from 0, where no value can be, when it was missing. */
  readonly spans: Int32Array | undefined
}

const PREFIX_SIZE = 4
const COUNT_SIZE = 2
const MINIMAL = 1
const TRUNCATED = 'the frame is truncated'
const UNKNOWN_TYPE = 'the type is unknown'
const CONTRADICTION = 'without compressor both lengths are the same'

export function createCodec<M extends Tagged>(layouts: Layouts<M>): Codec<M> {
  const byType = new Map<string, Plan>()
  const byNumber: (Plan | undefined)[] = []
  for (const [type, layout] of Object.entries(layouts as Readonly<Record<string, Layout>>)) {
    const made = plan(type, layout)
    byType.set(type, made)
    byNumber[made.number] = made
  }
  return {
    parse(frame) {
      if (frame.length < PREFIX_SIZE) return TRUNCATED
      const found = byNumber[frame.readUInt16BE(2)]
      return found === undefined ? UNKNOWN_TYPE : parseBy(found, frame) as M | string
    },
    encode: (message, form) => encodeBy(byType.get(message.type) as Plan, message as unknown as Values, form),
  }
}

function plan(type: string, layout: Layout): Plan {
  const all = layout.head === 'never' ? layout.headers : [...layout.headers, ...HEAD]
  const places = new Map(all.map(({ name }, index) => [name, index]))
  return { ...layout, type, places, longestName: Math.max(...all.map(({ name }) => name.length)) }
}

function parseBy(known: Plan, frame: Buffer): Values | string {
  const cursor = isMinimal(frame) ? { at: PREFIX_SIZE, spans: undefined } : findHeaders(known, frame)
  if (cursor === undefined) return TRUNCATED
  const message: Values = { type: known.type }
  const wrong = readInto(message, known.headers, 0, frame, cursor)
  if (wrong !== undefined) return wrong
  if (known.head === 'always' || (known.head === 'first' && message['part'] === 0)) {
    const head: Values = {}
    const wrongHead = readInto(head, HEAD, known.headers.length, frame, cursor)
    if (wrongHead !== undefined) return wrongHead
    if (contradicts(head as unknown as MessageHead)) return CONTRADICTION
    message['head'] = head
  } else if (known.head === 'first') message['head'] = undefined
  if (known.body === 'rest') message['body'] = frame.subarray(cursor.at)
  return message
}

function isMinimal(frame: Buffer): boolean {
  return (frame.readUInt8(1) & MINIMAL) !== 0
}

/** Reads the values of these headers, the first of which stands at `place` in the plan. Gives what is wrong. */
function readInto(values: Values, headers: readonly Header[], place: number, frame: Buffer, cursor: Cursor): string | undefined {
  const { spans } = cursor
  for (const { key, name, presence, decode } of headers) {
    let from: number
    let to: number
    if (spans === undefined) {
      from = cursor.at + 2
      if (from > frame.length) return TRUNCATED
      to = from + frame.readUInt16BE(cursor.at)
      if (to > frame.length) return TRUNCATED
      cursor.at = to
    } else {
      from = spans[2 * place] as number
      to = spans[2 * place + 1] as number
      if (from === 0 && presence === 'required') return `${name} is missing`
      place++
    }
    const value = decode(frame, from, to)
    if (value === WRONG) return `${name} is malformed`
    values[key] = value
  }
  return undefined
}

/** Looks once at each header of the expanded form; the last of a name counts. `undefined` when the frame ends before them. */
function findHeaders({ places, longestName }: Plan, frame: Buffer): Cursor | undefined {
  const { length } = frame
  let at = PREFIX_SIZE + COUNT_SIZE
  if (at > length) return undefined
  const spans = new Int32Array(2 * places.size)
  for (let left = frame.readUInt16BE(PREFIX_SIZE); left > 0; left--) {
    if (at + 2 > length) return undefined
    const nameAt = at + 2
    const nameEnd = nameAt + frame.readUInt16BE(at)
    if (nameEnd + 2 > length) return undefined
    const from = nameEnd + 2
    at = from + frame.readUInt16BE(nameEnd)
    if (at > length) return undefined
    // A name that is longer than all others is none of them, and never becomes a string.
    const place = nameEnd - nameAt > longestName ? undefined : places.get(frame.toString('latin1', nameAt, nameEnd).toLowerCase())
    if (place === undefined) continue
    spans[2 * place] = from
    spans[2 * place + 1] = at
  }
  return { at, spans }
}

function encodeBy(known: Plan, message: Values, form: HeaderForm): Buffer {
  const head = headToWrite(known, message)
  let size = PREFIX_SIZE + (form === 'minimal' ? 0 : COUNT_SIZE) + sizeOf(known.headers, message, form)
  if (head !== undefined) size += sizeOf(HEAD, head, form)
  const frame = Buffer.allocUnsafe(size)
  frame.writeUInt16BE(form === 'minimal' ? MINIMAL : 0, 0)
  let at = frame.writeUInt16BE(known.number, 2)
  if (form === 'expanded') at = frame.writeUInt16BE(known.headers.length + (head === undefined ? 0 : HEAD.length), at)
  at = write(known.headers, message, form, frame, at)
  if (head !== undefined) write(HEAD, head, form, frame, at)
  return frame
}

function headToWrite(known: Plan, message: Values): Values | undefined {
  if (known.head === 'never') return undefined
  const head = message['head'] as (MessageHead & Values) | undefined
  const isDue = known.head === 'always' || message['part'] === 0
  if (isDue !== (head !== undefined)) throw new RangeError('the first part has a head, and no other')
  if (head !== undefined && contradicts(head)) throw new RangeError(CONTRADICTION)
  return head
}

function contradicts({ compressor, compressedLength, decompressedLength }: MessageHead): boolean {
  return compressor === 0 && compressedLength !== decompressedLength
}

function sizeOf(headers: readonly Header[], values: Values, form: HeaderForm): number {
  let size = 0
  for (const { key, label, size: valueSize } of headers) size += (form === 'minimal' ? 2 : 2 + label.length) + valueSize(values[key])
  return size
}

function write(headers: readonly Header[], values: Values, form: HeaderForm, into: Buffer, start: number): number {
  let at = start
  for (const { key, label, write: writeValue } of headers) {
    if (form === 'expanded') {
      into.set(label, at)
      at += label.length
    }
    const end = writeValue(values[key], into, at + 2)
    into.writeUInt16BE(end - at - 2, at)
    at = end
  }
  return at
}
