import { join, resolve } from 'node:path'
import { CLI_ENVIRONMENT, fromFile } from '../server/config.ts'
import { envName, OPTIONS } from '../server/options.ts'
import type { Io } from './command.ts'

/** Where a hub in the background leaves what others find it by. */
export interface Places {
  /** The data folder, in which the control socket is. */
  readonly folder: string
  readonly pid: string
  readonly log: string
}

/** Flags of `serve` and `start` for the files of a service. */
export const SERVICE_FLAGS = {
  'pid-file': { value: 'FILE', help: 'where the process id is written (start: waystation.pid in the data folder; serve: nowhere); with it the hub must be the only one of its data folder' },
  'log-file': { value: 'FILE', help: 'where the log goes, reopened at SIGHUP (start: waystation.log in the data folder; serve: stderr)' },
} as const

/** Flags by which a running hub is found. */
export const FIND_FLAGS = {
  'data-dir': { value: 'DIR', help: `the data folder of the hub, as it was stated for it (${OPTIONS.dataDir.default})` },
  config: { value: 'FILE', help: 'the configuration file of the hub, of which only the data folder counts here' },
  'pid-file': { value: 'FILE', help: 'the pid file, when start was told another one than waystation.pid in the data folder' },
} as const

type Flags = Readonly<Record<string, string | true>>

/** @param cwd what relative paths are relative to */
export function placesIn(dataDir: string, own: Flags, cwd: string): Places {
  const folder = resolve(cwd, dataDir)
  const named = (flag: string, name: string): string => (typeof own[flag] === 'string' ? resolve(cwd, own[flag]) : join(folder, name))
  return { folder, pid: named('pid-file', 'waystation.pid'), log: named('log-file', 'waystation.log') }
}

/**
 * Where the hub is that a command is about: by flag, environment or configuration file, in this order. The rest of the
 * configuration is not looked at: it may have become wrong while the hub runs.
 * @throws {WaystationError} `config_invalid` when the file is needed and cannot be read
 */
export async function findPlaces(own: Flags, io: Pick<Io, 'env' | 'cwd'>): Promise<Places> {
  const stated = own['data-dir'] ?? io.env[envName('dataDir')]
  if (typeof stated === 'string') return placesIn(stated, own, io.cwd)
  const named = typeof own['config'] === 'string' ? own['config'] : io.env[CLI_ENVIRONMENT.config]
  const inFile = (await fromFile(named, io.cwd))?.values['dataDir']
  return placesIn(typeof inFile === 'string' ? inFile : OPTIONS.dataDir.default, own, io.cwd)
}
