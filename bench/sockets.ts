import type { Pinning } from './machine.ts'
import { benchScenarios, type Columns } from './scenarios.ts'
import type { SocketOptions, SocketScenario } from './socket-options.ts'
import { BACKLOG, rowsOf, WINDOW } from './socket-rows.ts'

const MIB = 2 ** 20
const CORES = {
  serverLoad: { head: 'cores: hub', digits: 2 },
  generatorLoad: { head: 'load', digits: 2 },
} as const

const COLUMNS: Columns<SocketScenario> = {
  sequential: {
    perSecond: { head: 'round trips/s', digits: 0 },
    p50: { head: 'p50 ms', digits: 2 },
    p99: { head: 'p99 ms', digits: 2 },
    cpuMicroseconds: { head: 'CPU µs each', digits: 0 },
    ...CORES,
  },
  pipelined: {
    perSecond: { head: 'deliveries/s', digits: 0 },
    cpuMicroseconds: { head: 'CPU µs/delivery', digits: 1 },
    ...CORES,
  },
  large: {
    mib: { head: 'MiB/s', digits: 0 },
    cpuPerGiB: { head: 'CPU s/GiB', digits: 2 },
    peakMiB: { head: 'most RSS, MiB', digits: 0 },
    ...CORES,
  },
  bytes: {
    plain: { head: 'JSON', digits: 1 },
    bodyIn: { head: 'to the hub: body', digits: 1 },
    shareIn: { head: '% of JSON', digits: 1 },
    frameIn: { head: 'frame', digits: 1 },
    bodyOut: { head: 'from the hub: body', digits: 1 },
    shareOut: { head: '% of JSON', digits: 1 },
    frameOut: { head: 'frame', digits: 1 },
  },
}

/** Measures, prints tables as Markdown, and writes all figures to a file. What failed is told in the notes. */
export async function benchSockets(options: SocketOptions, pinning: Pinning | undefined, notes: string[], folder: string): Promise<void> {
  const { size, large, messages } = options
  const sheet = {
    name: 'sockets',
    about: 'CPU of the hub, all its threads',
    columns: COLUMNS,
    titles: {
      sequential: `round trips of ${size} B one after the other, from publisher to subscriber`,
      pipelined: `${WINDOW} notifies of ${size} B not confirmed, at most ${BACKLOG.toLocaleString('en-US')} not everywhere; "unacknowledged" is the hub's bound for one socket`,
      large: `random messages of ${(large / MIB).toLocaleString('en-US')} MiB one after the other, from publisher to subscriber`,
      bytes: `bytes of a message, the mean over ${messages.toLocaleString('en-US')}; no proof`,
    },
  }
  await benchScenarios(sheet, rowsOf(options), { options, pinning }, notes, folder)
}
