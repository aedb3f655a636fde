const SHORT = 16

/**
 * A search that takes linear time, whatever the texts: `indexOf` alone takes the product of both lengths where nearly
 * everything fits nearly everywhere. That is harmless for a short text; a long one is looked for by its first signs, and
 * from there on by the method of Knuth, Morris and Pratt.
 */
export class TextSearch {
  readonly sought: string
  #borders: Uint16Array | undefined

  /** @param sought at most 65,535 UTF-16 units */
  constructor(sought: string) {
    this.sought = sought
  }

  /** Where it begins first, at `from` or after it; -1 when nowhere. */
  find(text: string, from: number): number {
    const { sought } = this
    if (sought.length <= SHORT) return text.indexOf(sought, from)
    const first = text.indexOf(sought.slice(0, SHORT), from)
    if (first === -1 || text.startsWith(sought, first)) return first
    const borders = (this.#borders ??= bordersOf(sought))
    let known = 0
    for (let at = first; at < text.length; at++) {
      const unit = text.charCodeAt(at)
      while (known > 0 && sought.charCodeAt(known) !== unit) known = borders[known - 1] as number
      if (sought.charCodeAt(known) === unit) known++
      if (known === sought.length) return at - known + 1
    }
    return -1
  }
}

/** For each length of a beginning, less one: the longest text that it both begins and ends with, itself apart. */
function bordersOf(sought: string): Uint16Array {
  const borders = new Uint16Array(sought.length)
  let known = 0
  for (let at = 1; at < sought.length; at++) {
    const unit = sought.charCodeAt(at)
    while (known > 0 && sought.charCodeAt(known) !== unit) known = borders[known - 1] as number
    if (sought.charCodeAt(known) === unit) known++
    borders[at] = known
  }
  return borders
}
