import type { TestContext } from 'node:test'
import { makeKnown } from '../../src/cli/presence.ts'
import { effective, fromProgram } from '../../src/server/config.ts'
import { compose, type WaystationServer } from '../../src/server/create-server.ts'
import { createLogger, rememberLines, type Logger } from '../../src/server/log.ts'
import type { Config } from '../../src/server/options.ts'
import { temporaryFolder } from './certificates.ts'

/** A hub in this process that can be found like one in a process of its own. */
export async function knownHub(t: TestContext, config: Config = {}): Promise<{ server: WaystationServer; folder: string; logger: Logger; close(): Promise<void> }> {
  const folder = typeof config.dataDir === 'string' ? config.dataDir : temporaryFolder(t)
  const lines = rememberLines({ write() {} })
  const logger = createLogger('info', lines)
  const server = compose(effective([fromProgram({ addr: '127.0.0.1:0', lonelyps: false, ...config, dataDir: folder })]).options, { logger })
  const known = await makeKnown(server, { logger, lines, file: undefined, close() {} }, { folder, pidFile: undefined })
  await server.listen()
  known.listens()
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => (closing ??= server.close(AbortSignal.abort()).then(known.takeBack))
  t.after(close)
  return { server, folder, logger, close }
}
