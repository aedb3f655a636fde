import { isUtf8 } from 'node:buffer'
import { WaystationError } from '../../core/errors.ts'
import { ERLANG_TERM, isJson, jsonOf } from '../../core/term.ts'
import { jsonToTerm } from '../../protocol/etf/json.ts'
import { plain } from '../../protocol/etf/plain.ts'
import { scan } from '../../protocol/etf/scan.ts'
import { EtfError } from '../../protocol/etf/term.ts'

/** How requests become terms. */
export interface RequestBounds {
  /** The atoms that JSON may make beside the common ones; others become binaries. */
  readonly atoms: ReadonlySet<string>
  /** Those that a term may hold; one with others is refused. */
  readonly termAtoms: 'any' | ReadonlySet<string>
  readonly maxDepth: number
  /** Bytes of a term, uncompressed. */
  readonly maxBytes: number
}

const VERSION = Buffer.of(131)
const COMPRESSED = 80
const TERM_TYPE = /^application\/x-erlang-term\s*(?:;|$)/i

/** What a body of this content type is; nothing for what services do not get. */
export function formatOf(contentType: string | undefined): 'json' | 'term' | undefined {
  if (contentType === undefined) return undefined
  if (isJson(contentType)) return 'json'
  return contentType === ERLANG_TERM || TERM_TYPE.test(contentType) ? 'term' : undefined
}

/** The term of JSON, without its 131. @throws {WaystationError} `bad_request` */
export function termOfJson(text: string, bounds: RequestBounds): Buffer {
  const term = jsonToTerm(text, { atoms: bounds.atoms, maxDepth: bounds.maxDepth })
  if (term === undefined) throw new WaystationError('bad_request', 'what is sent is no JSON, or none that can be a term')
  return term.subarray(1)
}

/** The term of a body, without its 131, uncompressed. @throws {WaystationError} `bad_request`, `message_too_large` */
export function termOfBody(format: 'json' | 'term', body: Buffer, bounds: RequestBounds): Buffer {
  if (format === 'term') return checked(body, bounds)
  if (!isUtf8(body)) throw new WaystationError('bad_request', 'JSON is UTF-8')
  return termOfJson(body.toString('utf8'), bounds)
}

function checked(body: Buffer, { termAtoms: atoms, maxDepth, maxBytes }: RequestBounds): Buffer {
  const options = { atoms, maxDepth, maxBytes }
  try {
    if (scan(body, options) !== body.length) throw new WaystationError('bad_request', 'there is something behind the term')
    // A copy, because a view would keep all that came with it.
    return body[1] === COMPRESSED ? plain(body, options).subarray(1) : Buffer.from(body.subarray(1))
  } catch (error) {
    if (!(error instanceof EtfError)) throw error
    throw new WaystationError(error.code === 'too_large' ? 'message_too_large' : 'bad_request', `the body is no term that is taken: ${error.message}`)
  }
}

/** A term with its 131 before it. */
export function whole(bare: Buffer): Buffer {
  return Buffer.concat([VERSION, bare])
}

/** The JSON of an answer; nothing where it has none, or too much. @param bare without its 131 */
export function jsonOfAnswer(bare: Buffer): string | undefined {
  return jsonOf(whole(bare))
}
