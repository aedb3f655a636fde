/** Groups up to this size are compared pair by pair. */
const SMALL_GROUP = 16

/** Byte strings one behind another: string `i` is from `starts[i]` to `ends[i]` of `bytes`. None is the beginning of another. */
export interface Strings {
  readonly bytes: Uint8Array
  readonly starts: Uint32Array
  readonly ends: Uint32Array
}

/**
 * The order of the strings, or `undefined` where two are equal. Linear in their bytes whatever they are: nobody can choose
 * keys that collide, as with a hash.
 */
export function orderOf(strings: Strings): Uint32Array | undefined {
  const count = strings.starts.length
  const order = new Uint32Array(count)
  for (let index = 0; index < count; index++) order[index] = index
  return sortGroup(strings, order, new Uint32Array(count > SMALL_GROUP ? count : 0), 0, count, 0) ? order : undefined
}

/** Sorts what stands from `from` to `to`, equal in its first `depth` bytes. Strings are short, so it does not go deep. */
function sortGroup(strings: Strings, order: Uint32Array, spare: Uint32Array, from: number, to: number, depth: number): boolean {
  let at = depth
  while (to - from > SMALL_GROUP) {
    const places = countBytes(strings, order, from, to, at)
    // No string is the beginning of another: those that have come to their end are equal.
    if (places === undefined) return false
    if (places.length === 0) {
      at++
      continue
    }
    for (let index = from; index < to; index++) {
      const which = order[index] as number
      const byte = strings.bytes[(strings.starts[which] as number) + at] as number
      const place = places[byte] as number
      places[byte] = place + 1
      spare[place] = which
    }
    for (let index = from; index < to; index++) order[index] = spare[index] as number
    let begin = from
    for (const end of places) {
      if (end - begin > 1 && !sortGroup(strings, order, spare, begin, end, at + 1)) return false
      begin = Math.max(begin, end)
    }
    return true
  }
  return insert(strings, order, from, to, at)
}

/** Where each byte's group begins; empty when all have the same byte; `undefined` when one ends here. */
function countBytes({ bytes, starts, ends }: Strings, order: Uint32Array, from: number, to: number, at: number): number[] | undefined {
  const counts = Array<number>(256).fill(0)
  for (let index = from; index < to; index++) {
    const which = order[index] as number
    const place = (starts[which] as number) + at
    if (place >= (ends[which] as number)) return undefined
    const byte = bytes[place] as number
    counts[byte] = (counts[byte] as number) + 1
  }
  let begin = from
  for (let byte = 0; byte < 256; byte++) {
    const count = counts[byte] as number
    if (count === to - from) return []
    counts[byte] = begin
    begin += count
  }
  return counts
}

function insert(strings: Strings, order: Uint32Array, from: number, to: number, at: number): boolean {
  for (let index = from + 1; index < to; index++) {
    const which = order[index] as number
    let place = index
    while (place > from) {
      const difference = compare(strings, order[place - 1] as number, which, at)
      if (difference === 0) return false
      if (difference < 0) break
      order[place] = order[place - 1] as number
      place--
    }
    order[place] = which
  }
  return true
}

function compare({ bytes, starts, ends }: Strings, one: number, other: number, at: number): number {
  const [oneEnd, otherEnd] = [ends[one] as number, ends[other] as number]
  let [left, right] = [(starts[one] as number) + at, (starts[other] as number) + at]
  for (; left < oneEnd && right < otherEnd; left++, right++) {
    const difference = (bytes[left] as number) - (bytes[right] as number)
    if (difference !== 0) return difference
  }
  return oneEnd - left - (otherEnd - right)
}
