import type { TestContext } from 'node:test'
import { temporaryFolder } from './certificates.ts'
import { createServer, type WaystationServer, type Config } from '../../src/index.ts'

/** A hub on a free loopback port, with a folder of its own, stopped when the test ends. Quiet unless the test says otherwise. */
export async function startServer(t: TestContext, config: Config = {}, parts: Parameters<typeof createServer>[1] = {}): Promise<WaystationServer & { port: number; ws: string }> {
  const server = createServer({ addr: '127.0.0.1:0', logLevel: 'silent', dataDir: temporaryFolder(t), ...config }, parts)
  await server.listen()
  t.after(() => server.close(AbortSignal.abort()))
  const port = server.url.startsWith('/') ? 0 : Number(new URL(server.url).port)
  return Object.assign(server, { port, ws: server.url.replace(/^http/, 'ws') })
}
