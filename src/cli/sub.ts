import { setTimeout as sleep } from 'node:timers/promises'
import { parseCursor } from '../core/cursor.ts'
import { WaystationError } from '../core/errors.ts'
import type { Command, Io } from './command.ts'
import { parseFlags } from './flags.ts'
import { ask, hubUrl, readEvents, unexpected } from './hub-client.ts'

/** A hub that wants no pause still gets one: it may be down. The longest is what a timer takes. */
const LEAST_PAUSE = 100
const LONGEST_PAUSE = 2 ** 31 - 1

interface Place {
  cursor: string | undefined
  retry: number
}

export const sub: Command = {
  name: 'sub',
  usage: '<topic or glob>…',
  summary: 'Prints messages as they come, one to a line, and goes on where it was when the connection breaks.',
  flags: {
    url: { value: 'URL', help: 'the hub (http://127.0.0.1:8081, or WAYSTATION_URL)' },
    since: { value: 'CURSOR', help: 'first what came after this epoch:offset, then what comes' },
    json: { help: 'whole messages as JSON: cursor, topic, time, type, data' },
    count: { value: 'N', short: 'n', help: 'end after so many messages' },
  },
  takesOptions: false,
  async run(args, io) {
    const { own, positionals } = parseFlags(args, this.flags)
    if (positionals.length === 0) throw new WaystationError('bad_request', "name a topic or a glob: waystation sub 'news/*'")
    const since = own['since']
    if (typeof since === 'string' && parseCursor(since) === undefined) throw new WaystationError('bad_request', `--since ${since}: write epoch:offset, as --json prints it under "cursor"`)
    const query = new URLSearchParams(positionals.map((topic) => ['topic', topic.replace(/^\//, '')]))
    query.set('format', 'json')
    const url = `${hubUrl(own, io.env)}/_/sse?${query}`
    const place: Place = { cursor: typeof since === 'string' ? since : undefined, retry: 2_000 }
    let left = typeof own['count'] === 'string' ? Number(own['count']) : Infinity
    if (!(left > 0)) throw new WaystationError('bad_request', '--count wants a number above 0')
    for (let first = true; left > 0 && !io.stop.aborted; first = false) {
      try {
        left = await follow(url, place, left, own['json'] === true, io)
      } catch (error) {
        if (io.stop.aborted) return 0
        // The first try tells what is wrong; later ones are an outage, and the hub may come back.
        if (first || (error instanceof WaystationError && error.code !== 'unreachable')) throw error
      }
      if (left > 0 && !io.stop.aborted) await sleep(place.retry, undefined, { signal: io.stop }).catch(() => {})
    }
    return 0
  },
}

/** Prints from one connection until it ends. Gives how many messages are still wanted. */
async function follow(url: string, place: Place, wanted: number, json: boolean, io: Io): Promise<number> {
  const since = place.cursor === undefined ? '' : `&since=${encodeURIComponent(place.cursor)}`
  const response = await ask(url + since, { headers: { Accept: 'text/event-stream' }, signal: io.stop })
  if (!response.ok || response.body === null) throw unexpected(url, response, await response.text(), 'an event stream')
  if (!/^text\/event-stream\b/i.test(response.headers.get('content-type') ?? '')) {
    await response.body.cancel()
    throw unexpected(url, response, '', 'an event stream')
  }
  let left = wanted
  try {
    for await (const event of readEvents(response.body)) {
      if (event.retry !== undefined) place.retry = Math.min(Math.max(event.retry, LEAST_PAUSE), LONGEST_PAUSE)
      if (event.id !== '') place.cursor = event.id
      if (event.data === '') continue
      if (event.type === 'gap') io.err.write(`gap: ${event.data}\n`)
      else {
        io.out.write(json ? `${event.data}\n` : `${bodyOf(event.data)}\n`)
        if (--left === 0) break
      }
    }
  } catch (error) {
    if (!io.stop.aborted) io.err.write(`the connection broke (${(error as Error).message}); trying again\n`)
  }
  return left
}

function bodyOf(envelope: string): string {
  const { data, base64 } = JSON.parse(envelope) as { data?: string; base64?: string }
  return data ?? base64 ?? ''
}
