const LONGEST = 100
const MOST = 1_000

/**
 * A question about a text that is asked for every request, mostly of the same few texts, so the answers are kept. The
 * texts come from clients: a long one is answered and forgotten, and past a thousand all are, so that nobody can fill
 * the memory with them.
 * @param ask must give the same answer for the same text always
 */
export function remembered(ask: (text: string) => boolean): (text: string) => boolean {
  const answers = new Map<string, boolean>()
  return (text) => {
    const known = answers.get(text)
    if (known !== undefined) return known
    const answer = ask(text)
    if (text.length > LONGEST) return answer
    if (answers.size >= MOST) answers.clear()
    answers.set(text, answer)
    return answer
  }
}
