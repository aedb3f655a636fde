import { WaystationError } from '../../core/errors.ts'

/** What of an error of the driver or the server may be looked at. Its texts can hold values, and its url a password. */
interface Failure {
  readonly code?: unknown
  readonly message?: unknown
  readonly table?: unknown
  readonly column?: unknown
  readonly constraint?: unknown
}

/** The answer did not come in time. */
export class TooLateError extends Error {
  override readonly name = 'TooLateError'
}

/** The database can be reached, and must be changed by somebody before it can be used. The message is ours. */
export class UnfitError extends Error {
  override readonly name = 'UnfitError'
}

/** SQLSTATEs that an operator can do something about. */
const REASONS: Readonly<Record<string, string>> = {
  '28P01': 'the password is wrong',
  '28000': 'this user is not let in: look at pg_hba.conf and at the name of the user',
  '3D000': 'there is no such database: make it with CREATE DATABASE',
  '42501': 'this user has no permission for it',
  '53300': 'it has all the connections that it may have: raise max_connections, or start fewer hubs (each needs up to 9)',
  '25006': 'it may only be read, not written: this may be a standby',
  '53100': 'the disk is full',
  '53200': 'it is out of memory',
  '55P03': 'a lock of another program was waited for in vain',
  '40P01': 'another program holds locks in the opposite order',
  '57014': 'it took too long, and was given up',
  '57P01': 'it is shutting down, or the connection was ended by an administrator',
  '57P02': 'it has crashed and is starting again',
  '57P03': 'it is starting or shutting down',
  '22001': 'a value is longer than its column',
  '23502': 'a column must have a value, and the table has none of itself',
  '22021': 'a value has a sign that the encoding of the database does not have',
  '22P05': 'a value has a sign that the encoding of the database does not have',
}
/** Classes of SQLSTATEs whose messages name things of the schema and no values. */
const PLAIN_CLASSES = new Set(['08', '25', '28', '3D', '3F', '40', '42', '53', '55', '57', '58', 'XX'])
/** Classes that say that the database cannot be used at all now, by anybody of us. */
const AWAY_CLASSES = new Set(['08', '28', '3D', '57'])

const NODE_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: is PostgreSQL running?',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  ETIMEDOUT: 'the host does not answer',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the host cannot be reached',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
}

/** Whether it failed because the database is away, or does not answer, and not for what was asked. */
export function isAway(error: unknown): boolean {
  const code = sqlState(error)
  if (code === undefined) return !(error instanceof UnfitError) && !(error instanceof WaystationError)
  return (AWAY_CLASSES.has(code.slice(0, 2)) && code !== '57014') || code === '53300'
}

/** Whether doing the whole transaction again may go well: it was undone for what others did. */
export function isCollision(error: unknown): boolean {
  return ['40P01', '40001'].includes(sqlState(error) ?? '')
}

/** Whether a table or schema is not there, as when the database was made anew. */
export function isMissing({ cause }: WaystationError): boolean {
  return cause instanceof Error && ['42P01', '3F000', '42883'].includes(cause.message)
}

export function sqlState(error: unknown): string | undefined {
  const { code } = error as Failure
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !(code in NODE_REASONS) ? code : undefined
}

/** What is told of a failure: without a password, a parameter or anything out of a row. */
export function unavailable(name: string, error: unknown): WaystationError {
  if (error instanceof WaystationError) return error
  const code = sqlState(error) ?? (error as Failure).code
  const cause = new Error(typeof code === 'string' ? code : error instanceof Error ? error.name : 'unknown')
  return new WaystationError('registry_unavailable', `${name}: ${reasonOf(error)}`, cause)
}

function reasonOf(error: unknown): string {
  const { message, table, column, constraint } = error as Failure
  if (error instanceof TooLateError) return 'it does not answer in time'
  if (error instanceof UnfitError) return error.message
  const state = sqlState(error)
  if (state !== undefined) {
    const about = [table, column, constraint].filter((one) => typeof one === 'string').join(', ')
    const said = PLAIN_CLASSES.has(state.slice(0, 2)) ? String(message) : about === '' ? '' : `at ${about}`
    return `${REASONS[state] ?? 'the statement was refused'} (${said === '' ? state : `${state}: ${said}`})`
  }
  const { code } = error as Failure
  const known = typeof code === 'string' ? NODE_REASONS[code] : undefined
  if (known !== undefined) return `${known} (${String(code)})`
  const text = String(message)
  if (/timeout/i.test(text)) return 'no connection in time'
  if (/SASL|password/i.test(text)) return 'it asks for a password, and none that fits is in the url'
  if (/SSL/.test(text)) return `TLS: ${text}`
  if (/terminated|closed|ended/i.test(text)) return 'the connection was cut'
  return typeof code === 'string' ? `it cannot be reached (${code})` : 'it cannot be reached'
}
