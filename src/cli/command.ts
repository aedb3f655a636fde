import type { Readable, Writable } from 'node:stream'
import { flagName, OPTIONS, type Option } from '../server/options.ts'
import type { OwnFlag } from './flags.ts'

/** One command of the CLI. */
export interface Command {
  readonly name: string
  /** What stands behind the name: `<topic> [message]`. */
  readonly usage: string
  readonly summary: string
  readonly flags: Readonly<Record<string, OwnFlag>>
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
  const general = command.takesOptions
    ? Object.entries(OPTIONS).map(([name, option]): [string, string] => [`--${flagName(name)} ${option.value}`, `${option.help} (${defaultText(option)})`])
    : []
  const table = (list: readonly [string, string][]): string => list.map(([left, right]) => `  ${left}\n      ${right}\n`).join('')
  const own = rows.length === 0 ? '' : `\nFlags:\n${table(rows)}`
  const options = general.length === 0 ? '' : `\nOptions (each is also a key of the configuration file and WAYSTATION_… in the environment):\n${table(general)}`
  return `${command.summary}\n\nUsage: waystation ${command.name} ${command.usage}\n${own}${options}`
}

export function defaultText(option: Option): string {
  const { default: value, kind } = option
  if (kind === 'switch') return value === true ? 'on' : 'off'
  if (value === '' || (Array.isArray(value) && value.length === 0)) return 'none'
  if (kind === 'time') return `${value as number} ms`
  return String(value)
}
