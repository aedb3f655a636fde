import { renderPlot, type Panel, type Series } from './plot.ts'
import { at, type Measured } from './scenarios.ts'

const KIB = 1024

/** The price of a delivery against subscribers and size; nothing when neither was measured. */
export function plotOf(rows: readonly Measured[]): string | undefined {
  const panels: Panel[] = [
    { title: 'CPU for each delivery, against subscribers', x: 'subscribers of one channel', y: 'CPU µs', label: (x) => x.toLocaleString('en-US'), series: seriesOf(rows, 'subscribers', 'subscribers') },
    { title: 'CPU for each delivery, against size', x: 'size of a message', y: 'CPU µs', label: sizeLabel, series: seriesOf(rows, 'sizes', 'bytes') },
  ]
  const drawn = panels.filter(({ series }) => series.length > 0)
  return drawn.length === 0 ? undefined : renderPlot('What a delivery costs, one message in flight', drawn)
}

/** The largest of the sweep is 64 KiB but for its header. */
function sizeLabel(bytes: number): string {
  return bytes < KIB ? `${bytes} B` : `${Math.round(bytes / KIB)} KiB`
}

function seriesOf(rows: readonly Measured[], scenario: string, x: string): Series[] {
  const mine = rows.filter((row) => row.scenario === scenario)
  return [...Map.groupBy(mine, ({ of }) => String(of['server']).replaceAll('`', ''))].map(([name, those]) => ({
    name,
    points: those.map(({ of, rounds }) => [of[x] as number, at(rounds, 'cpu')] as const),
  }))
}
