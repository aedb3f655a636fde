/* The parts of the documents that come from tables in the source. */
import { ERRORS } from '../src/core/errors.ts'
import { LIMITS } from '../src/core/limits.ts'
import { METRICS } from '../src/server/metrics.ts'
import { envName, flagName, OPTIONS } from '../src/server/options.ts'
import { defaultText } from '../src/cli/command.ts'

type Row = readonly string[]

function table(head: Row, rows: readonly Row[]): string {
  const line = (cells: Row): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

const code = (text: string): string => `\`${text}\``

/** By the name that stands in a document's markers: `<!-- table: options -->` … `<!-- end -->`. */
export const TABLES: Readonly<Record<string, () => string>> = {
  options: () => table(['key', 'flag', 'environment', 'default', 'what it is'], Object.entries(OPTIONS)
    .filter(([name]) => !(name in LIMITS))
    .map(([name, option]) => [code(name), code(`--${flagName(name)} ${option.value}`), code(envName(name)), defaultText(option), option.help])),
  limits: () => table(['key', 'flag', 'default', 'least', 'unit', 'why'], Object.entries(LIMITS)
    .map(([name, limit]) => [code(name), code(`--${flagName(name)}`), limit.default.toLocaleString('en'), limit.min.toLocaleString('en'), limit.unit, limit.reason])),
  errors: () => table(['code', 'HTTP status', 'what it means'], Object.entries(ERRORS)
    .map(([name, error]) => [code(name), String(error.status), error.text])),
  metrics: () => table(['metric', 'type', 'label', 'what it is'], Object.entries(METRICS)
    .map(([name, metric]) => [code(name), metric.type, 'label' in metric ? code(metric.label) : '', metric.help])),
}

const MARKED = /<!-- table: (\w+) -->\n[\s\S]*?<!-- end -->/g

/** A document with its tables made anew. @throws {Error} when it names a table that is not there */
export function withTables(document: string): string {
  return document.replace(MARKED, (_, name: string) => {
    const make = TABLES[name]
    if (make === undefined) throw new Error(`there is no table "${name}"`)
    return `<!-- table: ${name} -->\n${make()}\n<!-- end -->`
  })
}

/** The tables that a document holds. */
export function tablesIn(document: string): string[] {
  return [...document.matchAll(MARKED)].map((match) => match[1] as string)
}
