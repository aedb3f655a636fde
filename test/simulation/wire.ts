import { parseCursor, type Cursor } from '../../src/core/cursor.ts'
import { placeEnvelope } from '../../src/core/envelope.ts'
import type { Encoder } from '../../src/core/fan-out.ts'
import { topicToUrl, type Topic } from '../../src/core/topic.ts'
import { frame, TEXT } from '../../src/protocol/websocket/frame.ts'
import type { Parts } from './world.ts'

/** What a client makes of the bytes that it gets. A topic is in its URL form, which every topic has. */
export type Heard =
  | { readonly kind: 'place'; readonly at: Cursor }
  | { readonly kind: 'message'; readonly at: Cursor; readonly topic: string; readonly body: Buffer }
  | { readonly kind: 'gap'; readonly from: Cursor; readonly to: Cursor }

/** One wire form, both ends: what the hub's side writes with, and what the client reads with. */
export interface Wire {
  readonly encoder: Encoder
  /** The first bytes of a stream; the place it begins at where it is a new one. */
  opening(at: Cursor | undefined): Buffer
  /** Takes bytes in any pieces; gives what was completed by them. @throws {Error} on bytes that the format does not allow */
  reader(): (bytes: Buffer) => Heard[]
}

export function wires(parts: Parts): { readonly webSocket: Wire; readonly eventStream: Wire } {
  return {
    webSocket: {
      encoder: parts.webSocketJson,
      opening: (at) => (at === undefined ? Buffer.alloc(0) : frame(TEXT, placeEnvelope(at))),
      reader: () => inPieces(readFrame),
    },
    eventStream: {
      encoder: parts.eventStream,
      opening: (at) => parts.opening(2_000, at),
      reader: () => inPieces(readEvent),
    },
  }
}

/** `end` 0: not whole yet. */
type Read = { readonly end: number; readonly heard?: Heard | undefined }

function inPieces(read: (bytes: Buffer) => Read): (bytes: Buffer) => Heard[] {
  let rest: Buffer = Buffer.alloc(0)
  return (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    const all: Heard[] = []
    for (;;) {
      const { end, heard } = read(rest)
      if (heard !== undefined) all.push(heard)
      if (end === 0) return all
      rest = rest.subarray(end)
    }
  }
}

/** RFC 6455, section 5.2: final, unmasked text frames are all that the hub may send here. */
function readFrame(bytes: Buffer): Read {
  if (bytes.length < 2) return { end: 0 }
  if (bytes[0] !== (0x80 | TEXT)) throw new Error(`a frame begins with the byte ${bytes[0]}`)
  const short = bytes[1] as number
  const start = short < 126 ? 2 : short === 126 ? 4 : 10
  if (bytes.length < start) return { end: 0 }
  const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
  const end = start + length
  return bytes.length < end ? { end: 0 } : { end, heard: fromJson(bytes.toString('utf8', start, end)) }
}

interface Json {
  readonly cursor: string
  readonly gap?: { readonly from: string; readonly to: string }
  readonly topic?: string
  readonly topicUrl?: string
  readonly data?: string
  readonly base64?: string
}

function fromJson(text: string): Heard {
  const { cursor, gap, topic, topicUrl, data, base64 } = JSON.parse(text) as Json
  if (gap !== undefined) return { kind: 'gap', from: place(gap.from), to: place(gap.to) }
  const name = topic === undefined ? topicUrl : topicToUrl(topic as Topic)
  if (name === undefined) return { kind: 'place', at: place(cursor) }
  return { kind: 'message', at: place(cursor), topic: name, body: base64 === undefined ? Buffer.from(data as string) : Buffer.from(base64, 'base64') }
}

/** The event stream format of the HTML standard, section 9.2.6, as far as the hub uses it. */
function readEvent(bytes: Buffer): Read {
  const blank = bytes.indexOf('\n\n')
  if (blank === -1) return { end: 0 }
  const fields = new Map<string, string>()
  for (const line of bytes.toString('utf8', 0, blank).split('\n')) {
    const colon = line.indexOf(': ')
    if (colon < 1) continue
    const name = line.slice(0, colon)
    const before = name === 'data' ? fields.get(name) : undefined
    fields.set(name, before === undefined ? line.slice(colon + 2) : `${before}\n${line.slice(colon + 2)}`)
  }
  return { end: blank + 2, heard: fromFields(fields) }
}

function fromFields(fields: ReadonlyMap<string, string>): Heard | undefined {
  const id = fields.get('id')
  const data = fields.get('data')
  if (id === undefined) return undefined
  if (data === undefined) return { kind: 'place', at: place(id) }
  const event = fields.get('event')
  if (event === 'gap') return fromJson(data)
  return { kind: 'message', at: place(id), topic: fields.get('topic') ?? '', body: Buffer.from(data, event === 'binary' ? 'base64' : 'utf8') }
}

function place(text: string): Cursor {
  const cursor = parseCursor(text)
  if (cursor === undefined) throw new Error(`this is no cursor: ${text}`)
  return cursor
}
