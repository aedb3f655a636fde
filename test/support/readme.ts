import { readFileSync } from 'node:fs'

/** The fenced blocks of one language in a document, in order. */
export function blocks(file: URL, language: string): string[] {
  const text = readFileSync(file, 'utf8')
  return [...text.matchAll(new RegExp('^```' + language + '\\n([\\s\\S]*?)^```', 'gm'))].map((match) => match[1] as string)
}
