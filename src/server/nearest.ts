/** The known word that is most like this one, when one is alike enough to be meant. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const wanted = word.toLowerCase()
  // Whoever has typed the first half of a word means it, where no other word begins so.
  const [begun, ...more] = known.filter((candidate) => wanted !== '' && candidate.toLowerCase().startsWith(wanted))
  if (begun !== undefined && more.length === 0 && 2 * wanted.length >= begun.length) return begun
  let best: string | undefined
  let least = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(wanted, candidate.toLowerCase())
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

/** Insertions, deletions and substitutions from one word to the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next[j] = Math.min(change, (row[j] as number) + 1, (next[j - 1] as number) + 1)
    }
    row = next
  }
  return row[b.length] as number
}

/** ` (did you mean "x"?)`, or nothing. */
export function hint(word: string, known: readonly string[], write: (name: string) => string = (name) => name): string {
  const found = nearest(word, known)
  return found === undefined ? '' : `; did you mean ${write(found)}?`
}
