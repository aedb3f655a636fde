import type { Clock } from '../core/ports.ts'
import type { ServiceConnection } from '../services/handlers.ts'

/** What gets the lines of a service; a logger of pino is one. */
export interface ServiceLogger {
  info(what: object, text: string): void
  warn(what: object, text: string): void
  error(what: object, text: string): void
}

/** Says that handlers have failed, in as few lines as tell what is wrong: whoever is not answered may ask again at once. */
export interface ServiceLog {
  failed(error: unknown, who: ServiceConnection<unknown> | undefined): void
}

/** ms in which there are so many lines at most. */
const SPAN = 10_000
const MOST = 20

export function createServiceLog(clock: Pick<Clock, 'monotonic'>, logger: ServiceLogger): ServiceLog {
  let since = -Infinity
  let lines = 0
  let leftOut = 0

  return {
    failed(error, who) {
      const now = clock.monotonic()
      if (now - since >= SPAN) {
        since = now
        lines = 0
      }
      if (lines === MOST) return void leftOut++
      lines++
      logger.error({ err: error, ...(who !== undefined && { address: who.address, names: who.names }), ...(leftOut > 0 && { leftOut }) }, 'a handler of the service has failed')
      leftOut = 0
    },
  }
}
