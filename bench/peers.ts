import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { CONTENDERS, type Contender, type ContenderName } from './contenders.ts'
import { ownGenerator, wsload, type Generator } from './generator.ts'
import { openFiles, type Pinning } from './machine.ts'
import { nginx } from './nginx.ts'
import { plotOf } from './peer-plot.ts'
import type { PeerOptions, PeerScenario } from './peer-options.ts'
import { measureFanOut, rowsOf, titles, type Field } from './peer-rows.ts'
import { comparedWith, peerColumns, summaryOf } from './peer-tables.ts'
import type { Found } from './place.ts'
import { benchScenarios } from './scenarios.ts'
import { withSection } from './section.ts'
import { buildTools, type Tools } from './tools.ts'

const DOCUMENT = fileURLToPath(new URL('../docs/performance.md', import.meta.url))
const PLOT = fileURLToPath(new URL('../docs/performance.svg', import.meta.url))
/** Files that a process has open beside its connections, with some to spare. */
const SPARE_FILES = 200
/** nginx has two for each connection that it hands on. */
const MOST_FILES = 65_536
const SLOWER = [100, 50, 20]
/** What is left of a core so that latencies are those of the work and not of a queue. */
const FREE_ENOUGH = 0.6
/** Of what was sent: on a busy machine a server is behind though it had little of its core. */
const KEPT_UP = 0.95

/** Measures everybody who is there, prints tables as Markdown, and writes figures, plot and documents. */
export async function benchPeers(options: PeerOptions, pinning: Pinning | undefined, notes: string[], folder: string): Promise<void> {
  using tools = buildTools(options.tools)
  notes.push(...tools.notes)
  const generator = generatorOf(tools, pinning)
  const files = Math.min(openFiles(), MOST_FILES)
  const there = whoIsThere(options, tools, generator, notes)
  const reference = there.includes('floor') ? 'floor' : 'ws-loop'
  const bare = { options, tools, generator, generatorAnywhere: generatorOf(tools, undefined), there, files, idle: idleOf(options, files, notes), rate: options.rate }
  const field: Field = options.only.includes('rate') ? { ...bare, rate: await rateOf(bare, reference, pinning, notes) } : bare
  const rows = rowsOf(field)
  const { text, rows: measured, file } = await benchScenarios<PeerScenario, PeerOptions>({
    name: 'peers',
    about: 'CPU of the server alone, each on a core of its own and the load on the other',
    columns: peerColumns(CONTENDERS[reference].title),
    titles: titles(field),
    order: 'alternating',
    compared: (all) => comparedWith(all, CONTENDERS[reference].title),
    versions: { load: generator.name, ...programVersions(there) },
  }, withoutNginx(rows, notes), { options, pinning }, notes, folder)
  const summary = summaryOf(measured, CONTENDERS[reference].title)
  process.stdout.write(`\n${summary}`)
  const plot = plotOf(measured)
  const drawn = file.replace(/\.json$/, '.svg')
  if (plot !== undefined) writeFileSync(drawn, plot)
  if (options.docs === 'left') return
  writeFileSync(DOCUMENT, withSection(readFileSync(DOCUMENT, 'utf8'), 'peers', `${summary}\n${text}`))
  if (plot !== undefined) copyFileSync(drawn, PLOT)
}

export function generatorOf({ wsload: program }: Pick<Tools, 'wsload'>, pinning: Pinning | undefined): Generator {
  return program === undefined ? ownGenerator(pinning) : wsload(program, pinning)
}

function programVersions(there: readonly ContenderName[]): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of there) {
    const version = (CONTENDERS[name] as Contender).version?.()
    if (version !== undefined) found[name] = version
  }
  return found
}

/** Of those that were asked for. */
function whoIsThere({ servers }: PeerOptions, tools: Tools, generator: Generator, notes: string[]): ContenderName[] {
  return servers.filter((name) => {
    const contender: Contender = CONTENDERS[name]
    const why = contender.absent?.({ tools }) ?? (generator.speaks(contender) ? undefined : 'only wsload speaks its protocol')
    if (why !== undefined) notes.push(`${contender.title.replace(/ \(.*/, '')} is not measured: ${why}.`)
    return why === undefined
  })
}

function withoutNginx<R extends { readonly scenario: PeerScenario; readonly of: Readonly<Record<string, string | number>> }>(rows: readonly R[], notes: string[]): R[] {
  if (!rows.some(({ scenario }) => scenario === 'two') || nginx() !== undefined) return [...rows]
  notes.push('Two hubs behind nginx are not measured: nginx is not installed.')
  return rows.filter(({ scenario }) => scenario !== 'two')
}

/** As many idle connections as files may be open. @throws {Error} when not even the subscribers have room */
function idleOf({ idle, subscribers }: PeerOptions, files: number, notes: string[]): number {
  const room = files - SPARE_FILES
  if (2 * subscribers > room) throw new Error(`--subscribers ${subscribers} needs more open files than the ${files} that a process may have here (ulimit -n)`)
  if (idle <= room) return idle
  notes.push(`Only ${room} idle connections instead of ${idle}: a process may have ${files} open files here (ulimit -n).`)
  return room
}

/** The rate that the reference has room for, told in the notes where it is not the one that was asked for. */
async function rateOf(field: Field, reference: ContenderName, pinning: Pinning | undefined, notes: string[]): Promise<number> {
  const { options, there } = field
  if (!there.includes(reference)) return options.rate
  const rate = await rateWithRoom(options.rate, options.subscribers, (one) => {
    process.stderr.write(`is there room for ${one} messages/s?\n`)
    return measureFanOut(field, reference, { subscribers: options.subscribers, channels: 1, size: options.size, rate: one }, 'writes each', { options, pinning })
  })
  if (rate !== options.rate) notes.push(`${rate} messages/s instead of ${options.rate}: at more, the ${CONTENDERS[reference].title} is busy for more than ${FREE_ENOUGH * 100} % of its core here, or does not keep up.`)
  return rate
}

/**
 * @param measure the reference at a rate; that it fails is no room either
 * @returns the highest of the wanted rate and those below it at which enough of the core is free, or else the lowest
 */
export async function rateWithRoom(wanted: number, subscribers: number, measure: (rate: number) => Promise<Found>): Promise<number> {
  const rates = [wanted, ...SLOWER.filter((rate) => rate < wanted)]
  for (const rate of rates) {
    const { serverLoad = Infinity, perSecond = 0 } = await measure(rate).catch((): Found => ({}))
    if (serverLoad <= FREE_ENOUGH && perSecond >= KEPT_UP * rate * subscribers) return rate
  }
  return rates.at(-1) as number
}
