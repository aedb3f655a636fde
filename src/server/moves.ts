import { WaystationError } from '../core/errors.ts'
import type { Registry, Stored } from '../core/registry.ts'
import { endLine, HEADER, lineOf, MOST_LINE_BYTES, readHeader, readLine } from './stored-lines.ts'

/** What went by so far, by type. */
export type Tally = Map<Stored['type'], number>

export interface Moved {
  readonly tally: Tally
  /** How many were put in: the others were there, or have run out. */
  readonly put: number
}

export interface MoveParts {
  /** Called now and then, with how many went by. */
  readonly progress: (count: number) => void
  /** Ends the move between two transactions. */
  readonly signal: AbortSignal
}

/** Things in one transaction, and lines in one write; and signs of them, but for the last. */
const [AT_ONCE, SIGNS_AT_ONCE] = [1_000, 4_000_000]

/** Everything as JSON lines, some at a time: a header first, and an end with their number, so that a cut file is noticed. */
export async function* exportLines(things: AsyncIterable<Stored>, tally: Tally, { progress, signal }: MoveParts): AsyncGenerator<string> {
  let count = 0
  yield `${JSON.stringify(HEADER)}\n`
  for await (const batch of batches(things)) {
    signal.throwIfAborted()
    note(tally, batch)
    count += batch.length
    yield batch.map((thing) => `${lineOf(thing)}\n`).join('')
    progress(count)
  }
  yield `${endLine(count)}\n`
}

/**
 * Puts in what the lines say, while they are read: up to 1,000 things, or 4 MB of them, wait for those behind them, so that of a short file
 * with something wrong in it nothing is put in, and of a long one what stands before that.
 * @throws {WaystationError} `bad_request`, with the number of the line that cannot be read, and how many were put in before
 */
export async function importLines(bytes: AsyncIterable<Uint8Array>, to: Pick<Registry, 'restore'>, parts: MoveParts): Promise<Moved> {
  const moved = { tally: new Map() as Tally, put: 0 }
  try {
    await putIn(thingsIn(bytes), to, moved, parts)
    return moved
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof WaystationError)) throw error
    const before = moved.put === 0 ? 'nothing was put in' : `${moved.put} were put in before that; it may be imported again`
    throw error instanceof RangeError ? new WaystationError('bad_request', `${error.message}; ${before}`) : new WaystationError(error.code, `${error.detail}; ${before}`, error)
  }
}

/** One registry into another. */
export async function copy(from: Pick<Registry, 'everything'>, to: Pick<Registry, 'restore'>, parts: MoveParts): Promise<Moved> {
  const moved = { tally: new Map() as Tally, put: 0 }
  await putIn(from.everything(), to, moved, parts)
  return moved
}

async function putIn(things: AsyncIterable<Stored>, to: Pick<Registry, 'restore'>, moved: { readonly tally: Tally; put: number }, { progress, signal }: MoveParts): Promise<void> {
  let count = 0
  for await (const batch of batches(things)) {
    signal.throwIfAborted()
    moved.put += await to.restore(batch)
    note(moved.tally, batch)
    count += batch.length
    progress(count)
  }
}

function note(tally: Tally, things: readonly Stored[]): void {
  for (const { type } of things) tally.set(type, (tally.get(type) ?? 0) + 1)
}

async function* batches(things: AsyncIterable<Stored>): AsyncGenerator<Stored[]> {
  let batch: Stored[] = []
  let signs = 0
  for await (const thing of things) {
    signs += signsOf(thing)
    if (batch.push(thing) < AT_ONCE && signs < SIGNS_AT_ONCE) continue
    yield batch
    batch = []
    signs = 0
  }
  if (batch.length > 0) yield batch
}

/** As far as it may be large. */
function signsOf(thing: Stored): number {
  return Object.values(thing).reduce<number>((sum, value) => sum + (typeof value === 'string' || value instanceof Uint8Array ? value.length : 0), 0)
}

async function* thingsIn(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Stored> {
  let [number, things] = [0, 0]
  let ended = false
  for await (const line of linesIn(bytes)) {
    number++
    try {
      if (ended) throw new RangeError('it stands behind the end')
      if (number === 1) {
        readHeader(line)
        continue
      }
      const read = readLine(line)
      if ('thing' in read) {
        things++
        yield read.thing
      } else if (read.end !== things) throw new RangeError(`it says that there are ${read.end} before it, and there are ${things}: some are missing`)
      else ended = true
    } catch (error) {
      throw error instanceof RangeError ? new RangeError(`line ${number}: ${error.message}`) : error
    }
  }
  if (number === 0) throw new RangeError('it is empty')
  if (!ended) throw new RangeError(`it is cut off behind line ${number}: the last line is missing`)
}

/** The lines of a stream, which may come in any pieces. Whatever has no line breaks must not fill the memory. */
async function* linesIn(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let rest: Buffer[] = []
  let length = 0
  for await (const piece of bytes) {
    const buffer = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    let from = 0
    for (let at; (at = buffer.indexOf(0x0a, from)) !== -1; from = at + 1) {
      const line = buffer.subarray(from, at)
      yield rest.length === 0 ? line : Buffer.concat([...rest, line])
      rest = []
      length = 0
    }
    rest.push(buffer.subarray(from))
    length += buffer.length - from
    if (length > MOST_LINE_BYTES) throw new RangeError(`there is a line of more than ${MOST_LINE_BYTES} bytes`)
  }
  // What a text editor has taken the last line break off, counts.
  if (length > 0) yield Buffer.concat(rest)
}
