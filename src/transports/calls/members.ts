const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a]
const [BRACKET, END_BRACKET, BRACE, END_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d]

/**
 * The members of a JSON object, each value as its text stands: parsed with the rest, a number would not keep whether it is
 * an integer or a float. It finds where values end and checks no more: whoever reads them finds out what they are.
 * Of a name that stands twice the last counts.
 * @param most members that there may be
 * @returns nothing where this is no object, or one with more members
 */
export function membersOf(text: string, most: number): Map<string, string> | undefined {
  const members = new Map<string, string>()
  let at = 0

  function peek(): number {
    for (;;) {
      const code = text.charCodeAt(at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return code
      at++
    }
  }
  /** Behind the string that begins here; false where it does not end. */
  function passString(): boolean {
    for (at++; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (code === BACKSLASH) at++
      else if (code === QUOTE) return ++at > 0
    }
    return false
  }
  /** Behind the value that begins here, whatever it is. */
  function passValue(): boolean {
    let depth = 0
    while (at < text.length) {
      const code = text.charCodeAt(at)
      if (code === QUOTE) {
        if (!passString()) return false
        continue
      }
      if (depth === 0 && (code === COMMA || code === END_BRACE || code === END_BRACKET)) return true
      if (code === BRACKET || code === BRACE) depth++
      else if (code === END_BRACKET || code === END_BRACE) depth--
      at++
    }
    return false
  }
  function name(): string | undefined {
    const start = at
    if (peek() !== QUOTE || !passString()) return undefined
    try {
      return JSON.parse(text.slice(start, at)) as string
    } catch {
      return undefined
    }
  }

  if (peek() !== BRACE) return undefined
  at++
  if (peek() === END_BRACE) at++
  else for (;;) {
    const named = name()
    if (named === undefined || peek() !== COLON) return undefined
    at++
    const start = at
    if (!passValue()) return undefined
    members.set(named, text.slice(start, at))
    if (members.size > most) return undefined
    const code = text.charCodeAt(at++)
    if (code === END_BRACE) break
    if (code !== COMMA) return undefined
  }
  peek()
  return at === text.length ? members : undefined
}
