import { WaystationError } from '../core/errors.ts'
import { CLI_ENVIRONMENT } from '../server/config.ts'

/** The hub that a command speaks to, without a slash at the end. */
export function hubUrl(own: Readonly<Record<string, string | true>>, env: NodeJS.ProcessEnv): string {
  const stated = typeof own['url'] === 'string' ? own['url'] : (env[CLI_ENVIRONMENT.url] ?? 'http://127.0.0.1:8081')
  const url = stated.includes('://') ? stated : `http://${stated}`
  if (!URL.canParse(url) || !/^https?:/.test(url)) throw new WaystationError('bad_request', `"${stated}" is no URL: write --url http://host:port`)
  return url.replace(/\/+$/, '')
}

/** One request; a redirect is an answer like any other. @throws {WaystationError} `unreachable`, with the reason below fetch's own "fetch failed" */
export async function ask(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, redirect: 'manual' })
  } catch (error) {
    const cause = (error as { cause?: { message?: string; code?: string } }).cause
    const why = cause?.code === 'ECONNREFUSED' ? 'nothing listens there; start it with "waystation serve"' : (cause?.message || (error as Error).message)
    throw new WaystationError('unreachable', `${url}: ${why}`, error)
  }
}

/** The error for an answer that is not the one asked for, in one line. @param text its body */
export function unexpected(url: string, response: Response, text: string, wanted: string): WaystationError {
  const to = response.headers.get('location')
  const type = response.headers.get('content-type')?.replace(/;.*$/s, '') ?? 'no content type'
  const what = to !== null ? `${response.status}, which leads to ${to}` : response.ok ? `${type}, not ${wanted}; is that a hub?` : `${response.status}: ${text.trim().split('\n')[0]}`
  return new WaystationError(response.status >= 500 || response.ok ? 'unreachable' : 'bad_request', `${url} answered ${what}`)
}

/** One event of an event stream. */
export interface StreamEvent {
  readonly type: string
  readonly data: string
  /** The last event id, as the standard keeps it. */
  readonly id: string
}

/** Reads an event stream as the HTML standard says, as far as our own streams go. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent & { retry: number | undefined }> {
  let rest = ''
  let data: string[] = []
  let type = ''
  let id = ''
  let retry: number | undefined
  const decoder = new TextDecoder()
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true })
    const lines = rest.split('\n')
    rest = lines.pop() as string
    for (const line of lines) {
      if (line === '') {
        yield { type: type === '' ? 'message' : type, data: data.join('\n'), id, retry }
        data = []
        type = ''
        continue
      }
      const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line) as RegExpExecArray
      if (name === 'data') data.push(value as string)
      else if (name === 'event') type = value as string
      else if (name === 'id') id = value as string
      else if (name === 'retry' && /^\d+$/.test(value as string)) retry = Number(value)
    }
  }
}
