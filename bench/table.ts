import type { Figures, Measurement } from './measure.ts'

/** The figures of one row: every round of both servers. */
export interface RowFigures {
  readonly title: string
  readonly ours: readonly Measurement[]
  readonly peer: readonly Measurement[]
}

export const COLUMNS = {
  perSecond: { head: 'deliveries/s', digits: 0 },
  cpu: { head: 'CPU s/million', digits: 3 },
  p50: { head: 'p50 ms', digits: 2 },
  p99: { head: 'p99 ms', digits: 2 },
  kib: { head: 'KiB/connection', digits: 2 },
} as const satisfies Record<keyof Figures, { head: string; digits: number }>

type Column = keyof typeof COLUMNS
const NAMES = Object.keys(COLUMNS) as Column[]
const FIRST = 22

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  if (sorted.length % 2 === 1) return sorted[Math.floor(middle)] as number
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/** The median of each figure over the rounds. */
export function medians(rounds: readonly Measurement[]): Figures {
  return Object.fromEntries(NAMES.flatMap((name) => {
    const values = rounds.map((round) => round[name]).filter((value) => value !== undefined)
    return values.length === 0 ? [] : [[name, median(values)]]
  }))
}

/** Ours divided by the peer's: above 1 is better for deliveries, below 1 for all else. */
export function ratios(ours: Figures, peer: Figures): Figures {
  return Object.fromEntries(NAMES.flatMap((name) => {
    const [a, b] = [ours[name], peer[name]]
    return a === undefined || b === undefined ? [] : [[name, a / b]]
  }))
}

export function renderTable(rows: readonly RowFigures[]): string {
  const lines = ['Medians'.padEnd(FIRST) + NAMES.map((name) => COLUMNS[name].head.padStart(16)).join('')]
  for (const { title, ours, peer } of rows) {
    const [mine, theirs] = [medians(ours), medians(peer)]
    lines.push('', title)
    lines.push(line('  Waystation', mine), line('  ws loop', theirs), line('  Waystation / ws loop', ratios(mine, theirs), 2))
  }
  return `${lines.join('\n')}\n`
}

function line(name: string, figures: Figures, digits?: number): string {
  return name.padEnd(FIRST) + NAMES.map((column) => {
    const value = figures[column]
    const places = digits ?? COLUMNS[column].digits
    return (value === undefined ? '' : value.toLocaleString('en-US', { minimumFractionDigits: places, maximumFractionDigits: places })).padStart(16)
  }).join('').trimEnd()
}
