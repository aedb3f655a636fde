import { closeSync, fstatSync, openSync, writeSync } from 'node:fs'
import { destination, pino, type Logger } from 'pino'
import type { Options } from './options.ts'

/** Where lines go. */
export interface LineSink {
  write(line: string): void
}

/** Structured log lines, one JSON object each: on stderr, or where they are told to go. */
export function createLogger(level: Options['logLevel'], to: LineSink = destination(2)): Logger {
  return pino({ level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` }, to)
}

/** Lines that are remembered. */
const MOST_LINES = 200
/** Characters of one of them: a line with a stack trace is longer than most, one with what a client sent could be longer than all. */
const MOST_CHARACTERS = 2_000

/** Hands lines on, and remembers the last of them. */
export interface RememberedLines extends LineSink {
  /** The last ones, the newest at the end. */
  last(most: number): readonly string[]
}

/** @param to stderr when not stated */
export function rememberLines(to: LineSink = destination(2)): RememberedLines {
  const lines: string[] = []
  return {
    write(line) {
      to.write(line)
      const text = line.trimEnd()
      lines.push(text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text)
      if (lines.length > MOST_LINES) lines.shift()
    },
    last: (most) => lines.slice(-most),
  }
}

/** The log of a hub in the background. */
export interface LogFile extends LineSink {
  /**
   * Goes on in a new file of that name, after somebody has moved the old one away. When that cannot be, goes on in the old one.
   * @throws {Error} why it cannot
   */
  reopen(): void
  close(): void
}

/**
 * Opens a log file for its owner alone, and adds to it. A line that cannot be written, because the disk is full, say, is
 * left out: that is no reason to end a hub.
 * @throws {Error} when it cannot be opened
 */
export function openLogFile(path: string): LogFile {
  let file: number | undefined = open(path)
  return {
    write(line) {
      if (file === undefined) return
      try {
        writeSync(file, line)
      } catch {
        // There is nowhere to say so.
      }
    },
    reopen() {
      const next = open(path)
      if (file !== undefined) closeSync(file)
      file = next
    },
    close() {
      if (file !== undefined) closeSync(file)
      // Its number may be another file's from now on.
      file = undefined
    },
  }
}

/** Opened to read, too: then a pipe in its place, whose reader may be slow or gone, does not hold up its opening. */
function open(path: string): number {
  const file = openSync(path, 'a+', 0o600)
  if (fstatSync(file).isFile() || fstatSync(file).isCharacterDevice()) return file
  closeSync(file)
  throw new Error('it is no file')
}

export type { Logger } from 'pino'
