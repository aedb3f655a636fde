import { mkdirSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeMachine, openFiles, pinning, versions, type Pinning } from './machine.ts'
import { parseGateOptions } from './gate-options.ts'
import { runGate } from './gate.ts'
import { parseKeyOptions } from './key-options.ts'
import { benchKeys } from './keys.ts'
import { parseLinkOptions } from './link-options.ts'
import { benchLinks } from './links.ts'
import { measure, type Measurement } from './measure.ts'
import { parseOptions, type BenchOptions } from './options.ts'
import { NODE_FLAGS } from './processes.ts'
import { parsePeerOptions } from './peer-options.ts'
import { benchPeers } from './peers.ts'
import { ROWS } from './rows.ts'
import { parseServiceOptions } from './service-options.ts'
import { benchServices } from './services.ts'
import { parseSocketOptions } from './socket-options.ts'
import { benchSockets } from './sockets.ts'
import { median, medians, ratios, renderTable, type RowFigures } from './table.ts'
import { parseWebhookOptions } from './webhook-options.ts'
import { benchWebhooks } from './webhooks.ts'

const SERVERS = { ours: 'hub.ts', peer: 'peers/ws-loop.ts' } as const
/** Files that a server has open beside its connections, with some to spare. */
const SPARE_FILES = 200
const RESULTS = fileURLToPath(new URL('results/', import.meta.url))

// `--peers` is another way to say `peers`, wherever it stands.
const given = process.argv.slice(2)
const args = given.includes('--peers') ? ['peers', ...given.filter((arg) => arg !== '--peers')] : given
const parsed = startableOf(args[0], args.slice(1))
if ('help' in parsed) process.stdout.write(parsed.help)
else if ('problems' in parsed) {
  for (const problem of parsed.problems) process.stderr.write(`bench: ${problem}\n`)
  process.stderr.write(`bench: "${helpOf(args[0])}" lists the options\n`)
  process.exitCode = 2
} else {
  try {
    await parsed.start()
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n`)
    process.exitCode = 1
  }
}

function startableOf(name: string | undefined, others: readonly string[]): ReturnType<typeof startable> {
  switch (name) {
    case 'webhooks': return startable(parseWebhookOptions(others), (options) => withPinning((pinned, notes) => benchWebhooks(options, pinned, notes, RESULTS)))
    case 'sockets': return startable(parseSocketOptions(others), (options) => withPinning((pinned, notes) => benchSockets(options, pinned, notes, RESULTS)))
    case 'keys': return startable(parseKeyOptions(others), (options) => withPinning((pinned, notes) => benchKeys(options, pinned, notes, RESULTS)))
    case 'links': return startable(parseLinkOptions(others), (options) => withPinning((pinned, notes) => benchLinks(options, pinned, notes, RESULTS)))
    case 'peers': return startable(parsePeerOptions(others), (options) => withPinning((pinned, notes) => benchPeers(options, pinned, notes, RESULTS)))
    case 'gate': return startable(parseGateOptions(others), (options) => withPinning((pinned, notes) => runGate(options, pinned, notes)))
    case 'services': return startable(parseServiceOptions(others), (options) => withPinning((pinned, notes) => benchServices(options, pinned, notes, RESULTS)))
    default: return startable(parseOptions(args), bench)
  }
}

function helpOf(name: string | undefined): string {
  if (name === 'gate') return 'npm run bench:gate -- --help'
  const isOne = name !== undefined && ['webhooks', 'sockets', 'keys', 'links', 'peers', 'services'].includes(name)
  return `npm run bench -- ${isOne ? `${name} ` : ''}--help`
}

function startable<T extends object>(options: T | { help: string } | { problems: string[] }, start: (options: T) => Promise<void>): { start(): Promise<void> } | { help: string } | { problems: string[] } {
  return 'help' in options || 'problems' in options ? options : { start: () => start(options) }
}

/** Tells where server and load run. */
function withPinning<T>(run: (pinned: Pinning | undefined, notes: string[]) => T): T {
  const cores = pinning()
  const pinned = typeof cores === 'string' ? undefined : cores
  return run(pinned, [pinned === undefined
    ? `Server and load are not pinned to cores, because ${cores as string}: they may get in each other's way.`
    : `The server is pinned to core ${pinned.server}, the load to core ${pinned.load}.`])
}

