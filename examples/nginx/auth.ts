/*
 * A small auth server for nginx.conf, as a pattern for your own: it says who may do what, and where "/me" leads.
 * Here a cookie "user=157" is believed as it stands; in earnest this is where you look up a session.
 *
 *   node examples/nginx/auth.ts
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Where the request is to go: a path, '' for the one that was asked for, or undefined for nowhere. */
function decide(user: string | undefined, path: string): string | undefined {
  if (user === undefined) return undefined
  const mine = `/user/${user}/`
  if (path.startsWith('/me/')) return mine + path.slice('/me/'.length).split('/').map(encodeURIComponent).join('/')
  return path.startsWith('/user/') && !path.startsWith(mine) ? undefined : ''
}

const server = createServer((request, response) => {
  try {
    const user = /(?:^|;\s*)user=(\d+)/.exec(request.headers.cookie ?? '')?.[1]
    const [asked] = String(request.headers['x-original-uri']).split('?') as [string]
    // Decided on the decoded path, which is the channel: /%75ser/158/chan is /user/158/chan.
    const path = decide(user, decodeURIComponent(asked))
    response.writeHead(path === undefined ? 403 : 204, path === undefined || path === '' ? {} : { 'X-Rewrite': path }).end()
  } catch {
    // The path is no UTF-8.
    response.writeHead(403).end()
  }
})

server.listen(Number(process.env['PORT'] ?? 8100), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
