import { isUtf8 } from 'node:buffer'
import { digest, DIGEST_SIZE, type Field, pack, type Reader, s16, tryRead, u32, u8 } from './bytes.ts'

/** Whether a subscription is to one topic, or to the topics that a glob matches. */
export type Kind = 'exact' | 'glob'

/** One subscription of a url. */
export interface Entry {
  /** The topic's bytes, or the glob's UTF-8 bytes. */
  readonly target: Buffer
  readonly recovery: string | undefined
}

/** What is known of a set_subscriptions body before its authorization is checked (section 2.3). */
export interface SetHead {
  readonly tracing: Buffer
  readonly url: string
  /** The strong etag of the desired state, as claimed: 64 bytes. */
  readonly etag: Buffer
  /** How many topics follow, as claimed. */
  readonly topics: number
  /** Where the topics begin in the body. */
  readonly at: number
}

export interface SetLists {
  readonly topics: Entry[]
  readonly globs: Entry[]
}

/** A set_subscriptions body up to the number of topics. `undefined` when truncated, the url is not UTF-8 or the etag has another format. */
export function parseSetHead(body: Buffer): SetHead | undefined {
  return tryRead(body, (reader) => {
    const [tracing, url, format] = [reader.s16(), reader.text16(), reader.u8()]
    const [etag, topics] = [reader.take(DIGEST_SIZE), reader.u32()]
    return format === 0 ? { tracing, url, etag, topics, at: reader.at } : undefined
  })
}

/**
 * The lists of a set_subscriptions body (section 2.3). `undefined` when truncated, when a list is not strictly ascending
 * bytewise, or when a glob or a recovery url is not UTF-8. Whether they have the etag is not looked at here.
 */
export function parseSetLists(body: Buffer, head: Pick<SetHead, 'topics' | 'at'>): SetLists | undefined {
  const lists = { exact: [] as Entry[], glob: [] as Entry[] }
  const reading = readSetLists(body, head, Infinity)
  for (;;) {
    const { done, value } = reading.next()
    if (done === true) return value ? { topics: lists.exact, globs: lists.glob } : undefined
    lists[value.kind].push(...value.entries)
  }
}

/**
 * The same, at most so many entries at a time, for who has other work to do in between. The generator gives back whether the
 * lists are sound; what it gave before it found that they are not is of no worth.
 */
export function* readSetLists(body: Buffer, head: Pick<SetHead, 'topics' | 'at'>, most: number): Generator<{ kind: Kind; entries: Entry[] }, boolean> {
  let at = head.at
  for (const kind of ['exact', 'glob'] as const) {
    let left = head.topics
    if (kind === 'glob') {
      const count = tryRead(body, (reader) => ({ count: reader.u32(), at: reader.at }), at)
      if (count === undefined) return false
      ;({ count: left, at } = count)
    }
    let last: Buffer | undefined
    while (left > 0) {
      const read = tryRead(body, (reader) => readEntries(reader, Math.min(left, most), kind, last), at)
      if (read === undefined) return false
      yield { kind, entries: read.entries }
      left -= read.entries.length
      at = read.at
      last = read.entries.at(-1)?.target
    }
  }
  return true
}

function readEntries(reader: Reader, count: number, kind: Kind, before: Buffer | undefined): { entries: Entry[]; at: number } | undefined {
  // Grows with what is really there: a claim of four billion entries must cost nothing.
  const entries: Entry[] = []
  let last = before
  for (let index = 0; index < count; index++) {
    const target = reader.s16()
    if (last !== undefined && last.compare(target) >= 0) return undefined
    if (!isTarget(target, kind)) return undefined
    entries.push({ target, recovery: reader.text16() || undefined })
    last = target
  }
  return { entries, at: reader.at }
}

/** What a set_subscriptions body says. */
export interface SetRequest extends Pick<SetHead, 'tracing' | 'url' | 'etag'> {
  readonly topics: readonly Entry[]
  readonly globs: readonly Entry[]
}

/** The whole body; the lists are written as they are, so they must be in order already (`inOrder`). @throws {RangeError} when a field does not fit */
export function encodeSet({ tracing, url, etag, topics, globs }: SetRequest): Buffer {
  return Buffer.concat([pack(s16(tracing), s16(url), u8(0), digest(etag)), encodeList(topics), encodeList(globs)])
}

function encodeList(entries: readonly Entry[]): Buffer {
  return Buffer.concat([pack(u32(entries.length)), ...entries.map((entry) => pack(...entryFields(entry)))])
}

/** A topic is any bytes, a glob is UTF-8. */
export function isTarget(target: Buffer, kind: Kind): boolean {
  return kind === 'exact' || isUtf8(target)
}

/** One entry as set bodies and etag documents have it. @throws {RangeError} when a field is longer than 65,535 bytes */
export function entryFields({ target, recovery }: Entry): [Field, Field] {
  return [s16(target), s16(recovery ?? '')]
}

/** A sorted copy: ascending by bytes, as bodies and etags need it; JavaScript's own order of texts is another. */
export function inOrder(entries: readonly Entry[]): Entry[] {
  return entries.toSorted((a, b) => a.target.compare(b.target))
}
