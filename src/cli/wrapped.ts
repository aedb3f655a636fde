const COLUMNS = 80

/**
 * A paragraph in lines of at most 80 columns, broken at spaces. A word that is longer stands on a line of its own.
 * @param first what stands before the first line
 * @param rest what stands before the others
 */
export function wrapped(text: string, first = '', rest = first): string {
  const lines: string[] = []
  let line = first
  let isEmpty = true
  for (const word of text.split(' ')) {
    if (!isEmpty && line.length + 1 + word.length > COLUMNS) {
      lines.push(line)
      line = rest
      isEmpty = true
    }
    line += isEmpty ? word : ` ${word}`
    isEmpty = false
  }
  return [...lines, line].join('\n')
}
