import { mkdirSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { describeMachine, versions } from './machine.ts'
import type { Found, Place } from './place.ts'
import type { ScenarioOptions } from './scenario-options.ts'
import { median } from './table.ts'

export interface Row<S extends string, O> {
  readonly scenario: S
  /** What is varied, in the first columns of its table. */
  readonly of: Readonly<Record<string, string | number>>
  measure(place: Place<O>): Promise<Found>
}

interface Column {
  readonly head: string
  readonly digits: number
}

/** The columns of each scenario's table, in order: what is found, and how it is shown. */
export type Columns<S extends string> = Readonly<Record<S, Readonly<Record<string, Column>>>>

/** How a run is shown. */
export interface Sheet<S extends string> {
  /** Begins the name of the file with all figures. */
  readonly name: string
  /** Behind how often and how long it was measured. */
  readonly about: string
  readonly columns: Columns<S>
  readonly titles: Readonly<Record<S, string>>
  /** Every other round goes backwards, so that what drifts falls on all rows. */
  readonly order?: 'alternating'
  /** What is found by comparing rows, one figure for each row and name. */
  readonly compared?: (rows: readonly Measured[]) => readonly Found[]
  /** Of programs that are measured and are no part of this one. */
  readonly versions?: Readonly<Record<string, string>>
}

/** What a run has shown, as it was printed, and all its figures. */
export interface Shown {
  readonly text: string
  readonly rows: readonly Measured[]
  /** The file with all figures. */
  readonly file: string
}

export type Measured = Named & { readonly rounds: Found[] }
type Named = Pick<Row<string, never>, 'scenario' | 'of'>

/** Measures all rows, round by round, prints tables as Markdown, and writes all figures to a file. What failed is told in the notes. */
export async function benchScenarios<S extends string, O extends ScenarioOptions<S>>(
  sheet: Sheet<S>, all: readonly Row<S, O>[], place: Place<O>, notes: string[], folder: string,
): Promise<Shown> {
  const { options } = place
  const rows = (options.rows === 'ends' ? endsOf(all) : all).map((row) => ({ ...row, rounds: [] as Found[] }))
  for (let round = 1; round <= options.rounds; round++) {
    for (const row of sheet.order === 'alternating' && round % 2 === 0 ? rows.toReversed() : rows) {
      process.stderr.write(`round ${round} of ${options.rounds}: ${nameOf(row)}\n`)
      try {
        row.rounds.push(await row.measure(place))
      } catch (error) {
        // The other rows are worth as much as before.
        notes.push(`${nameOf(row)}, round ${round}, failed and is not counted: ${(error as Error).message}`)
        process.exitCode = 1
      }
    }
  }
  for (const [i, found] of (sheet.compared?.(rows) ?? []).entries()) {
    const row = rows[i] as Measured
    row.rounds.splice(0, Infinity, ...row.rounds.map((one) => ({ ...one, ...found })))
  }
  notes.push(...doubts(rows))
  const text = textOf(sheet, rows, options, notes)
  process.stdout.write(text)
  return { text, rows, file: save(sheet, rows, options, notes, folder) }
}

/** The first and the last of each scenario. */
function endsOf<R extends Named>(all: readonly R[]): R[] {
  return [...Map.groupBy(all, ({ scenario }) => scenario).values()].flatMap((rows) => rows.filter((_, i) => i === 0 || i === rows.length - 1))
}

function nameOf({ scenario, of }: Named): string {
  return `${scenario}, ${Object.entries(of).map((pair) => pair.join(' ')).join(', ')}`
}

function doubts(rows: readonly Measured[]): string[] {
  const all = rows.flatMap(({ rounds }) => rounds.flatMap((found) => found['elsewhere'] ?? []))
  const elsewhere = all.length === 0 ? 0 : median(all)
  const held = rows.filter(({ rounds }) => at(rounds, 'generatorLoad') > 0.95 && at(rounds, 'serverLoad') < 0.9)
  return [
    ...(elsewhere < 0.1 ? [] : [`Something else used ${elsewhere.toFixed(1)} cores meanwhile: rates and latencies are too bad, CPU holds better.`]),
    ...held.map((row) => `${nameOf(row)}: the load was at its limit before the hub was; its rate is the load's.`),
  ]
}

/** The median over the rounds; NaN for what is not measured. */
export function at(rounds: readonly Found[], name: string): number {
  const values = rounds.flatMap((found) => found[name] ?? [])
  return values.length === 0 ? NaN : median(values)
}

function textOf<S extends string>({ about, columns, titles }: Sheet<S>, rows: readonly Measured[], { rounds, seconds }: ScenarioOptions<S>, notes: readonly string[]): string {
  const { cpu, cores, system } = describeMachine()
  const { waystation, node } = versions()
  const tables = (Object.keys(columns) as S[]).map((scenario) => {
    const mine = rows.filter((row) => row.scenario === scenario)
    return mine.length === 0 ? '' : `\n${titles[scenario]}\n\n${table(mine, columns[scenario])}`
  })
  return `Waystation ${waystation}, Node ${node}, ${cpu}, ${cores} cores, ${system}\n` +
    `Medians of ${rounds} round${rounds === 1 ? '' : 's'} of ${seconds} s; ${about}\n${tables.join('')}\n${notes.join('\n')}\n`
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

function save<S extends string>({ name, versions: programs }: Sheet<S>, rows: readonly Measured[], options: ScenarioOptions<S>, notes: readonly string[], folder: string): string {
  const when = new Date().toISOString()
  const file = join(resolve(options.results ?? folder), `${name}-${when.replaceAll(':', '-')}.json`)
  const results = rows.map(({ scenario, of, rounds }) => ({
    scenario, of, rounds,
    medians: Object.fromEntries(Object.keys(rounds[0] ?? {}).map((found) => [found, at(rounds, found)])),
  }))
  mkdirSync(resolve(options.results ?? folder), { recursive: true })
  writeFileSync(file, `${JSON.stringify({ at: when, versions: { ...versions(), ...programs }, machine: describeMachine(), options, notes, rows: results }, null, 2)}\n`)
  process.stdout.write(`All figures: ${relative(process.cwd(), file)}\n`)
  return file
}
