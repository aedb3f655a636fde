/** What has no look of its own, or changes the look of what follows: controls, direction marks, lone surrogates, what is not assigned. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u
/** Marks that are drawn over the sign before them. */
const MARK = /\p{M}/u
const WIDE = /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\u3000-\u303f\uff01-\uff60\uffe0-\uffe6]/u

/** A text as a terminal can show it, in no more columns than there are. What a terminal would obey is written as an escape. */
export function fitted(text: string, columns: number): string {
  let shown = ''
  let used = 0
  let marks = 0
  /** Where to cut, when the rest does not fit: there is a column for the sign that says so. */
  let cut = 0
  for (const sign of text) {
    marks = MARK.test(sign) ? marks + 1 : 0
    // A sign with one or two is a letter of somebody's; one with a hundred covers the lines around it.
    const piece = UNPRINTABLE.test(sign) || marks > 2 || (marks > 0 && shown === '') ? escaped(sign) : sign
    const width = piece !== sign ? piece.length : WIDE.test(sign) ? 2 : 1
    if (used + width > columns) return columns === 0 ? '' : `${shown.slice(0, cut)}…`
    shown += piece
    used += width
    if (used < columns) cut = shown.length
  }
  return shown
}

/** The same without a bound. */
export function printable(text: string): string {
  return fitted(text, Infinity)
}

function escaped(sign: string): string {
  const code = sign.codePointAt(0) as number
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`
  // How a topic keeps a byte that is not part of any text.
  if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`
  return `\\u{${code.toString(16)}}`
}
