import { lstat, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import type { ListenAddress } from './address.ts'

/** Why a server does not listen, in words for an operator. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
}

/**
 * Listens. A socket file that nobody answers on is what a killed process left behind, and is removed; anything else that
 * stands in the way stays and is an error.
 * @throws {ListenError}
 */
export async function listen(server: Server, address: ListenAddress): Promise<void> {
  if ('path' in address) await removeStale(address.path)
  await new Promise<void>((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) => reject(new ListenError(explain(error, address), { cause: error }))
    // One that is closed while its name is looked up never listens, and has no error.
    const closed = (): void => fail(new Error('it was closed before it listened'))
    server.once('error', fail)
    server.once('close', closed)
    const options = 'path' in address ? address : { port: address.port, ...(address.host === undefined ? {} : { host: address.host }) }
    server.listen({ ...options, backlog: 4096 }, () => {
      server.off('error', fail)
      server.off('close', closed)
      resolve()
    })
  })
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (found === undefined) return
  if (!found.isSocket()) throw new ListenError(`${path} exists and is no socket; remove it or choose another path`)
  if (await answers(path)) throw new ListenError(`another process listens on ${path}`)
  await unlink(path)
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => resolve(true))
    // Only a refusal proves that nobody is there. With any other error (no permission, say) the file is left alone.
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'))
    probe.once('close', () => probe.destroy())
    probe.once('connect', () => probe.destroy())
  })
}

function explain(error: NodeJS.ErrnoException, address: ListenAddress): string {
  const where = 'path' in address ? address.path : `${address.host ?? ''}:${address.port}`
  switch (error.code) {
    case 'EADDRINUSE': return `${where} is in use by another process; stop it or choose another --addr`
    case 'EACCES': return `${where} may not be listened on by this user; choose ${'path' in address ? 'another folder' : 'a port above 1023'}`
    case 'EADDRNOTAVAIL': return `${where} is no address of this machine`
    case 'ENOTFOUND': return `${where}: there is no such host name`
    default: return `${where}: ${error.message}`
  }
}
