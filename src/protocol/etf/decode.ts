import { asBuffer, open, type DecodeOptions } from './envelope.ts'
import type { Term } from './term.ts'

export type { DecodeOptions } from './envelope.ts'

/**
 * Reads a term in external term format, 131 first, in every form that Erlang takes (`erps.md`, A.1, A.2, A.4, A.6). Bytes
 * behind it are left alone. Binaries are views of `bytes`, or of what was inflated, and keep it alive. Linear in time.
 * @returns the term, and the place behind it
 * @throws EtfError `badarg` for what is no term or is not allowed; `too_deep`; `too_large` when it would inflate or grow
 * beyond the bounds
 */
export function decode(bytes: Uint8Array, options: DecodeOptions = {}): { term: Term; end: number } {
  const { term, end } = open(asBuffer(bytes), options, 'build')
  return { term, end }
}
