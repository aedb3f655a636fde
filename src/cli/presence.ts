import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isatty } from 'node:tty'
import { WaystationError } from '../core/errors.ts'
import { openControlSocket } from '../server/control-socket.ts'
import { createControl } from '../server/control.ts'
import type { compose } from '../server/create-server.ts'
import { createLogger, openLogFile, rememberLines, type LogFile, type Logger, type RememberedLines } from '../server/log.ts'
import { realClock } from '../server/real-world.ts'
import type { Options } from '../server/options.ts'
import { pidSpace, readPid } from './find-hub.ts'
import { version } from './version.ts'

/** The log of a hub that runs, remembered for those who attach. */
export interface ServiceLog {
  readonly logger: Logger
  readonly lines: RememberedLines
  /** Where it goes when it does not go to stderr. */
  readonly file: LogFile | undefined
  close(): void
}

/** @throws {WaystationError} `config_invalid` when the file cannot be opened */
export function openServiceLog(level: Options['logLevel'], path: string | undefined): ServiceLog {
  const file = path === undefined ? undefined : openAt(path)
  const lines = rememberLines(file)
  const logger = createLogger(level, lines)
  const crashed = (error: unknown): void => logger.fatal({ err: error }, 'the hub ends by a fault of its own')
  const hungUp = (): void => {
    try {
      file?.reopen()
      logger.info(file === undefined ? 'there is no log file to reopen' : 'the log file was reopened')
    } catch (error) {
      logger.error({ err: error }, 'the log file cannot be reopened; the log goes on in the old one')
    }
  }
  // Where a terminal is, SIGHUP says that it is gone, and means the end.
  const takesHangUp = file !== undefined || ![0, 1, 2].some((descriptor) => isatty(descriptor))
  if (takesHangUp) process.on('SIGHUP', hungUp)
  if (file !== undefined) process.on('uncaughtExceptionMonitor', crashed)
  return {
    logger, lines, file,
    close() {
      process.off('SIGHUP', hungUp)
      process.off('uncaughtExceptionMonitor', crashed)
      file?.close()
    },
  }
}

function openAt(path: string): LogFile {
  try {
    return openLogFile(path)
  } catch (error) {
    throw new WaystationError('config_invalid', `--log-file ${path}: ${(error as Error).message}`, error)
  }
}

/** A hub that can be found. */
export interface Known {
  /** To be called when it listens, and has its address. */
  listens(): void
  /** To be called when it has stopped. */
  takeBack(): Promise<void>
}

/**
 * Makes a running hub known to those who look for it: by its control socket, and where it is a service by its pid file. A
 * service must be the only hub of its data folder. Another one goes on without a control socket, and says so in its log.
 * @param folder the data folder, absolute
 * @throws {WaystationError} `listen_failed` when a service cannot be made known
 */
export async function makeKnown(server: ReturnType<typeof compose>, log: ServiceLog, { folder, pidFile }: { folder: string; pidFile: string | undefined }): Promise<Known> {
  let listens = false
  const control = createControl({
    vitals: server.vitals, clock: realClock, pid: process.pid, pidSpace: pidSpace(), version: version(), drainTime: server.options.drainTime,
    address: () => (listens ? server.url : undefined),
    lines: log.lines.last,
  })
  const closeSocket = await openControlSocket(folder, control.connected).catch((error: Error) => {
    if (pidFile !== undefined) throw new WaystationError('listen_failed', error.message, error)
    log.logger.warn({ why: error.message }, 'there is no control socket: stop, status and attach do not find this hub')
    return undefined
  })
  async function takeBack(): Promise<void> {
    if (pidFile !== undefined && readPid(pidFile) === process.pid) await rm(pidFile, { force: true })
    control.close()
    await closeSocket?.()
  }
  const known: Known = { listens: () => void (listens = true), takeBack }
  if (pidFile === undefined) return known
  try {
    await writePid(pidFile)
  } catch (error) {
    await takeBack()
    throw new WaystationError('listen_failed', `--pid-file ${pidFile}: ${(error as Error).message}`, error)
  }
  return known
}

/** Whole or not at all, for those who read it meanwhile. */
async function writePid(file: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const unfinished = `${file}.${process.pid}`
  await rm(unfinished, { force: true })
  await writeFile(unfinished, `${process.pid}\n`, { flag: 'wx', mode: 0o600 })
  await rename(unfinished, file)
}

