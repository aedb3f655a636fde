import { join } from 'node:path'
import { openAuthority } from '../../src/zones/authority/authority.ts'
import type { TlsFiles } from '../../src/zones/ports.ts'

/** A CA in a folder of its own. */
export interface LinkCertificates {
  readonly folder: string
  /** For a daemon on this machine. */
  server(name: string): Promise<TlsFiles>
  client(name: string): Promise<TlsFiles>
}

/** @param folder missing yet, or empty */
export function linkCertificates(folder: string): LinkCertificates {
  const authority = openAuthority(folder, Date.now)
  const files = (name: string): TlsFiles => ({ cacertfile: join(folder, 'ca.pem'), certfile: join(folder, `${name}.pem`), keyfile: join(folder, `${name}.key`) })
  return {
    folder,
    async server(name) {
      await authority.issue({ kind: 'server', name, ips: ['127.0.0.1'], dns: ['localhost'], days: 1 }, 'kept')
      return files(name)
    },
    async client(name) {
      await authority.issue({ kind: 'client', name, ips: [], dns: [], days: 1 }, 'kept')
      return files(name)
    },
  }
}
