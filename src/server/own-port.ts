import type { Server as HttpServer } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import { WaystationError } from '../core/errors.ts'
import type { ListenAddress } from '../http/address.ts'
import { listen, ListenError } from '../http/listen.ts'
import { createPort } from '../http/server.ts'
import { readTlsPair, watchTls, type TlsFiles } from '../http/tls.ts'
import type { Watch } from '../http/watch.ts'
import type { Logger } from './log.ts'

/** The hub's own port, opened once and closed once. */
export interface OwnPort {
  readonly server: HttpServer | TlsServer | undefined
  /**
   * A second call gets what the first one gets; after a failure it tries again.
   * @throws {WaystationError} `listen_failed`; `stopped` when it was closed before it was open
   */
  open(): Promise<void>
  /** No newcomers from here on. Settles when nobody is left and nothing is on its way to being opened. */
  close(): Promise<void>
}

export function createOwnPort(parts: Omit<Parameters<typeof createPort>[0], 'tls'> & { address: ListenAddress; files: TlsFiles; logger: Logger }): OwnPort {
  const { address, files, logger, ...rest } = parts
  let server: HttpServer | TlsServer | undefined
  let tlsWatch: Watch | undefined
  let opening: Promise<void> | undefined
  let closed = false

  async function open(): Promise<void> {
    const tls = files.cert === '' ? undefined : await readTlsPair(files)
    const opened = createPort({ ...rest, ...(tls === undefined ? {} : { tls }) })
    if (!closed) await listen(opened, address)
    if (closed) {
      await ended(opened)
      throw new WaystationError('stopped')
    }
    server = opened
    if (tls === undefined) return
    tlsWatch = watchTls(files, tls, {
      pair(pair) {
        ;(opened as TlsServer).setSecureContext(pair)
        logger.info('the certificate was read again')
      },
      error: (error) => logger.error({ err: error }, 'the new certificate cannot be used; the old one stays'),
    })
  }

  function failed(error: unknown): never {
    opening = undefined
    if (error instanceof WaystationError) throw error
    throw new WaystationError('listen_failed', (error as Error).message, error instanceof ListenError ? error.cause : error)
  }

  return {
    get server() { return server },
    open: () => (opening ??= open().catch(failed)),
    async close() {
      closed = true
      tlsWatch?.stop()
      if (server !== undefined) await ended(server)
      // Whoever opens it hears how that went; here it only matters that it is over.
      else await opening?.catch(() => {})
    },
  }
}

function ended(server: HttpServer | TlsServer): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
  })
}
