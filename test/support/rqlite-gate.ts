import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

/** A way to a node of rqlite on which things go wrong. */
export interface RqliteGate {
  readonly url: string
  /** Requests that came, with what they brought. */
  readonly seen: { readonly path: string; readonly authorization: string | undefined; readonly body: string }[]
  /**
   * What becomes of the next request that brings a write: it passes; its answer is lost on the way back; it is held on its
   * way, and its connection ends; or the asker is sent on to the node, refused, told that there is no leader, or something
   * that means nothing, while nothing is done. Or: what
   * becomes of the next weak question, which gets the answer of the one before.
   */
  next: 'repeat the answer before' | 'pass' | 'lose the answer' | 'hold' | 'send on' | 'refuse' | 'no leader' | 'say nothing' | 'say that there is a page'
  /** Lets what is held arrive. Settles when it was answered, to nobody. */
  deliver(): Promise<void>
}

/** @param node the base url of a node */
export async function startGate(t: TestContext, node: string): Promise<RqliteGate> {
  const held: (() => Promise<void>)[] = []
  let before: string | undefined
  const server = createServer((incoming, response) => void take(incoming, response))
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  const gate: RqliteGate = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: [],
    next: 'pass',
    async deliver() {
      for (const one of held.splice(0)) await one()
    },
  }

  async function take(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await Array.fromAsync(incoming as AsyncIterable<Buffer>)).toString()
    const path = incoming.url ?? '/'
    gate.seen.push({ path, authorization: incoming.headers.authorization, body })
    const isFor = (gate.next === 'repeat the answer before') === path.includes('level=weak') && (body.includes('INSERT INTO') || path.includes('level=weak'))
    const what = isFor ? gate.next : 'pass'
    if (what !== 'pass') gate.next = 'pass'
    switch (what) {
      case 'repeat the answer before': return void response.end(before)
      case 'send on': return void response.writeHead(307, { location: node + path }).end()
      case 'refuse': return void response.writeHead(401).end('Unauthorized')
      case 'no leader': return void response.writeHead(503).end('leader not found')
      case 'say nothing': return void response.end('{}')
      case 'say that there is a page': return void response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><p>Welcome')
      case 'hold':
        held.push(async () => void (await forward(path, body)))
        return void response.destroy()
      case 'lose the answer':
        await forward(path, body)
        return void response.destroy()
      case 'pass': {
        const answer = await forward(path, body)
        if (path.includes('level=weak')) before = answer?.body
        return void response.writeHead(answer?.status ?? 502).end(answer?.body)
      }
    }
  }

  function forward(path: string, body: string): Promise<{ status: number; body: string } | undefined> {
    return new Promise((resolve) => {
      const asked = request(node + path, { method: 'POST', headers: { 'content-type': 'application/json' } }, async (answer) => {
        resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(await Array.fromAsync(answer as AsyncIterable<Buffer>)).toString() })
      })
      asked.on('error', () => resolve(undefined))
      asked.end(body)
    })
  }
  return gate
}
