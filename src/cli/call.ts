import { addAbortSignal } from 'node:stream'
import { text } from 'node:stream/consumers'
import { ERRORS, WaystationError, type ErrorCode } from '../core/errors.ts'
import type { Command, Io } from './command.ts'
import { parseFlags } from './flags.ts'
import { ask, hubUrl, unexpected } from './hub-client.ts'

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
    if (words.length > 1) throw new WaystationError('bad_request', `one value is sent: put it in quotes ('${words.join(' ')}')`)
    const body = words[0] ?? await input(io)
    if (body === undefined) return INTERRUPTED
    checkJson(body)
    const path = service.split('/').map(encodeURIComponent).join('/')
    const url = `${hubUrl(own, io.env)}/_/${own.cast === true ? 'cast' : 'call'}/${path}`
    const response = await ask(url, { method: 'POST', body, headers: headersOf(own), signal: io.stop }).catch((error: unknown) => {
      if (io.stop.aborted) return undefined
      throw error
    })
    if (response === undefined) return INTERRUPTED
    const answer = await response.text()
    if (!response.ok) throw refusal(url, response, answer)
    if (own.cast !== true) io.out.write(`${answer.trimEnd()}\n`)
    return 0
  },
}

function checkJson(text: string): void {
  try {
    JSON.parse(text)
  } catch (error) {
    throw new WaystationError('bad_request', `what is sent must be JSON, a text in its own quotes ('"text"'): ${(error as Error).message}`)
  }
}

function headersOf(own: Readonly<Record<string, string | true>>): Record<string, string> {
  const stated = (name: keyof typeof flags, header: string): [string, string][] => (typeof own[name] === 'string' ? [[header, own[name]]] : [])
  return Object.fromEntries([
    ['Content-Type', 'application/json'],
    ['Accept', 'application/json'],
    ...stated('deadline', 'Waystation-Deadline'), ...stated('key', 'Waystation-Key'), ...stated('idempotency-key', 'Idempotency-Key'),
    ...(typeof own['token'] === 'string' ? [['Authorization', `Bearer ${own['token']}`]] : []),
  ])
}

/** The hub says what is wrong in a problem of its own. */
function refusal(url: string, response: Response, body: string): WaystationError {
  const problem = response.headers.get('content-type')?.startsWith('application/problem+json') === true ? problemOf(body) : undefined
  if (problem === undefined) return unexpected(url, response, body, 'the answer of a service')
  const { code = '', title = '', detail = '' } = problem
  if (Object.hasOwn(ERRORS, code) && code !== 'bad_request') {
    const { text } = ERRORS[code as ErrorCode]
    // It stands before what is particular to this case, here as there.
    return new WaystationError(code as ErrorCode, detail.startsWith(text) ? detail.slice(text.length).replace(/^: /, '') : detail)
  }
  return new WaystationError('bad_request', [title, detail].filter((one) => one !== '').join(': '))
}

function problemOf(body: string): { title?: string; detail?: string; code?: string } | undefined {
  try {
    return JSON.parse(body) as { title?: string; detail?: string; code?: string }
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
