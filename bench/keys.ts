import { spawnSync } from 'node:child_process'
import { startPostgres, type TestPostgres } from '../test/support/postgres.ts'
import { EARLY, POSTERS, REMEMBERED, rowsOf } from './key-rows.ts'
import type { KeyOptions, KeyScenario } from './key-options.ts'
import { openFiles, type Pinning } from './machine.ts'
import { benchScenarios, type Columns } from './scenarios.ts'

/** Files that a process has open beside its publishers, with some to spare. */
const SPARE_FILES = 200
const CORES = {
  serverLoad: { head: 'cores: hub', digits: 2 },
  generatorLoad: { head: 'load', digits: 2 },
} as const

const COLUMNS: Columns<KeyScenario> = {
  checks: {
    otherPerSecond: { head: 'POST/s', digits: 0 },
    keyedPerSecond: { head: 'with key', digits: 0 },
    rateRatio: { head: 'ratio', digits: 2 },
    otherCpu: { head: 'CPU µs/POST', digits: 1 },
    keyedCpu: { head: 'with key', digits: 1 },
    cpuRatio: { head: 'ratio', digits: 2 },
    bare: { head: 'bare checks/s', digits: 0 },
    bareMicroseconds: { head: 'CPU µs/check', digits: 2 },
    ...CORES,
  },
  opening: {
    opened: { head: 'seconds', digits: 2 },
    perSecond: { head: 'publishers/s', digits: 0 },
    p50: { head: 'handshake p50 ms', digits: 0 },
    p99: { head: 'p99 ms', digits: 0 },
    cpuMicroseconds: { head: 'CPU µs/publisher', digits: 0 },
    kib: { head: 'KiB/publisher', digits: 1 },
    ...CORES,
    others: { head: 'PostgreSQL and others', digits: 2 },
  },
  fanout: {
    otherPerSecond: { head: 'pinghub: deliveries/s', digits: 0 },
    keyedPerSecond: { head: 'keyed', digits: 0 },
    rateRatio: { head: 'ratio', digits: 2 },
    otherCpu: { head: 'pinghub: CPU µs/delivery', digits: 3 },
    keyedCpu: { head: 'keyed', digits: 3 },
    cpuRatio: { head: 'ratio', digits: 2 },
    loopRatio: { head: 'ws loop: two connections / one', digits: 2 },
    ...CORES,
  },
}

/** Measures, prints tables as Markdown, and writes all figures to a file. What failed is told in the notes. */
export async function benchKeys(wanted: KeyOptions, pinning: Pinning | undefined, notes: string[], folder: string): Promise<void> {
  const options = withinOpenFiles(wanted, notes)
  const { publishers, together, size } = options
  const ends: (() => Promise<void>)[] = []
  let postgres: Promise<TestPostgres> | undefined
  const freshDatabase = async (): Promise<string> => {
    postgres ??= start(pinning, notes, (end) => ends.push(end))
    return (await postgres).createDatabase()
  }
  const sheet = {
    name: 'keys',
    about: 'CPU of the hub, all its threads; each figure of a hub of its own',
    columns: COLUMNS,
    titles: {
      checks: `POST of ${size} B on ${POSTERS} keep-alive connections, each to a domain of its own, without a key where nobody owns it and with one where it is owned; the bare check has ${REMEMBERED.toLocaleString('en-US')} keys in turn`,
      opening: `${publishers.toLocaleString('en-US')} publishers, each with a key and a domain of its own, ${together} handshakes at once, until the last 101; ${Math.min(EARLY, publishers)} more were there before`,
      fanout: `messages of ${size} B from one publisher; ratio: keyed / pinghub; a keyed publisher is a connection more, whose price a plain loop shows`,
    },
  }
  try {
    await benchScenarios(sheet, rowsOf(options, freshDatabase), { options, pinning }, notes, folder)
  } finally {
    for (const end of ends) await end()
  }
}

/** A real server, on the load's core. */
function start(pinning: Pinning | undefined, notes: string[], end: (fn: () => Promise<void>) => void): Promise<TestPostgres> {
  if (pinning !== undefined) {
    // What the bench itself starts from now on runs where it does, unless it is stated.
    spawnSync('taskset', ['-a', '-c', '-p', String(pinning.load), String(process.pid)])
    notes.push(`PostgreSQL shares core ${pinning.load} with the load.`)
  }
  return startPostgres(end)
}

/** Each publisher is an open file of the hub and one of the load. */
function withinOpenFiles(options: KeyOptions, notes: string[]): KeyOptions {
  const limit = openFiles()
  const room = limit - SPARE_FILES - EARLY
  if (options.only.includes('fanout') && options.subscribers > room) {
    throw new Error(`--subscribers ${options.subscribers} needs more open files than the ${limit} that a process may have here (ulimit -n)`)
  }
  if (!options.only.includes('opening') || options.publishers <= room) return options
  if (room < 1) throw new Error(`a process may have only ${limit} open files here (ulimit -n): too few for publishers`)
  notes.push(`Only ${room} publishers instead of ${options.publishers}: a process may have ${limit} open files here (ulimit -n).`)
  return { ...options, publishers: room }
}
