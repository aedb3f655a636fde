/**
 * Watches the bytes of one HTTP/1.1 connection before the parser gets them. Node's parser is lenient about the blanks of
 * a request line, where two readers of one byte stream could come to disagree; and it refuses raw bytes above 0x7F in
 * the target, which curl sends for `/café`. The guard refuses the first and percent-encodes the second. To know where
 * a request line begins it follows the framing of the messages; what the framing means is still the parser's to judge.
 */
export interface RequestGuard {
  /** Some bytes were let by unseen, because they may belong to another protocol after an upgrade. */
  readonly unsure: boolean
  /** Requests that have begun, up to the end of their request lines. */
  readonly requests: number
  /** All that was fed are whole requests: the next byte begins another one. */
  readonly between: boolean
  /** @returns the bytes for the parser, or the HTTP status with which the connection is to end */
  feed(chunk: Chunk): Chunk | number
}

type Chunk = Buffer<ArrayBuffer>

const STATE = { line: 0, head: 1, sized: 2, chunkSize: 3, chunkData: 4, chunkEnd: 5, trailer: 6 } as const
type State = (typeof STATE)[keyof typeof STATE]

const CR = 0x0d
const LF = 0x0a
const LINE_END = Buffer.from('\r\n')
/** A token, two single blanks with something between them, a version, and a carriage return before the line feed. */
const REQUEST_LINE = /^([!#$%&'*+.^_`|~\w-]+) [^ ]+ HTTP\/\d\.\d\r$/
const HEAD_END = Buffer.from('\r\n\r\n')

/** @param maxHead bytes of request line and headers, and of one chunk's own line or the trailers' */
export function createRequestGuard(maxHead: number, methods: ReadonlySet<string>): RequestGuard {
  let state: State = STATE.line
  let line = ''
  let head: Buffer[] = []
  let headSize = 0
  let left = 0
  /** The last request of this chunk asks for an upgrade, and whether it gets one is not known yet. */
  let asked = false
  let unsure = false
  let requests = 0
  /** Where the body ends cannot be read. The parser cannot read it either, and has the better words for it. */
  let broken = false

  /** Reads on in the request line from `at`. Gives where it ends or the chunk does, or a status. */
  function readLine(chunk: Buffer, at: number): { at: number; raw: boolean } | number {
    while (line === '' && (chunk[at] === CR || chunk[at] === LF)) at++
    const end = chunk.indexOf(LF, at)
    const piece = chunk.toString('latin1', at, end === -1 ? chunk.length : end)
    const raw = /[\x80-\xff]/.test(piece)
    line += piece
    if (line.length > maxHead) return 431
    if (end === -1) return { at: chunk.length, raw }
    const status = judge(line)
    if (status !== undefined) return status
    requests++
    state = STATE.head
    // The line's own end may be the first half of the blank line that ends the head, so it is looked at again: in this
    // chunk, or, where a read ends here, as a carry.
    head = end >= 1 && end + 1 < chunk.length ? [] : [LINE_END]
    // Without its carriage return: the line's end is counted with the fields.
    headSize = line.length - 1
    line = ''
    return { at: end + 1, raw }
  }

  function judge(text: string): number | undefined {
    const method = REQUEST_LINE.exec(text)?.[1]
    if (method === undefined) return 400
    return methods.has(method) ? undefined : 405
  }

  /** Gives where the head ends or the chunk does; `undefined` when the head is too long. */
  function readHead(chunk: Buffer, at: number): number | undefined {
    const bytes = head.length === 0 ? chunk : Buffer.concat([...head, chunk.subarray(at)])
    const start = head.length === 0 ? at - LINE_END.length : 0
    const end = bytes.indexOf(HEAD_END, start)
    // Counted here, whatever the parser counts: it leaves out what stands between names and values.
    if (headSize + (end === -1 ? bytes.length : end + HEAD_END.length) - start > maxHead) return undefined
    if (end === -1) {
      head = [bytes.subarray(start)]
      return chunk.length
    }
    frame(bytes.toString('latin1', start, end + 2))
    head = []
    return end + HEAD_END.length + (chunk.length - bytes.length)
  }

  function frame(fields: string): void {
    const length = /\r\ncontent-length[ \t]*:[ \t]*(\d+(?=[ \t]*\r))?/i.exec(fields)
    const chunked = /\r\ntransfer-encoding:[^\r]*chunked/i.test(fields)
    left = Number(length?.[1] ?? 0)
    broken = length !== null && length[1] === undefined
    state = chunked ? STATE.chunkSize : left > 0 ? STATE.sized : STATE.line
    asked = state === STATE.line && /\r\nupgrade:/i.test(fields)
  }

  /**
   * Chunk sizes, the ends of chunks and trailers are lines too. Gives where the line ends or the chunk does; `undefined`
   * when it is too long, or ends otherwise than it must: the parser takes a line feed alone, and others do not.
   */
  function readChunkLine(chunk: Buffer, at: number): number | undefined {
    const end = chunk.indexOf(LF, at)
    line += chunk.toString('latin1', at, end === -1 ? chunk.length : end)
    if (line.length > maxHead) return undefined
    if (end === -1) return chunk.length
    const text = line.trim()
    const wellEnded = line.endsWith('\r')
    line = ''
    if (!wellEnded) return undefined
    if (state === STATE.chunkEnd) {
      state = STATE.chunkSize
      broken = text !== ''
    } else if (state === STATE.trailer) {
      if (text === '') state = STATE.line
    } else {
      left = Number.parseInt(text, 16)
      state = left > 0 ? STATE.chunkData : STATE.trailer
      broken = Number.isNaN(left)
    }
    return end + 1
  }

  return {
    get unsure() { return unsure },
    get requests() { return requests },
    get between() { return state === STATE.line && line === '' && !unsure && !broken },
    feed(chunk) {
      if (broken) return 400
      const encoded: [from: number, to: number][] = []
      // After an upgrade nothing comes here any more: with this chunk it is known that there was none.
      asked = false
      let at = 0
      while (at < chunk.length && !broken) {
        if (state === STATE.line) {
          unsure ||= asked
          if (unsure) return replaceRaw(chunk, encoded)
          const read = readLine(chunk, at)
          if (typeof read === 'number') return read
          if (read.raw) encoded.push([at, read.at])
          at = read.at
        } else if (state === STATE.head) {
          const next = readHead(chunk, at)
          if (next === undefined) return 431
          at = next
        } else if (state === STATE.sized || state === STATE.chunkData) {
          const step = Math.min(left, chunk.length - at)
          left -= step
          at += step
          if (left === 0) state = state === STATE.sized ? STATE.line : STATE.chunkEnd
        } else {
          const next = readChunkLine(chunk, at)
          if (next === undefined) return 400
          at = next
        }
      }
      // What is behind the break was not looked at, and is not passed on.
      return replaceRaw(broken ? chunk.subarray(0, at) : chunk, encoded)
    },
  }
}

function replaceRaw(chunk: Chunk, spans: readonly (readonly [number, number])[]): Chunk {
  if (spans.length === 0) return chunk
  const parts: Chunk[] = []
  let done = 0
  for (const [from, to] of spans) {
    parts.push(chunk.subarray(done, from))
    const text = chunk.toString('latin1', from, to)
    parts.push(Buffer.from(text.replace(/[\x80-\xff]/g, (c: string) => '%' + c.charCodeAt(0).toString(16).toUpperCase()), 'latin1'))
    done = to
  }
  parts.push(chunk.subarray(done))
  return Buffer.concat(parts)
}
