import type { LinkOptions, LinkScenario } from './link-options.ts'
import { rowsOf } from './link-rows.ts'
import type { Pinning } from './machine.ts'
import { openFiles } from './machine.ts'
import { benchScenarios, type Columns } from './scenarios.ts'

/** Files that a process has open beside its links, with some to spare. */
const SPARE_FILES = 200
const CORES = {
  serverLoad: { head: 'cores: hub', digits: 2 },
  generatorLoad: { head: 'load', digits: 2 },
} as const
const BOTH = {
  rawCpu: { head: 'raw: CPU µs', digits: 2 },
  cpuMicroseconds: { head: 'link: CPU µs', digits: 2 },
  cpuRatio: { head: 'ratio', digits: 2 },
} as const

const COLUMNS: Columns<LinkScenario> = {
  one: {
    rawPerSecond: { head: 'raw: messages/s', digits: 0 },
    perSecond: { head: 'link: messages/s', digits: 0 },
    rateRatio: { head: 'ratio', digits: 2 },
    rawMib: { head: 'raw: MiB/s', digits: 0 },
    mib: { head: 'link: MiB/s', digits: 0 },
    ...BOTH,
    ...CORES,
  },
  many: {
    rawPerSecond: { head: 'raw: deliveries/s', digits: 0 },
    perSecond: { head: 'links: deliveries/s', digits: 0 },
    rateRatio: { head: 'ratio', digits: 2 },
    ...BOTH,
    ...CORES,
  },
}

/** Measures, prints tables as Markdown, and writes all figures to a file. What failed is told in the notes. */
export async function benchLinks(options: LinkOptions, pinning: Pinning | undefined, notes: string[], folder: string): Promise<void> {
  const { size, window, links, together } = options
  const room = openFiles() - SPARE_FILES
  if (options.only.includes('many') && links > room) throw new Error(`--links ${links} needs more open files than a process may have here (ulimit -n)`)
  const sheet = {
    name: 'links',
    about: 'CPU of the giving process for one message and taker; TLS 1.3; raw: node:tls writing bytes that were made beforehand',
    columns: COLUMNS,
    titles: {
      one: `messages of ${size} B over one link, ${(window / 1_024).toLocaleString('en-US')} KiB under way`,
      many: `messages of ${size} B to every link, ${together} under way`,
    },
  }
  await benchScenarios(sheet, rowsOf(options), { options, pinning }, notes, folder)
}
