import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Dispatch } from '../http/server.ts'

type RequestListener = (message: IncomingMessage, response: ServerResponse) => void
type UpgradeListener = (message: IncomingMessage, socket: Duplex, head: Buffer) => void

/**
 * Mounts the hub on a server that somebody else made, under a prefix. Requests elsewhere go to whoever was there
 * before; so do upgrades, and where nobody was, they stay the plain requests that they were without us.
 * @returns what takes the hub off again
 */
export function attachTo(server: Server, prefix: string, dispatch: Dispatch): () => void {
  const base = prefix === '/' ? '' : prefix.replace(/\/$/, '')
  if (!/^(\/[\w.~-]+)*$/.test(base)) throw new RangeError(`"${prefix}" is no prefix: write /name`)
  const requests = server.listeners('request') as RequestListener[]
  const upgrades = server.listeners('upgrade') as UpgradeListener[]
  const withUpgradeCallback = server as Server & { shouldUpgradeCallback?: (message: IncomingMessage) => boolean }
  const before = withUpgradeCallback.shouldUpgradeCallback

  function isOurs(message: IncomingMessage): boolean {
    const url = message.url ?? ''
    return url.startsWith(base) && (base === '' || url.length === base.length || '/?'.includes(url[base.length] as string))
  }
  const onRequest: RequestListener = (message, response) => {
    if (isOurs(message)) dispatch.request(message, response, base)
    else for (const listener of requests) listener.call(server, message, response)
  }
  const onUpgrade: UpgradeListener = (message, socket, head) => {
    if (isOurs(message)) dispatch.upgrade(message, socket, head, base)
    else for (const listener of upgrades) listener.call(server, message, socket, head)
  }

  server.removeAllListeners('request')
  server.removeAllListeners('upgrade')
  server.on('request', onRequest)
  server.on('upgrade', onUpgrade)
  withUpgradeCallback.shouldUpgradeCallback = (message) => {
    if (isOurs(message)) return dispatch.upgrades(message, base)
    return upgrades.length > 0 && (before?.call(server, message) ?? true)
  }

  return () => {
    server.off('request', onRequest)
    server.off('upgrade', onUpgrade)
    for (const listener of requests) server.on('request', listener)
    for (const listener of upgrades) server.on('upgrade', listener)
    if (before !== undefined) withUpgradeCallback.shouldUpgradeCallback = before
  }
}
