import { fromEnvironment, fromFile, fromFlags, effective, type Effective } from '../server/config.ts'
import { compose, type WaystationServer } from '../server/create-server.ts'
import type { Command, Io } from './command.ts'
import { parseFlags } from './flags.ts'

const flags = { config: { value: 'FILE', help: 'the configuration file (waystation.config.ts, .js or .json in this folder when not given)' } } as const

export const serve: Command = {
  name: 'serve',
  usage: '[options]',
  summary: 'Starts the hub.',
  flags,
  takesOptions: true,
  async run(args, io) {
    const { options } = await readConfiguration(args, io)
    const server = compose(options, { processMetrics: true })
    await server.listen()
    io.out.write(greeting(server))
    if (server.open) io.err.write(warning(server))
    await stopped(io.stop)
    await server.close()
    return 0
  },
}

/** Defaults, then the file, the environment and the flags. @throws {WaystationError} `config_invalid` */
export async function readConfiguration(args: readonly string[], io: Io): Promise<Effective> {
  const parsed = parseFlags(args, flags, true)
  const named = typeof parsed.own['config'] === 'string' ? parsed.own['config'] : io.env['WAYSTATION_CONFIG']
  const file = await fromFile(named, io.cwd)
  return effective([...(file === undefined ? [] : [file]), fromEnvironment(io.env), fromFlags(parsed.options)])
}

/** Settles when it is time to stop. */
export function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

function greeting(server: WaystationServer): string {
  const at = server.url
  if (at.startsWith('/')) {
    return `Waystation listens on ${at}\n  watch:    curl -N --unix-socket ${at} -H 'Accept: text/event-stream' http://hub/demo\n  publish:  curl --unix-socket ${at} -d hello http://hub/demo\n`
  }
  return `Waystation listens on ${at}${server.options.addr.startsWith(':') ? ' (every interface)' : ''}\n  watch:    open ${at}/demo in a browser\n  publish:  curl -d hello ${at}/demo\n`
}

function warning(server: WaystationServer): string {
  return `warning: anyone who can reach ${server.options.addr} may publish to any topic; listen on 127.0.0.1${server.options.addr.replace(/^.*(:\d+)$/, '$1')}, or state a rule such as { topics: '*', publish: 'local' }\n`
}
