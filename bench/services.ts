import type { Pinning } from './machine.ts'
import { openFiles } from './machine.ts'
import type { Found } from './place.ts'
import { at, benchScenarios, type Columns, type Measured } from './scenarios.ts'
import type { ServiceOptions, ServiceScenario } from './service-options.ts'
import { NAMES, rowsOf } from './service-rows.ts'

/** Files that a process has open beside its connections, with some to spare. */
const SPARE_FILES = 200
const CALLS = {
  perSecond: { head: 'calls/s', digits: 0 },
  ratio: { head: '/ gRPC', digits: 2 },
  p50: { head: 'p50 ms', digits: 2 },
  p99: { head: 'p99 ms', digits: 2 },
} as const

const COLUMNS: Columns<ServiceScenario> = {
  direct: {
    ...CALLS,
    cpuMicroseconds: { head: 'server: CPU µs', digits: 1 },
    callerCpu: { head: 'client: CPU µs', digits: 1 },
    serverLoad: { head: 'cores: server', digits: 2 },
    generatorLoad: { head: 'client', digits: 2 },
  },
  hub: {
    ...CALLS,
    cpuMicroseconds: { head: 'hub: CPU µs', digits: 1 },
    workerCpu: { head: 'worker: CPU µs', digits: 1 },
    callerCpu: { head: 'client: CPU µs', digits: 1 },
    serverLoad: { head: 'cores: hub', digits: 2 },
    workerLoad: { head: 'worker', digits: 2 },
    generatorLoad: { head: 'client', digits: 2 },
  },
}

/** Measures, prints tables as Markdown, and writes all figures to a file. What failed is told in the notes. */
export async function benchServices(options: ServiceOptions, pinning: Pinning | undefined, notes: string[], folder: string): Promise<void> {
  const { size, concurrent, pipelined } = options
  const most = Math.max(concurrent, pipelined)
  if (most > openFiles() - SPARE_FILES) throw new Error(`${most} calls over HTTP need more open files than a process may have here (ulimit -n)`)
  if (pinning !== undefined && options.only.includes('hub')) notes.push('The hub has the core of the server to itself; its worker shares the other with the client.')
  const sheet = {
    name: 'services',
    about: 'CPU of a process for one call; ratio: calls/s to those of gRPC in this run, as many under way, without a hub',
    columns: COLUMNS,
    titles: {
      direct: `calls that echo ${size} B, without a hub`,
      hub: `the same through a hub to one worker over TLS`,
    },
    order: 'alternating' as const,
    compared: besideGrpc,
  }
  await benchScenarios(sheet, rowsOf(options), { options, pinning }, notes, folder)
}

/** Medians beside medians: the rows were measured in turns. */
export function besideGrpc(rows: readonly Measured[]): Found[] {
  return rows.map(({ of, rounds }) => {
    const grpc = rows.find((row) => row.of['by'] === NAMES.grpc && row.of['under way'] === of['under way'])
    return grpc === undefined ? {} : { ratio: at(rounds, 'perSecond') / at(grpc.rounds, 'perSecond') }
  })
}
