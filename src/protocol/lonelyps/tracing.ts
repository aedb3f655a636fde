import { byteLength, type Field, pack, raw, s16, tryRead, u16, u64, u8 } from './bytes.ts'

/** One thing that happened to a notify (section 2.9). */
export interface TraceEntry {
  readonly name: string
  /** A JSON object as text. */
  readonly extra: string
  /** When it happened, in Unix seconds. */
  readonly at: number
}

/** The "simple" tracing of RESPONSE_NOTIFY (section 2.9). */
export interface Tracing {
  readonly truncated: boolean
  readonly entries: readonly TraceEntry[]
  /** When the request came, in Unix nanoseconds. */
  readonly received: bigint
  /** When the answer went, in Unix nanoseconds. */
  readonly sent: bigint
}

const HEAD_SIZE = 1 + 2
/** From this many bytes on the two times behind the entries might not fit. */
const TOO_MANY = 65_519

/** The tracing as bytes, at most 65,535: what does not fit is left out from there on, and the flag says so. */
export function encodeTracing({ truncated = false, entries, received, sent }: Omit<Tracing, 'truncated'> & { readonly truncated?: boolean }): Buffer {
  const fields: Field[] = []
  let size = HEAD_SIZE
  let count = 0
  for (const { name, extra, at } of entries) {
    size += 2 + byteLength(name) + 2 + byteLength(extra) + 8
    if (size >= TOO_MANY) break
    fields.push(s16(name), s16(extra), raw(f64(at)))
    count++
  }
  const flag = truncated || count < entries.length ? 1 : 0
  return pack(u8(flag), u16(count), ...fields, u64(received), u64(sent))
}

/** The tracing in these bytes; `undefined` when they are anything else, the empty tracing included. */
export function parseTracing(bytes: Buffer): Tracing | undefined {
  return tryRead(bytes, (reader) => {
    const flag = reader.u8()
    if (flag > 1) return undefined
    const count = reader.u16()
    const entries: TraceEntry[] = []
    for (let index = 0; index < count; index++) entries.push({ name: reader.text16(), extra: reader.text16(), at: reader.f64() })
    return { truncated: flag === 1, entries, received: reader.u64(), sent: reader.u64() }
  })
}

function f64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeDoubleBE(value)
  return bytes
}
