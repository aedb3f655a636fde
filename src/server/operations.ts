import type { ServerResponse } from 'node:http'
import { replyText } from '../http/reply.ts'
import type { Request, Route } from '../http/server.ts'
import type { HubMetrics } from './metrics.ts'

/**
 * `/_/healthz` (the process answers), `/_/readyz` (it takes newcomers, and the database of registrations and keys answers;
 * `?exclude=registry` leaves that out) and `/_/metrics` (Prometheus).
 */
export function createOperations(parts: { ready: () => boolean; registry: { readonly available: boolean } | undefined; metrics: HubMetrics }): Route {
  function readiness(query: string): readonly [status: number, text: string] {
    if (!parts.ready()) return [503, 'stopping\n']
    if (parts.registry?.available !== false) return [200, 'ready\n']
    return new URLSearchParams(query).getAll('exclude').includes('registry') ? [200, 'ready, without its registry\n'] : [503, 'the registry is unavailable\n']
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
