import type { ServerResponse } from 'node:http'
import { replyText } from '../http/reply.ts'
import type { Request, Route } from '../http/server.ts'
import type { LinkView } from '../links/ports.ts'
import type { HubMetrics } from './metrics.ts'
import type { OutboundView } from './service-links.ts'

/**
 * `/_/healthz` (the process answers), `/_/readyz` (it takes newcomers, the database of registrations and keys answers, the
 * links that topics are taken by are there, and so are the daemons of services that it calls; `?exclude=registry`,
 * `?exclude=links` and `?exclude=services` leave those out) and `/_/metrics` (Prometheus).
 */
export function createOperations(parts: {
  ready: () => boolean
  registry: { readonly available: boolean } | undefined
  links: () => readonly LinkView[]
  services: () => readonly OutboundView[]
  metrics: HubMetrics
}): Route {
  function readiness(query: string): readonly [status: number, text: string] {
    if (!parts.ready()) return [503, 'stopping\n']
    const lacks: [part: string, text: string][] = []
    if (parts.registry?.available === false) lacks.push(['registry', 'the registry is unavailable'])
    const down = parts.links().filter(({ current }) => current.state === 'down').length
    // Where they lead is for the log and the metrics: this page is for whoever asks.
    if (down > 0) lacks.push(['links', down === 1 ? 'a link is down' : `${down} links are down`])
    const gone = parts.services().filter(({ current }) => current.state !== 'up').length
    if (gone > 0) lacks.push(['services', gone === 1 ? 'a service is down' : `${gone} services are down`])
    if (lacks.length === 0) return [200, 'ready\n']
    const excluded = new URLSearchParams(query).getAll('exclude')
    const missed = lacks.filter(([part]) => !excluded.includes(part))
    if (missed.length > 0) return [503, missed.map(([, text]) => `${text}\n`).join('')]
    return [200, `ready, without its ${[...new Set(lacks.map(([part]) => part))].join(' and ')}\n`]
  }
  const pages: Record<string, (response: ServerResponse, query: string) => void> = {
    '/_/healthz': (response) => replyText(response, 200, 'ok\n'),
    '/_/readyz': (response, query) => replyText(response, ...readiness(query)),
    '/_/metrics': (response) => {
      void parts.metrics.page().then(({ contentType, text }) => replyText(response, 200, text, { 'Content-Type': contentType }))
    },
  }
  return {
    takes: (request) => request.path.text?.startsWith('/_/') === true,
    answer(request: Request, response) {
      const page = pages[request.path.text ?? '']
      if (page === undefined) return replyText(response, 404, 'Not Found\n')
      if (request.message.method !== 'GET' && request.message.method !== 'HEAD') {
        return replyText(response, 405, 'Method Not Allowed\n', { Allow: 'GET, HEAD' })
      }
      page(response, request.query)
    },
  }
}
