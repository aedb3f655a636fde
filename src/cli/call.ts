import { addAbortSignal } from 'node:stream'
import { text } from 'node:stream/consumers'
import { ERRORS, WaystationError, type ErrorCode } from '../core/errors.ts'
import type { Command, Io } from './command.ts'
import { parseFlags } from './flags.ts'
import { ask, hubUrl, unexpected } from './hub-client.ts'
import { printable } from './printable.ts'

/** The status of a command that a signal ended before it was done. */
const INTERRUPTED = 130

const flags = {
  url: { value: 'URL', help: 'the hub (http://127.0.0.1:8081, or WAYSTATION_URL)' },
  deadline: { value: 'TIME', help: 'how long to wait for the answer, such as 500ms or 10s (as the hub has it: 5s)' },
  key: { value: 'TEXT', help: 'calls with the same key go to the same worker, where the service is told to choose by it' },
  'idempotency-key': { value: 'TEXT', help: 'the call is done once however often it is sent with this key, and may be sent to another worker when one is lost' },
  token: { value: 'TOKEN', help: 'the API key of the domain that the service is under, or the token of the hub' },
  cast: { help: 'send it and wait for no answer' },
} as const

/** Calls a service by way of a hub. */
export const call: Command = {
  name: 'call',
  usage: "<service> ['<json>']",
  summary: 'Calls a service with a JSON value, or with what standard input has of it, and prints the answer.',
  flags,
  takesOptions: false,
  async run(args, io) {
    const { own, positionals } = parseFlags(args, flags, { advice: '; write -- before a value that begins with a dash' })
    const [service, ...words] = positionals
    if (service === undefined) throw new WaystationError('bad_request', "name a service: waystation call math '{\"add\": [1, 2]}'")
    const problems = problemsOf(service, words, own)
    if (problems.length > 0) throw new WaystationError('bad_request', problems.join('; '))
    const body = words[0] ?? await input(io)
    if (body === undefined) return INTERRUPTED
    checkJson(body)
    const path = service.split('/').map(encodeURIComponent).join('/')
    const url = `${hubUrl(own, io.env)}/_/${own.cast === true ? 'cast' : 'call'}/${path}`
    const response = await ask(url, { method: 'POST', body, headers: headersOf(own), signal: io.stop }).catch(stoppedOr(io, url))
    if (response === undefined) return INTERRUPTED
    const answer = await response.arrayBuffer().then((bytes) => Buffer.from(bytes), stoppedOr(io, url))
    if (answer === undefined) return INTERRUPTED
    if (!response.ok) throw refusal(url, response, answer.toString('utf8'))
    if (own.cast === true) {
      if (response.status !== 202) throw unexpected(url, response, '', 'what a hub says of a cast')
      return 0
    }
    return print(url, response, answer, io)
  },
}

/** What the shell and the flags hold that no hub need be asked about. */
function problemsOf(service: string, words: readonly string[], own: Readonly<Record<string, string | true>>): string[] {
  const found: string[] = []
  if (words.length > 1) found.push(`one value is sent: put it in quotes ('${words.join(' ')}')`)
  // A URL cannot hold them: they are taken away with what stands before them.
  if (service.split('/').some((part) => part === '.' || part === '..')) found.push(`"${service}": a service with . or .. between its slashes cannot be called over HTTP`)
  for (const flag of ['deadline', 'idempotency-key'] as const) if (own['cast'] === true && own[flag] !== undefined) found.push(`--${flag} is for calls: a cast has no answer`)
  for (const flag of ['deadline', 'key', 'idempotency-key', 'token'] as const) {
    const stated = own[flag]
    if (stated === '') found.push(`--${flag} is empty`)
    else if (typeof stated === 'string' && CONTROL.test(stated)) found.push(`--${flag} may hold no control characters`)
  }
  return found
}

/** No header may hold them. */
const CONTROL = /[^\P{Cc}\t]/u

function print(url: string, response: Response, answer: Buffer, { out, err }: Io): number {
  const type = response.headers.get('content-type')?.replace(/;.*$/s, '').trim()
  if (type === 'application/x-erlang-term') {
    err.write('the answer has no JSON; it is an Erlang term, here in Base64\n')
    out.write(`${answer.toString('base64')}\n`)
    return 0
  }
  if (type !== 'application/json') throw unexpected(url, response, '', 'the answer of a service')
  out.write(`${answer.toString('utf8').trimEnd()}\n`)
  return 0
}

/** Where it is time to stop, nothing; else the error that this is. */
function stoppedOr({ stop }: Io, url: string): (error: unknown) => undefined {
  return (error) => {
    if (stop.aborted) return undefined
    throw error instanceof WaystationError ? error : new WaystationError('unreachable', `${url}: the answer broke off (${(error as Error).message})`, error)
  }
}

function checkJson(text: string): void {
  try {
    JSON.parse(text)
  } catch (error) {
    throw new WaystationError('bad_request', `what is sent must be JSON, a text in its own quotes ('"text"'): ${(error as Error).message}`)
  }
}

function headersOf(own: Readonly<Record<string, string | true>>): Record<string, string> {
  const stated = (name: keyof typeof flags, header: string): [string, string][] => (typeof own[name] === 'string' ? [[header, bytesOf(own[name])]] : [])
  return Object.fromEntries([
    ['Content-Type', 'application/json'],
    ['Accept', 'application/json'],
    ...stated('deadline', 'Waystation-Deadline'), ...stated('key', 'Waystation-Key'), ...stated('idempotency-key', 'Idempotency-Key'),
    ...(typeof own['token'] === 'string' ? [['Authorization', `Bearer ${bytesOf(own['token'])}`]] : []),
  ])
}

/** A header holds bytes: those of UTF-8, one a character. */
function bytesOf(text: string): string {
  return Buffer.from(text).toString('latin1')
}

/** The hub says what is wrong in a problem of its own. */
function refusal(url: string, response: Response, body: string): WaystationError {
  const problem = response.headers.get('content-type')?.startsWith('application/problem+json') === true ? problemOf(body) : undefined
  if (problem === undefined) return unexpected(url, response, body, 'the answer of a service')
  const { code, title, detail } = problem
  if (!Object.hasOwn(ERRORS, code)) return new WaystationError('bad_request', [title, detail].filter((one) => one !== '').join(': '))
  const { text: known } = ERRORS[code as ErrorCode]
  // It stands before what is particular to this case, here as there.
  return new WaystationError(code as ErrorCode, detail.startsWith(known) ? detail.slice(known.length).replace(/^: /, '') : detail)
}

function problemOf(body: string): { title: string; detail: string; code: string } | undefined {
  try {
    const { title = '', detail = '', code = '' } = JSON.parse(body) as Record<string, unknown>
    return { title: printable(String(title)), detail: printable(String(detail)), code: String(code) }
  } catch {
    return undefined
  }
}

/** All of standard input, or nothing when it is time to stop first. */
async function input(io: Io): Promise<string | undefined> {
  if (io.in.isTTY === true) io.err.write('reads the JSON value from the terminal until Ctrl-D\n')
  try {
    return await text(addAbortSignal(io.stop, io.in))
  } catch (error) {
    if (io.stop.aborted) return undefined
    throw error
  }
}
