import { mkdirSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { describeMachine, versions, type Pinning } from './machine.ts'
import { median } from './table.ts'
import type { ScenarioName, WebhookOptions } from './webhook-options.ts'
import { rowsOf, type Found, type WebhookRow } from './webhook-rows.ts'

interface Column {
  readonly head: string
  readonly digits: number
}

/** The columns of each table, in order: what is found, and how it is shown. */
const COLUMNS: Readonly<Record<ScenarioName, Readonly<Record<string, Column>>>> = {
  notify: {
    notifies: { head: 'notify/s', digits: 0 },
    webhooks: { head: 'webhooks/s', digits: 0 },
    cpuPerWebhook: { head: 'CPU µs/webhook', digits: 0 },
    cpuPerNotify: { head: 'CPU µs/notify', digits: 0 },
    p50: { head: 'answer p50 ms', digits: 1 },
    p99: { head: 'p99 ms', digits: 1 },
    serverLoad: { head: 'cores: hub', digits: 2 },
    generatorLoad: { head: 'load', digits: 2 },
  },
  hanging: {
    aloneP50: { head: 'alone p50 ms', digits: 1 },
    aloneP99: { head: 'p99 ms', digits: 1 },
    besideP50: { head: 'half hang: p50 ms', digits: 1 },
    besideP99: { head: 'p99 ms', digits: 1 },
    ratio: { head: 'p99 / p99 alone', digits: 2 },
  },
  huge: {
    inMiB: { head: 'MiB/s in', digits: 0 },
    outMiB: { head: 'MiB/s out', digits: 0 },
    peakMiB: { head: 'most RSS, MiB', digits: 0 },
    cpuPerGiB: { head: 'CPU s/GiB', digits: 2 },
    left: { head: 'spool files after', digits: 0 },
    leftHalfSent: { head: 'killed while taking in', digits: 0 },
    leftHalfTaken: { head: 'killed while delivering', digits: 0 },
  },
}

type Measured = WebhookRow & { readonly rounds: Found[] }

/** Measures, prints tables as Markdown, and writes all figures to a file. What failed is told in the notes. */
export async function benchWebhooks(options: WebhookOptions, pinning: Pinning | undefined, notes: string[], folder: string): Promise<void> {
  const rows: Measured[] = rowsOf(options).map((row) => ({ ...row, rounds: [] }))
  for (let round = 1; round <= options.rounds; round++) {
    for (const row of rows) {
      process.stderr.write(`round ${round} of ${options.rounds}: ${nameOf(row)}\n`)
      try {
        row.rounds.push(await row.measure({ options, pinning }))
      } catch (error) {
        // The other rows are worth as much as before.
        notes.push(`${nameOf(row)}, round ${round}, failed and is not counted: ${(error as Error).message}`)
        process.exitCode = 1
      }
    }
  }
  notes.push(...doubts(rows))
  print(rows, options, notes)
  save(rows, options, notes, folder)
}

function nameOf({ scenario, of }: WebhookRow): string {
  return `${scenario}, ${Object.entries(of).map((pair) => pair.join(' ')).join(', ')}`
}

function doubts(rows: readonly Measured[]): string[] {
  const all = rows.flatMap(({ rounds }) => rounds.map((found) => found['elsewhere'] ?? 0))
  const elsewhere = all.length === 0 ? 0 : median(all)
  const held = rows.filter(({ rounds }) => at(rounds, 'generatorLoad') > 0.95 && at(rounds, 'serverLoad') < 0.9)
  return [
    ...(elsewhere < 0.1 ? [] : [`Something else used ${elsewhere.toFixed(1)} cores meanwhile: rates and latencies are too bad, CPU holds better.`]),
    ...held.map((row) => `${nameOf(row)}: the load was at its limit before the hub was; its rate is the load's.`),
  ]
}

/** The median over the rounds; NaN for what is not measured. */
function at(rounds: readonly Found[], name: string): number {
  const values = rounds.flatMap((found) => found[name] ?? [])
  return values.length === 0 ? NaN : median(values)
}

function print(rows: readonly Measured[], options: WebhookOptions, notes: readonly string[]): void {
  const { cpu, cores, system } = describeMachine()
  const { waystation, node } = versions()
  const { rounds, seconds, size, healthy, rate, huge } = options
  process.stdout.write(
    `Waystation ${waystation}, Node ${node}, ${cpu}, ${cores} cores, ${system}\n` +
    `Medians of ${rounds} round${rounds === 1 ? '' : 's'} of ${seconds} s; messages of ${size} B; CPU of the hub, all its threads\n`,
  )
  const titles = {
    notify: 'notify (hosts many: each subscriber has a port of its own)',
    hanging: `${healthy} healthy subscribers, alone and beside ${healthy} that hang; ${rate} notifies/s, HMAC both ways; from notify to arrival`,
    huge: `one message of ${(huge / 2 ** 20).toLocaleString('en-US')} MiB to three subscribers`,
  }
  for (const scenario of Object.keys(COLUMNS) as ScenarioName[]) {
    const mine = rows.filter((row) => row.scenario === scenario)
    if (mine.length > 0) process.stdout.write(`\n${titles[scenario]}\n\n${table(mine, COLUMNS[scenario])}`)
  }
  process.stdout.write(`\n${notes.join('\n')}\n`)
}

function table(rows: readonly Measured[], columns: Readonly<Record<string, Column>>): string {
  const heads = [...Object.keys(rows[0]?.of ?? {}), ...Object.values(columns).map(({ head }) => head)]
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`
  return line(heads) + line(heads.map(() => '---')) + rows.map(({ of, rounds }) => line([
    ...Object.values(of).map((value) => value.toLocaleString('en-US')),
    ...Object.entries(columns).map(([name, { digits }]) => shown(at(rounds, name), digits)),
  ])).join('')
}

function shown(value: number, digits: number): string {
  return Number.isNaN(value) ? '' : value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

function save(rows: readonly Measured[], options: WebhookOptions, notes: readonly string[], folder: string): void {
  const when = new Date().toISOString()
  const file = join(resolve(options.results ?? folder), `webhooks-${when.replaceAll(':', '-')}.json`)
  const results = rows.map(({ scenario, of, rounds }) => ({
    scenario, of, rounds,
    medians: Object.fromEntries(Object.keys(rounds[0] ?? {}).map((name) => [name, at(rounds, name)])),
  }))
  mkdirSync(resolve(options.results ?? folder), { recursive: true })
  writeFileSync(file, `${JSON.stringify({ at: when, versions: versions(), machine: describeMachine(), options, notes, rows: results }, null, 2)}\n`)
  process.stdout.write(`All figures: ${relative(process.cwd(), file)}\n`)
}
