import { WaystationError } from '../../core/errors.ts'
import { membersOf } from './members.ts'
import { deadlineOf, keyOf, serviceOf, type DeadlineBounds, type Terms } from './wish.ts'

/** What a client knows its call by. */
export interface Id {
  /** JSON as the client wrote it, so that it gets back what it sent. */
  readonly json: Buffer
  /** The same for two that a client cannot tell apart. */
  readonly value: string
}

/** What one frame asks for. `request` is JSON as it stands. */
export type Asked =
  | { readonly kind: 'call'; readonly id: Id; readonly service: string; readonly request: string; readonly terms: Terms }
  | { readonly kind: 'cast'; readonly id: Id | undefined; readonly service: string; readonly request: string; readonly key: Buffer | undefined }

/** What a frame is that is no call and no cast. */
export interface Fault {
  readonly kind: 'fault'
  /** To whom the error goes; nothing where the frame names none. */
  readonly id: Id | undefined
  readonly error: WaystationError
}

const NAMES: ReadonlySet<string> = new Set(['id', 'service', 'call', 'cast', 'deadline', 'key', 'idempotencyKey'])
const MAX_ID_BYTES = 255

/** Reads a text frame of a client. A member that is not known is a fault: it may be one that was to prevent something. */
export function readFrame(text: string, bounds: DeadlineBounds): Asked | Fault {
  let id: Id | undefined
  try {
    const members = membersOf(text, NAMES.size)
    if (members === undefined) throw bad('a frame is an object: {"id": …, "service": …, "call": …}')
    id = idOf(members.get('id'))
    for (const name of members.keys()) if (!NAMES.has(name)) throw bad(`a frame has ${[...NAMES].join(', ')} and nothing else`)
    return asked(members, id, bounds)
  } catch (error) {
    if (!(error instanceof WaystationError)) throw error
    return { kind: 'fault', id, error }
  }
}

function asked(members: ReadonlyMap<string, string>, id: Id | undefined, bounds: DeadlineBounds): Asked {
  const service = serviceOf(value(members, 'service'))
  const [call, cast] = [members.get('call'), members.get('cast')]
  const key = textOf(members, 'key')
  const terms = { deadline: deadlineOf(value(members, 'deadline'), bounds), key: key === undefined ? undefined : Buffer.from(key), idempotencyKey: textOf(members, 'idempotencyKey') }
  if ((call === undefined) === (cast === undefined)) throw bad('a frame has either "call" or "cast"')
  if (cast !== undefined) {
    if (members.has('deadline') || members.has('idempotencyKey')) throw bad('a cast has no deadline and no idempotencyKey')
    return { kind: 'cast', id, service, request: cast, key: terms.key }
  }
  if (id === undefined) throw bad('a call has an id, a string or a number')
  return { kind: 'call', id, service, request: call as string, terms }
}

function idOf(json: string | undefined): Id | undefined {
  if (json === undefined) return undefined
  const id = parsed(json)
  const bytes = Buffer.from(json.trim())
  if ((typeof id !== 'string' && typeof id !== 'number') || bytes.length > MAX_ID_BYTES) throw bad(`an id is a string or a number, ${MAX_ID_BYTES} bytes of JSON at most`)
  return { json: bytes, value: JSON.stringify(id) }
}

function value(members: ReadonlyMap<string, string>, name: string): unknown {
  const json = members.get(name)
  return json === undefined ? undefined : parsed(json)
}

function textOf(members: ReadonlyMap<string, string>, name: string): string | undefined {
  const text = value(members, name)
  if (text === undefined) return undefined
  if (typeof text !== 'string' || !text.isWellFormed()) throw bad(`${name} is a text`)
  keyOf(name, Buffer.from(text))
  return text
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    throw bad('the frame is no JSON')
  }
}

/** Whether a text is JSON at all, which is looked at only where it could not be used. */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function bad(detail: string): WaystationError {
  return new WaystationError('bad_request', detail)
}
