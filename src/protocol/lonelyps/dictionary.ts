/**
 * Dictionaries for zstd, as raw content: what the messages of a connection have in common (section 4.13). The way is
 * that of zstd's own COVER: of the windows of the samples the one is taken whose k-mers stand in most other samples,
 * then these k-mers count no more, and so on.
 */

/** Bytes that must recur to count. */
const KMER = 8
/** Bytes of one window. Windows of several short messages save zstd an offset for each field: small ones were a tenth worse. */
const WINDOW = 1024
/** Each stretch of the samples gives one window; what then is left of the room is filled in a second pass. */
const PASSES = 2
/** Samples are looked at in steps of so many bytes, between which the caller may do other things. */
const STEP = 32_768
/** What a trained dictionary begins with, and raw content must not. */
const MAGIC = Buffer.from('37a430ec', 'hex')

interface Piece {
  readonly from: number
  readonly to: number
  readonly score: number
}

/**
 * The best `size` bytes, or fewer where no more recurs; none when nothing does. The same for the same samples. What is
 * most useful stands at the end, where zstd reaches it with the fewest bits.
 */
export function buildDictionary(samples: readonly Buffer[], size: number): Buffer {
  const steps = buildDictionaryInSlices(samples, size)
  for (;;) {
    const { done, value } = steps.next()
    if (done === true) return value
  }
}

/** The same in steps of about 1 ms, 4 while the code is cold. The samples must not change meanwhile. */
export function* buildDictionaryInSlices(samples: readonly Buffer[], size: number): Generator<undefined, Buffer> {
  const bytes = Buffer.concat(samples)
  const counts = createCounts(bytes.length)
  let at = 0
  for (let i = 0, sinceYield = 0; i < samples.length; i++) {
    const { length } = samples[i] as Buffer
    counts.add(bytes, at, at + length, i + 1)
    at += length
    if ((sinceYield += length) < STEP) continue
    sinceYield = 0
    yield
  }

  const pieces: Piece[] = []
  const stretch = Math.max(WINDOW, Math.ceil((bytes.length * WINDOW) / Math.max(size, 1)))
  let room = size
  for (let pass = 0; pass < PASSES; pass++) {
    for (let from = 0, sinceYield = 0; from < bytes.length && room >= KMER; from += stretch) {
      const piece = counts.best(from, Math.min(from + stretch, bytes.length), Math.min(WINDOW, room))
      if (piece !== undefined) {
        pieces.push(piece)
        room -= piece.to - piece.from
      }
      if ((sinceYield += stretch) < STEP) continue
      sinceYield = 0
      yield
    }
  }
  pieces.sort((a, b) => a.score - b.score || b.from - a.from)
  return rawContent(Buffer.concat(pieces.map(({ from, to }) => bytes.subarray(from, to))))
}

function rawContent(bytes: Buffer): Buffer {
  return bytes.subarray(0, MAGIC.length).equals(MAGIC) ? bytes.subarray(1) : bytes
}

interface Counts {
  /** Counts the k-mers of one sample, each once. */
  add(bytes: Buffer, from: number, to: number, sample: number): void
  /** The window whose k-mers stand in most samples, and takes them out of the count. */
  best(from: number, to: number, window: number): Piece | undefined
}

function createCounts(total: number): Counts {
  const bits = Math.min(19, Math.max(10, Math.ceil(Math.log2(Math.max(total, 1))) + 1))
  const shift = 32 - bits
  /** The k-mer that begins at a place; 0 where none does. */
  const kmers = new Uint32Array(total)
  /** In how many samples beside the first a k-mer stands. */
  const recurs = new Uint16Array(2 ** bits)
  const marks = new Uint16Array(2 ** bits)
  const seenIn = new Uint32Array(2 ** bits)
  const inWindow = new Uint16Array(2 ** bits)

  return {
    add(bytes, from, to, sample) {
      let low = 0
      let high = 0
      for (let at = from; at < to; at++) {
        low = (low >>> 8) | (high << 24)
        high = (high >>> 8) | ((bytes[at] as number) << 24)
        const start = at - KMER + 1
        if (start < from) continue
        let hash = Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b)
        hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35)
        const mark = (hash ^ low) & 0xffff
        hash >>>= shift
        if (hash === 0) hash = 1
        if (marks[hash] !== mark) {
          // Another has the place. Without a look at it, noise would seem to recur; one that does recur keeps it.
          if (recurs[hash] !== 0) continue
          marks[hash] = mark
          seenIn[hash] = 0
        }
        kmers[start] = hash
        const before = seenIn[hash] as number
        if (before === sample) continue
        seenIn[hash] = sample
        if (before !== 0 && (recurs[hash] as number) < 65_535) recurs[hash] = (recurs[hash] as number) + 1
      }
    },

    best(from, to, window) {
      const width = window - KMER + 1
      let score = 0
      let bestScore = 0
      let bestAt = from
      for (let at = from; at < to; at++) {
        const comes = kmers[at] as number
        if (inWindow[comes] === 0) score += recurs[comes] as number
        inWindow[comes] = (inWindow[comes] as number) + 1
        if (at - from >= width) {
          const goes = kmers[at - width] as number
          const left = (inWindow[goes] as number) - 1
          inWindow[goes] = left
          if (left === 0) score -= recurs[goes] as number
        }
        if (score > bestScore) {
          bestScore = score
          bestAt = Math.max(from, at - width + 1)
        }
      }
      for (let at = Math.max(from, to - width); at < to; at++) inWindow[kmers[at] as number] = 0
      if (bestScore === 0) return undefined
      let first = bestAt
      let last = Math.min(bestAt + width, to) - 1
      // What stands in the window again, further on, is not needed in front.
      for (let at = first; at <= last; at++) inWindow[kmers[at] as number] = (inWindow[kmers[at] as number] as number) + 1
      for (; recurs[kmers[first] as number] === 0 || (inWindow[kmers[first] as number] as number) > 1; first++) {
        inWindow[kmers[first] as number] = (inWindow[kmers[first] as number] as number) - 1
      }
      for (let at = first; at <= last; at++) inWindow[kmers[at] as number] = 0
      while (recurs[kmers[last] as number] === 0) last--
      for (let at = first; at <= last; at++) recurs[kmers[at] as number] = 0
      return { from: first, to: last + KMER, score: bestScore }
    },
  }
}
