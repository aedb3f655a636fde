import type { Request } from '../../http/server.ts'

/** Whether the client gets nothing of the channel, its own messages neither: for those who only report. */
export function onlyPublishes(query: URLSearchParams): boolean {
  return query.get('role') === 'publisher'
}

/** What a client asks to be let in for. Whether it may publish as well is asked with each message. */
export function verbOf(request: Request): 'publish' | 'subscribe' {
  return onlyPublishes(new URLSearchParams(request.query)) ? 'publish' : 'subscribe'
}
