import { withoutPassword } from '../server/database.ts'
import { flagName, OPTIONS, type Option } from '../server/options.ts'
import type { Command } from './command.ts'
import { readConfiguration, serve } from './serve.ts'

export const check: Command = {
  name: 'check',
  usage: '[options]',
  summary: 'Validates the configuration and prints the one in force, with the source of each value.',
  flags: serve.flags,
  takesOptions: true,
  async run(args, io) {
    const { options, from } = await readConfiguration(args, io)
    const names = Object.keys(options) as (keyof typeof options)[]
    const width = Math.max(...names.map((name) => flagName(name).length))
    for (const name of names) {
      io.out.write(`${name.padEnd(width)}  ${shown(OPTIONS[name].kind, options[name])}${from[name] === 'default' ? '' : `  (${from[name]})`}\n`)
    }
    return 0
  },
}

function shown(kind: Option['kind'], value: unknown): string {
  if (kind === 'secret' && value !== '') return '(stated)'
  return JSON.stringify(kind === 'database' ? withoutPassword(String(value)) : value)
}
