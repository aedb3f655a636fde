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
  return tryRead(body, (reader) => {
    const topics = readList(reader, head.topics, 'exact')
    const globs = topics && readList(reader, reader.u32(), 'glob')
    return topics && globs && { topics, globs }
  }, head.at)
}

function readList(reader: Reader, count: number, kind: Kind): Entry[] | undefined {
  // Grows with what is really there: a claim of four billion entries must cost nothing.
  const entries: Entry[] = []
  let last: Buffer | undefined
  for (let index = 0; index < count; index++) {
    const target = reader.s16()
    if (last !== undefined && last.compare(target) >= 0) return undefined
    if (!isTarget(target, kind)) return undefined
    entries.push({ target, recovery: reader.text16() || undefined })
    last = target
  }
  return entries
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
