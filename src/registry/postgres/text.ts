/*
 * PostgreSQL's text holds any character but U+0000, which is written `\0` here. A backslash is doubled only where it would
 * be taken for that: in a run of them before a 0 or a U+0000. So nearly every text is stored as it is.
 */

/** As it is stored. */
export function stored(text: string): string {
  return text.includes('\0') || text.includes('\\0') ? text.replace(/(\\*)([\0]|0)/g, (_, run: string, sign: string) => `${run}${run}${sign === '0' ? '0' : '\\0'}`) : text
}

/** As it was. */
export function unstored(text: string): string {
  return text.includes('\\0') ? text.replace(/(\\+)0/g, (_, run: string) => `${'\\'.repeat(run.length >>> 1)}${run.length % 2 === 0 ? '0' : '\0'}`) : text
}
