import type { Readable, Writable } from 'node:stream'
import { flagName, OPTIONS, type Option, type OptionName } from '../server/options.ts'
import type { OwnFlag } from './flags.ts'
import { wrapped } from './wrapped.ts'

/** One command of the CLI. */
export interface Command {
  readonly name: string
  /** What stands behind the name: `<topic> [message]`. */
  readonly usage: string
  readonly summary: string
  /** What each first word does, where one says what is to be done. */
  readonly words?: Readonly<Record<string, string>>
  readonly flags: Readonly<Record<string, OwnFlag>>
  /** The options that its help shows, where the others make no difference. */
  readonly shows?: readonly OptionName[]
  /** Whether the hub's own options are flags here. */
  readonly takesOptions: boolean
  /** @returns the exit status */
  run(args: readonly string[], io: Io): Promise<number>
}

/** What a command reads and writes, handed in so that tests can look. */
export interface Io {
  readonly in: Readable & { readonly isTTY?: boolean }
  readonly out: Writable
  readonly err: Writable
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  /** Aborted by the first signal to stop; a second one ends the process. */
  readonly stop: AbortSignal
}

/** The help of a command, from the same tables that parse it. */
export function helpOf(command: Command): string {
  const rows: [string, string][] = Object.entries(command.flags).map(([name, { value, short, help }]) => [
    `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`,
    help,
  ])
  const shown = command.takesOptions ? (command.shows ?? (Object.keys(OPTIONS) as OptionName[])) : []
  const general = shown.map((name): [string, string] => [`--${flagName(name)} ${OPTIONS[name].value}`, `${OPTIONS[name].help} (${defaultText(OPTIONS[name])})`])
  const table = (list: readonly [string, string][]): string => list.map(([left, right]) => `  ${left}\n${wrapped(right, '      ')}\n`).join('')
  const words = command.words === undefined ? '' : `\n${listOf(command.words)}`
  const own = rows.length === 0 ? '' : `\nFlags:\n${table(rows)}`
  const heading = wrapped(`Options (${general.length === 1 ? 'it' : 'each'} is also a key of the configuration file and WAYSTATION_… in the environment):`)
  const options = general.length === 0 ? '' : `\n${heading}\n${table(general)}`
  return `${wrapped(command.summary)}\n\n${wrapped(`Usage: waystation ${command.name} ${command.usage}`, '', '  ')}\n${words}${own}${options}`
}

/** Names with what they mean, in two columns. */
export function listOf(entries: Readonly<Record<string, string>>): string {
  const width = Math.max(...Object.keys(entries).map((name) => name.length))
  return Object.entries(entries).map(([name, text]) => `${wrapped(text, `  ${name.padEnd(width)}  `, ' '.repeat(width + 4))}\n`).join('')
}

export function defaultText(option: Option): string {
  const { default: value, kind } = option
  if (kind === 'switch') return value === true ? 'on' : 'off'
  if (value === '' || (Array.isArray(value) && value.length === 0)) return 'none'
  if (kind === 'time') return `${value as number} ms`
  return String(value)
}
