import { CONTENDERS } from './contenders.ts'
import type { PeerScenario } from './peer-options.ts'
import type { Found } from './place.ts'
import { at, type Columns, type Measured } from './scenarios.ts'

const CORES = {
  serverLoad: { head: 'cores: server', digits: 2 },
  generatorLoad: { head: 'load', digits: 2 },
} as const

/** @param reference what ratios are to */
export function peerColumns(reference: string): Columns<PeerScenario> {
  const beside = `/ ${reference.replace(/ \(.*/, '')}`
  const fanOut = {
    cpu: { head: 'CPU µs/delivery', digits: 3 },
    ratio: { head: beside, digits: 2 },
    perSecond: { head: 'deliveries/s', digits: 0 },
    ...CORES,
  }
  const swept = { cpu: fanOut.cpu, ratio: fanOut.ratio }
  return {
    one: fanOut,
    many: fanOut,
    channels: fanOut,
    ten: fanOut,
    rate: {
      p50: { head: 'p50 ms', digits: 2 },
      p50Ratio: { head: beside, digits: 2 },
      p99: { head: 'p99 ms', digits: 2 },
      p99Ratio: { head: beside, digits: 2 },
      cpu: fanOut.cpu,
      ratio: fanOut.ratio,
      ...CORES,
    },
    post: {
      cpu: { head: 'CPU µs/request', digits: 1 },
      ratio: { head: '/ `node:http`', digits: 2 },
      perSecond: { head: 'requests/s', digits: 0 },
      p50: { head: 'p50 ms', digits: 2 },
      p99: { head: 'p99 ms', digits: 2 },
      ...CORES,
    },
    idle: { kib: { head: 'KiB/connection', digits: 2 } },
    two: {
      perSecond: { head: 'deliveries/s', digits: 0 },
      rateRatio: { head: '/ one process', digits: 2 },
      cpu: fanOut.cpu,
      p50: { head: 'p50 ms', digits: 2 },
      p99: { head: 'p99 ms', digits: 2 },
    },
    subscribers: swept,
    sizes: swept,
  }
}

/** The ratios of every row to the reference in the same table: medians by medians. */
export function comparedWith(rows: readonly Measured[], reference: string): Found[] {
  return rows.map((row) => {
    const to = row.scenario === 'post' ? CONTENDERS['node-http'].title : reference
    const other = rows.find((one) => one.scenario === row.scenario && (row.scenario === 'two' || same(one.of, { ...row.of, server: to })))
    const ratio = (name: string): number => other === undefined ? NaN : at(row.rounds, name) / at(other.rounds, name)
    switch (row.scenario) {
      case 'idle': return {}
      case 'two': return { rateRatio: ratio('perSecond') }
      case 'rate': return { ratio: ratio('cpu'), p50Ratio: ratio('p50'), p99Ratio: ratio('p99') }
      default: return { ratio: ratio('cpu') }
    }
  })
}

const same = (a: Measured['of'], b: Measured['of']): boolean => Object.keys(b).every((name) => a[name] === b[name])

const SUMMED: Readonly<Partial<Record<PeerScenario, string>>> = { one: '1 in flight', many: '64 in flight', channels: 'one channel each', ten: '10 subscribers' }

/** One table of the fan-outs, with ratios in brackets; nothing when none was measured. */
export function summaryOf(rows: readonly Measured[], reference: string): string {
  const scenarios = Object.entries(SUMMED).filter(([name]) => rows.some(({ scenario }) => scenario === name))
  if (scenarios.length === 0) return ''
  const servers = [...new Set(rows.filter(({ scenario }) => scenario in SUMMED).map(({ of }) => of['server'] as string))]
  const cell = (scenario: string, server: string): string => {
    const rounds = rows.find((row) => row.scenario === scenario && row.of['server'] === server)?.rounds ?? []
    const [cpu, ratio] = [at(rounds, 'cpu'), at(rounds, 'ratio')]
    return Number.isNaN(cpu) ? '' : `${cpu.toPrecision(3)}${Number.isNaN(ratio) ? '' : ` (${ratio.toFixed(2)})`}`
  }
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`
  return `CPU µs for each delivery, in brackets the ratio to ${reference}:\n\n` +
    line(['server', ...scenarios.map(([, head]) => head)]) + line(['---', ...scenarios.map(() => '---')]) +
    servers.map((server) => line([server, ...scenarios.map(([name]) => cell(name, server))])).join('')
}
