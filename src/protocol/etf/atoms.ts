import { isUtf8 } from 'node:buffer'
import { ATOM, LATIN1_ATOM, LONGEST_ATOM, SMALL_ATOM, SMALL_LATIN1_ATOM } from './tags.ts'

/** Where the name of an atom stands, and how it is written. */
export interface AtomPlace {
  from: number
  to: number
  encoding: 'ascii' | 'utf8' | 'latin1'
}

/**
 * Finds the name of an atom (`erps.md`, A.1 and A.2) and writes it into `place`.
 * @param at behind the tag
 * @returns whether it is an atom with a name that may be
 */
export function findAtom(bytes: Buffer, tag: number, at: number, place: AtomPlace): boolean {
  const wide = tag === ATOM || tag === LATIN1_ATOM
  if (!wide && tag !== SMALL_ATOM && tag !== SMALL_LATIN1_ATOM) return false
  const from = at + (wide ? 2 : 1)
  if (from > bytes.length) return false
  const size = wide ? (bytes[at] as number) * 256 + (bytes[at + 1] as number) : (bytes[at] as number)
  const to = from + size
  if (to > bytes.length) return false
  place.from = from
  place.to = to
  place.encoding = 'ascii'
  let continued = 0
  for (let index = from; index < to; index++) {
    const byte = bytes[index] as number
    if (byte < 0x80) continue
    place.encoding = 'utf8'
    if (byte < 0xc0) continued++
  }
  if (place.encoding === 'ascii') return size <= LONGEST_ATOM
  if (tag === ATOM || tag === SMALL_ATOM) return size - continued <= LONGEST_ATOM && isUtf8(bytes.subarray(from, to))
  place.encoding = 'latin1'
  return size <= LONGEST_ATOM
}

export function atomName(bytes: Buffer, { from, to, encoding }: AtomPlace): string {
  return bytes.toString(encoding === 'utf8' ? 'utf8' : 'latin1', from, to)
}
