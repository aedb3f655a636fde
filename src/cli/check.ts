import { flagName, OPTIONS } from '../server/options.ts'
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
      const isSecret = OPTIONS[name].kind === 'secret' && options[name] !== ''
      const value = isSecret ? '(stated)' : JSON.stringify(options[name])
      io.out.write(`${name.padEnd(width)}  ${value}${from[name] === 'default' ? '' : `  (${from[name]})`}\n`)
    }
    return 0
  },
}