async function bench(wanted: BenchOptions): Promise<void> {
  const notes: string[] = []
  const options = withinOpenFiles(wanted, notes)
  const pinned = withPinning((cores, [note = '']) => {
    notes.push(note)
    return cores
  })

  const profiled = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`]
  const all = new Map(options.rows.map((name) => [name, { ours: [] as Measurement[], peer: [] as Measurement[] }]))
  for (let round = 1; round <= options.rounds; round++) {
    for (const [name, figures] of all) {
      // In turns, and the other one first each time, so that what drifts falls on both.
      for (const who of round % 2 === 1 ? ['ours', 'peer'] as const : ['peer', 'ours'] as const) {
        process.stderr.write(`round ${round} of ${options.rounds}: ${name}, ${who === 'ours' ? 'Waystation' : 'ws loop'}\n`)
        figures[who].push(await measure(SERVERS[who], ROWS[name].task(options), pinned, [...NODE_FLAGS, ...(who === 'ours' ? profiled : [])]))
      }
    }
  }
  const rows = [...all].map(([name, { ours, peer }]): RowFigures & { name: string } => ({ name, title: ROWS[name].title(options), ours, peer }))
  notes.push(...doubts(rows))
  print(rows, options, notes)
  save(rows, options, notes)
}

/** Each idle connection is an open file of the server and one of the load. */
function withinOpenFiles(options: BenchOptions, notes: string[]): BenchOptions {
  const limit = openFiles()
  const room = limit - SPARE_FILES
  if (options.rows.some((name) => name !== 'idle' && name !== 'post') && options.subscribers > room) {
    throw new Error(`--subscribers ${options.subscribers} needs more open files than the ${limit} that a process may have here (ulimit -n)`)
  }
  if (!options.rows.includes('idle') || options.idle <= room) return options
  if (room < 1) throw new Error(`a process may have only ${limit} open files here (ulimit -n): too few for idle connections`)
  notes.push(`Only ${room} idle connections instead of ${options.idle}: a process may have ${limit} open files here (ulimit -n).`)
  return { ...options, idle: room }
}

/** What a reader of the table has to know to trust it. */
function doubts(rows: readonly RowFigures[]): string[] {
  const every = rows.flatMap(({ ours, peer }) => [...ours, ...peer])
  const elsewhere = median(every.map((one) => one.elsewhere))
  const held = rows.filter(({ ours }) => median(ours.map((one) => one.generatorLoad)) > 0.95 && median(ours.map((one) => one.serverLoad)) < 0.9)
  return [
    ...(elsewhere < 0.1 ? [] : [`Something else used ${elsewhere.toFixed(1)} cores meanwhile: rates and latencies are too bad, CPU and ratios hold better.`]),
    ...held.map(({ title }) => `${title}: the load generator was at its limit before Waystation was; its rate is the generator's.`),
  ]
}

function print(rows: readonly RowFigures[], options: BenchOptions, notes: readonly string[]): void {
  const { cpu, cores, system } = describeMachine()
  const { waystation, node, ws } = versions()
  process.stdout.write(
    `Waystation ${waystation} beside a plain broadcast loop over ws ${ws}; Node ${node}, ${cpu}, ${cores} cores, ${system}\n` +
    `${options.rounds} round${options.rounds === 1 ? '' : 's'} of ${options.seconds} s, CPU of the server alone\n\n` +
    `${renderTable(rows)}\n${notes.join('\n')}\n`,
  )
}

function save(rows: readonly (RowFigures & { name: string })[], options: BenchOptions, notes: readonly string[]): void {
  const at = new Date().toISOString()
  const folder = options.results === undefined ? RESULTS : resolve(options.results)
  const file = join(folder, `${at.replaceAll(':', '-')}.json`)
  const results = rows.map((row) => {
    const [ours, peer] = [medians(row.ours), medians(row.peer)]
    return { name: row.name, title: row.title, medians: { ours, peer, ratio: ratios(ours, peer) }, rounds: { ours: row.ours, peer: row.peer } }
  })
  mkdirSync(folder, { recursive: true })
  writeFileSync(file, `${JSON.stringify({ at, versions: versions(), machine: describeMachine(), options, notes, rows: results }, null, 2)}\n`)
  process.stdout.write(`All figures: ${relative(process.cwd(), file)}\n`)
}
