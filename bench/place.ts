import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../src/index.ts'
import { hubOptions } from './load/lonelyps.ts'
import type { Pinning } from './machine.ts'
import type { Observed } from './measure.ts'
import { startServer, type MeasuredServer } from './processes.ts'
import type { SchemeName } from './task.ts'

/** Everything that one measurement has found, by name. Rates are per second, times in milliseconds. */
export type Found = Readonly<Record<string, number>>

/** Where a scenario is measured, and how. */
export interface Place<O> {
  readonly options: O
  readonly pinning: Pinning | undefined
}

/** A hub in a folder of its own, which is gone afterwards. */
export async function withHub<T>(
  { options, pinning }: Place<{ readonly dir: string | undefined; readonly profile: string | undefined }>,
  scheme: SchemeName,
  use: (server: MeasuredServer, spool: string) => Promise<T>,
  more: Config = {},
): Promise<T> {
  const folder = mkdtempSync(join(options.dir ?? tmpdir(), 'waystation-bench-'))
  try {
    const flags = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`]
    const stated = { dataDir: folder, ...hubOptions(scheme), ...more }
    await using server = await startServer('stated-hub.ts', pinning?.server, flags, '/proc', [JSON.stringify(stated)])
    return await use(server, join(folder, 'spool'))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What every timed measurement finds. */
export function common({ seen, used, loads }: Observed): Found {
  return { ...loads, p50: seen.p50 ?? NaN, p99: seen.p99 ?? NaN, perSecond: seen.count / seen.seconds, cpuMicroseconds: (used / seen.count) * 1e6 }
}
