import { destination, pino, type Logger } from 'pino'
import type { Options } from './options.ts'

/** Structured log lines on stderr, one JSON object each. */
export function createLogger(level: Options['logLevel']): Logger {
  return pino({ level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` }, destination(2))
}

export type { Logger } from 'pino'
