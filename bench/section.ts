/**
 * A document with what stands between `<!-- bench: NAME -->` and `<!-- end bench -->` replaced.
 * @throws {Error} when it has no such place
 */
export function withSection(document: string, name: string, text: string): string {
  const [begin, end] = [`<!-- bench: ${name} -->`, '<!-- end bench -->']
  const from = document.indexOf(begin)
  const to = document.indexOf(end, from)
  if (from === -1 || to === -1) throw new Error(`the document has no place between ${begin} and ${end}`)
  return `${document.slice(0, from)}${begin}\n${text.trim()}\n${document.slice(to)}`
}
