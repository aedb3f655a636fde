import { lookup as systemLookup, type LookupAddress, type LookupAllOptions } from 'node:dns'
import { connect, isIP, type LookupFunction, type Socket } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { buildConnector, errors } from 'undici'
import { WaystationError } from '../core/errors.ts'
import type { Guard } from './guard.ts'

/** Resolves a name to all its addresses: `dns.lookup` with `all: true`. */
export type LookupAll = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

export interface ConnectorOptions {
  readonly guard: Pick<Guard, 'forbids'> & Partial<Pick<Guard, 'forbidsName'>>
  /** Milliseconds for name, connection and TLS together. */
  readonly connectTimeout: number
  /** The system's resolver when left out. */
  readonly lookup?: LookupAll
  /** Authorities that are trusted instead of the system's. */
  readonly tls?: Pick<ConnectionOptions, 'ca'>
}

/**
 * A connector for the `connect` option of undici's Pool, Client and Agent that goes nowhere the guard forbids. A literal
 * address is checked before anything is opened. A name is resolved once for each connection, the connection goes only to
 * those of its addresses that are not refused, and the address that answered is checked again before a byte is sent, TLS
 * included: a name that resolves differently the second time gains nothing. HTTP/1.1 only; the certificate must be for
 * the url's host, whatever the address or the Host header.
 *
 * The callback gets a {WaystationError} `refused_url`, undici's ConnectTimeoutError, or the error of the socket.
 */
export function createGuardedConnector({ guard, connectTimeout, lookup = systemLookup, tls = {} }: ConnectorOptions): buildConnector.connector {
  const secure = buildConnector({ ...tls, allowH2: false, timeout: 0 })

  return ({ hostname: written, protocol, port: portText, localAddress }, callback) => {
    const hostname = written.replace(/^\[|\]$/g, '')
    const port = Number(portText || (protocol === 'https:' ? 443 : 80))
    const reason = isIP(hostname) === 0 ? guard.forbidsName?.(hostname, port) : guard.forbids(hostname, port)
    if (reason !== undefined) {
      queueMicrotask(() => callback(new WaystationError('refused_url', reason), null))
      return
    }

    const socket = connect({
      host: hostname,
      port,
      lookup: openAddresses(guard, lookup, port),
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      ...(typeof localAddress === 'string' ? { localAddress } : {}),
    })
    let settled = false
    const settle = (error: Error | null, ready: Socket): void => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      if (error === null) return callback(null, ready)
      socket.destroy()
      callback(error, null)
    }
    const timer = setTimeout(() => settle(new errors.ConnectTimeoutError(`${hostname} port ${port} took longer than ${connectTimeout} ms`), socket), connectTimeout)

    // Stays for as long as the socket: an error that comes after the end of the waiting must not end the process.
    socket.on('error', (error) => settle(error, socket))
    socket.once('connect', () => {
      const error = connectedWrongly(guard, socket)
      if (error !== undefined || protocol !== 'https:') return settle(error ?? null, socket)
      // undici takes the name from the Host header, where a subscriber may have written what it likes.
      const name = isIP(hostname) === 0 ? { servername: hostname.replace(/\.$/, '') } : {}
      secure({ hostname, protocol, port: String(port), httpSocket: socket, ...name }, (...[failure, ready]) => settle(failure, ready ?? socket))
    })
  }
}

function openAddresses(guard: Pick<Guard, 'forbids'>, lookup: LookupAll, port: number): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, [])
      const judged = addresses.map((one) => ({ one, reason: guard.forbids(one.address, port) }))
      const [first, ...rest] = judged.filter(({ reason }) => reason === undefined).map(({ one }) => one)
      if (judged[0] === undefined) return callback(new Error(`${hostname} has no address`), [])
      if (first === undefined) return callback(new WaystationError('refused_url', `${hostname}: ${judged[0].reason}`), [])
      if (options.all === true) return callback(null, [first, ...rest])
      callback(null, first.address, first.family)
    })
  }
}

function connectedWrongly(guard: Pick<Guard, 'forbids'>, { remoteAddress, remotePort }: Socket): Error | undefined {
  // Reset before anyone looked. That is no refusal: the subscriber may be well the next time.
  if (remoteAddress === undefined || remotePort === undefined) return new Error('the connection was closed at once')
  const reason = guard.forbids(remoteAddress, remotePort)
  return reason === undefined ? undefined : new WaystationError('refused_url', reason)
}
