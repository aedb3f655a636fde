import { ERLANG_TERM } from '../../core/term.ts'

const JSON_TYPE = 'application/json'

/** How an `Accept` header speaks of one type: how much it wants it, and by how narrow a range. */
interface Regard {
  readonly quality: number
  readonly narrowness: number
}

/** Whether a client wants an answer as a term rather than as JSON (RFC 9110, section 12.5.1). JSON where it is all the same to it. */
export function wantsTerm(accept: string | undefined): boolean {
  if (accept === undefined) return false
  const ranges = accept.toLowerCase().split(',').map(readRange)
  const [term, json] = [regard(ranges, ERLANG_TERM), regard(ranges, JSON_TYPE)]
  if (term.quality !== json.quality) return term.quality > json.quality
  return term.quality > 0 && term.narrowness > json.narrowness
}

function readRange(text: string): { type: string; quality: number } {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim())
  const stated = parameters.find((parameter) => parameter.startsWith('q='))
  const quality = stated === undefined ? 1 : Number(stated.slice(2))
  return { type, quality: quality >= 0 && quality <= 1 ? quality : 0 }
}

function regard(ranges: readonly { type: string; quality: number }[], type: string): Regard {
  const names = ['*/*', 'application/*', type]
  for (let narrowness = names.length; narrowness > 0; narrowness--) {
    const range = ranges.find((one) => one.type === names[narrowness - 1])
    if (range !== undefined) return { quality: range.quality, narrowness }
  }
  return { quality: 0, narrowness: 0 }
}
