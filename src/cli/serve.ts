import { isIP } from 'node:net'
import { WaystationError } from '../core/errors.ts'
import { createRules } from '../core/rules.ts'
import { topicFromText } from '../core/topic.ts'
import { CLI_ENVIRONMENT, effective, fromEnvironment, fromFile, fromFlags, type Effective } from '../server/config.ts'
import { invalid } from '../server/invalid.ts'
import type { WaystationServer } from '../server/create-server.ts'
import type { Command, Io } from './command.ts'
import { readFlags } from './flags.ts'
import { placesIn, SERVICE_FLAGS } from './places.ts'
import type { ServiceLog } from './presence.ts'
import { version } from './version.ts'

const flags = {
  config: { value: 'FILE', help: 'the configuration file (waystation.config.ts, .js or .json in this folder when not given)' },
  ...SERVICE_FLAGS,
} as const

/** What `start` hears from the hub when it listens. */
export interface Ready {
  readonly greeting: string
  readonly warning: string
}

export const serve: Command = {
  name: 'serve',
  usage: '[options]',
  summary: 'Starts the hub.',
  flags,
  takesOptions: true,
  async run(args, io) {
    const { options } = await readConfiguration(args, io)
    const { own } = readFlags(args, flags, { withOptions: true })
    const places = placesIn(options.dataDir, own, io.cwd)
    // Loaded when the command line is in order: a mistake in it is told at once.
    const [{ compose }, { makeKnown, openServiceLog }] = await Promise.all([import('../server/create-server.ts'), import('./presence.ts')])
    const log = openServiceLog(options.logLevel, own['log-file'] === undefined ? undefined : places.log)
    const server = compose(options, { processMetrics: true, logger: log.logger })
    await using ends = new AsyncDisposableStack()
    ends.defer(log.close)
    const known = await makeKnown(server, log, { folder: places.folder, pidFile: own['pid-file'] === undefined ? undefined : places.pid })
    ends.defer(known.takeBack)
    ends.use(server)
    await server.listen()
    known.listens()
    say({ greeting: greeting(server) + linksGreeting(server) + servicesGreeting(server), warning: (server.open ? warning(server) : '') + clearText(server) }, server.url, log, io)
    await stopped(io.stop)
    await server.close()
    return 0
  },
}

/** Defaults, then the file, the environment and the flags. @throws {WaystationError} `config_invalid` */
export async function readConfiguration(args: readonly string[], io: Io): Promise<Effective> {
  const parsed = readFlags(args, flags, { withOptions: true })
  const words = parsed.positionals.map((word) => `"${word}" is no option; options begin with --`)
  const problems = [...parsed.problems, ...words].map((problem) => `command line: ${problem}`)
  const named = typeof parsed.own['config'] === 'string' ? parsed.own['config'] : io.env[CLI_ENVIRONMENT.config]
  const file = await fromFile(named, io.cwd).catch((error: unknown) => {
    // Without the file nobody can judge the options as a whole, but what is wrong with the flags is known.
    if (problems.length === 0 || !(error instanceof WaystationError)) throw error
    throw invalid([...problems, error.detail])
  })
  return effective([...(file === undefined ? [] : [file]), fromEnvironment(io.env), fromFlags(parsed.options)], problems)
}

/** In the background nobody looks at a terminal: the log has it, and `start` is told. */
function say(ready: Ready, url: string, log: ServiceLog, io: Io): void {
  if (log.file !== undefined) {
    log.logger.info({ url, pid: process.pid, version: version() }, 'the hub listens')
    if (ready.warning !== '') log.logger.warn(ready.warning.trim())
    // Whoever asked may have gone meanwhile.
    if (process.send !== undefined) return void process.send(ready, undefined, undefined, () => {})
  }
  io.out.write(ready.greeting)
  io.err.write(ready.warning)
}

/** Settles when it is time to stop. */
export function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

function greeting(server: WaystationServer): string {
  const at = server.url
  // What would be refused is no good first try.
  const { publish, subscribe } = createRules(server.options.rules).for(topicFromText('demo'))
  if (publish === 'signed' || subscribe === 'signed') return `Waystation listens on ${at}\n  lonelyps: give ${at} to clients as a broadcaster, with their secrets\n`
  if (at.startsWith('/')) {
    return `Waystation listens on ${at}\n  watch:    curl -N --unix-socket ${at} -H 'Accept: text/event-stream' http://hub/demo\n  publish:  curl --unix-socket ${at} -d hello http://hub/demo\n`
  }
  return `Waystation listens on ${at}${server.options.addr.startsWith(':') ? ' (every interface)' : ''}\n  watch:    open ${at}/demo in a browser\n  publish:  curl -d hello ${at}/demo\n`
}

function linksGreeting({ linkPort, options }: WaystationServer): string {
  const gives = linkPort === undefined ? '' : `  links:    takers connect to port ${linkPort} (${options.linkTransport === 'tls' ? 'mutual TLS' : 'plain TCP'})\n`
  return gives + options.links.map(({ server, port, topics }) => `  link:     takes ${topics.join(', ')} from ${isIP(server) === 6 ? `[${server}]` : server}:${port}\n`).join('')
}

function servicesGreeting({ servicePort, options }: WaystationServer): string {
  const listens = servicePort === undefined ? '' : `  services: callers and workers connect to port ${servicePort} (${options.serviceTransport === 'tls' ? 'mutual TLS' : 'plain TCP'})\n`
  return listens + options.services.filter(({ servers = [] }) => servers.length > 0).map(({ name, servers = [] }) => `  service:  ${name} is called at ${servers.map(({ server, port }) => `${isIP(server) === 6 ? `[${server}]` : server}:${port}`).join(', ')}\n`).join('')
}

/** What goes over plain TCP is said each time. */
function clearText({ linkPort, servicePort, options }: WaystationServer): string {
  const links = [
    ...(linkPort !== undefined && options.linkTransport === 'tcp' ? [`given on port ${linkPort}`] : []),
    ...options.links.filter(({ transport }) => transport === 'tcp').map(({ server, port }) => `taken from ${server}:${port}`),
  ]
  const services = [
    ...(servicePort !== undefined && options.serviceTransport === 'tcp' ? [`called and worked for on port ${servicePort}`] : []),
    ...options.services.filter(({ transport }) => transport === 'tcp').map(({ servers = [] }) => `called at ${servers.map(({ server, port }) => `${server}:${port}`).join(', ')}`),
  ]
  const warn = (what: string, which: readonly string[]): string => (which.length === 0 ? '' : `warning: ${what} are ${which.join(' and ')} without encryption and without certificates; that is for development only\n`)
  return warn('links', links) + warn('services', services)
}

function warning(server: WaystationServer): string {
  return `warning: anyone who can reach ${server.options.addr} may publish to any topic; listen on 127.0.0.1${server.options.addr.replace(/^.*(:\d+)$/, '$1')}, or state a rule such as { topics: '*', publish: 'local' }\n`
}
