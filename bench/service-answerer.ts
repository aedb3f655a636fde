import { join } from 'node:path'
import { serveService } from '../src/server/serve-service.ts'
import { listening } from './child.ts'

/** What the bench states for whoever answers, as JSON. */
export interface AnswererOptions {
  /** The folder with ca.pem, hub.pem, hub.key. */
  readonly certificates: string
  readonly transport: 'tls' | 'tcp'
}

/* A service of Waystation that echoes. */
const { certificates, transport } = JSON.parse(process.argv[2] as string) as AnswererOptions
const file = (name: string): string => join(certificates, name)
const tls = { cacertfile: file('ca.pem'), certfile: file('hub.pem'), keyfile: file('hub.key') }
const service = await serveService({ host: '127.0.0.1', transport, ...(transport === 'tls' && { tls }) }, { call: (request) => request })
listening(service.port)
