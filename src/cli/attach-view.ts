import type { Snapshot } from '../server/control-messages.ts'
import { fitted } from './printable.ts'
import { total } from './status.ts'

/** What there is to draw on. */
export interface Screen {
  readonly columns: number
  readonly rows: number
  readonly colour: 'yes' | 'no'
}

type Style = 'plain' | 'strong' | 'faint' | 'alarm'
type Line = readonly [text: string, style?: Style]

const CODES: Readonly<Record<Style, string>> = { plain: '', strong: '\x1b[1m', faint: '\x1b[2m', alarm: '\x1b[31m' }
/** Rows of the log that stay in sight when topics are many. */
const LEAST_LOG = 5

/**
 * A snapshot as lines for a terminal: no more of them than there are rows, none wider than there are columns, and nothing
 * in them that a terminal would obey but our own colours.
 */
export function drawSnapshot(snapshot: Snapshot, screen: Screen): string[] {
  const head = headOf(snapshot)
  const left = Math.max(screen.rows - head.length - 4, 0)
  const logRows = Math.min(snapshot.log.length, Math.max(left - snapshot.topics.length, LEAST_LOG))
  const topics = snapshot.topics.slice(0, Math.max(left - logRows, 0))
  const lines: Line[] = [
    ...head,
    [''],
    [columnsOf('MSG/S', 'SUBSCRIBERS', snapshot.rates === null ? 'TOPIC (not counted yet)' : snapshot.topics.length === 0 ? 'TOPIC (nothing is published)' : 'TOPIC'), 'faint'],
    ...topics.map(({ topic, rate, subscribers }): Line => [columnsOf(rate.toFixed(1), String(subscribers), topic)]),
    [''],
    ['LOG', 'faint'],
    ...(logRows === 0 ? [] : snapshot.log.slice(-logRows)).map(logLine),
  ]
  return lines.slice(0, screen.rows).map(([text, style = 'plain']) => {
    const fits = fitted(text, screen.columns)
    return screen.colour === 'yes' && style !== 'plain' ? `${CODES[style]}${fits}\x1b[0m` : fits
  })
}

function headOf({ address, version, pid, since, time, stopping, connections, rates, webhooks, database, links = [], services = [] }: Snapshot): Line[] {
  const each = Object.entries(connections).map(([transport, count]) => `${transport} ${count}`).join('  ')
  const down = links.filter(({ state }) => state === 'down')
  return [
    [`Waystation ${version} on ${address ?? 'no address yet'}${stopping ? ', stopping' : ''}`, stopping ? 'alarm' : 'strong'],
    [`pid ${pid}  up ${duration(Date.parse(time) - Date.parse(since))}  database ${database}`, database === 'unavailable' ? 'alarm' : 'plain'],
    [`connections  ${total(connections)}${each === '' ? '' : `  (${each})`}`],
    [`messages/s   in ${rates === null ? '-' : rates.in.toFixed(1)}  out ${rates === null ? '-' : rates.out.toFixed(1)}`],
    [`webhooks     registered ${webhooks.registrations}  running ${webhooks.running}  waiting ${webhooks.waiting}`],
    ...services.filter(({ workers, down = [] }) => workers > 0 || down.length > 0).map(({ name, workers, running, waiting, down = [] }): Line => [`service      ${name}  ${workers} ${workers === 1 ? 'worker' : 'workers'}  ${running} running  ${waiting} waiting${down.map((one) => `  ${one}`).join('')}`, down.length > 0 ? 'alarm' : 'plain']),
    // A hub that is older than this command says nothing of links.
    ...(links.length === 0 ? [] : [[`links        ${links.length - down.length} of ${links.length} up${down.map(({ name, why = '' }) => `  ${name}: ${why}`).join('')}`, down.length > 0 ? 'alarm' : 'plain'] satisfies Line]),
  ]
}

function columnsOf(rate: string, subscribers: string, topic: string): string {
  return `${rate.padStart(10)}  ${subscribers.padStart(11)}  ${topic}`
}

const LEVELS: Readonly<Record<number, readonly [name: string, style: Style]>> = { 10: ['trace', 'faint'], 20: ['debug', 'faint'], 30: ['info', 'plain'], 40: ['warn', 'strong'], 50: ['error', 'alarm'], 60: ['fatal', 'alarm'] }

/** Time, level and message first; a line that was cut, or is none of ours, stays as it is. */
function logLine(text: string): Line {
  try {
    const { level, time, msg, ...rest } = JSON.parse(text) as { level: number; time: string; msg?: string }
    const [name, style] = LEVELS[level] ?? [String(level), 'plain' as const]
    const details = Object.entries(rest).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    return [[time.slice(11, 19), name.padEnd(5), ...(msg === undefined ? [] : [msg]), ...details].join(' '), style]
  } catch {
    return [text]
  }
}

/** Days, hours and minutes; seconds while it is young. */
function duration(ms: number): string {
  const seconds = Math.max(Math.floor(ms / 1_000), 0)
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60]
  if (days > 0) return `${days} d ${hours} h`
  if (hours > 0) return `${hours} h ${minutes} min`
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`
}
