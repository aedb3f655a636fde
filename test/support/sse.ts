import type { TestContext } from 'node:test'
import { createInbox, type Inbox } from './events.ts'

export interface SseEvent {
  readonly id: string | undefined
  readonly event: string
  readonly data: string
  readonly topic: string | undefined
}

export interface TestStream {
  readonly response: Response
  readonly inbox: Inbox<SseEvent>
  next(ms?: number): Promise<SseEvent>
  /** Everything as it came, fields and comments alike. */
  raw(): string
  close(): void
  readonly ended: Promise<void>
}

/** Opens an event stream and reads it the way the HTML standard says. Events without data are not given, as there. */
export async function openStream(t: TestContext, url: string, headers: Record<string, string> = {}): Promise<TestStream> {
  const abort = new AbortController()
  t.after(() => abort.abort())
  const response = await fetch(url, { headers: { Accept: 'text/event-stream', ...headers }, signal: abort.signal })
  const inbox = createInbox<SseEvent>(`event on ${url}`)
  let raw = ''
  const ended = (async () => {
    const decoder = new TextDecoder()
    let rest = ''
    let fields: [string, string][] = []
    for await (const chunk of response.body as ReadableStream<Uint8Array>) {
      const text = decoder.decode(chunk, { stream: true })
      raw += text
      const lines = (rest + text).split('\n')
      rest = lines.pop() as string
      for (const line of lines) {
        if (line !== '') {
          const at = line.indexOf(':')
          fields.push(at === -1 ? [line, ''] : [line.slice(0, at), line.slice(at + 1).replace(/^ /, '')])
          continue
        }
        const all = (name: string): string[] => fields.filter(([field]) => field === name).map(([, value]) => value)
        const data = all('data')
        if (data.length > 0) inbox.push({ id: all('id').at(-1), event: all('event').at(-1) ?? 'message', data: data.join('\n'), topic: all('topic').at(-1) })
        fields = []
      }
    }
  })().catch(() => {}).finally(() => inbox.end(new Error('the stream ended')))
  return { response, inbox, next: (ms) => inbox.next(ms), raw: () => raw, close: () => abort.abort(), ended }
}
