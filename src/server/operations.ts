import type { ServerResponse } from 'node:http'
import { replyText } from '../http/reply.ts'
import type { Request, Route } from '../http/server.ts'
import type { HubMetrics } from './metrics.ts'

/** `/_/healthz` (the process answers), `/_/readyz` (it takes newcomers) and `/_/metrics` (Prometheus). */
export function createOperations(parts: { ready: () => boolean; metrics: HubMetrics }): Route {
  const pages: Record<string, (response: ServerResponse) => void> = {
    '/_/healthz': (response) => replyText(response, 200, 'ok\n'),
    '/_/readyz': (response) => (parts.ready() ? replyText(response, 200, 'ready\n') : replyText(response, 503, 'stopping\n')),
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
      page(response)
    },
  }
}
