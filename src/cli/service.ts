import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { WaystationError } from '../core/errors.ts'
import { createLogger } from '../server/log.ts'
import { hint } from '../server/nearest.ts'
import { serveService, type Handlers, type JsonValue, type ServeServiceOptions, type ServiceHandlers } from '../server/serve-service.ts'
import { readPlace } from '../server/service-dialing.ts'
import { faultOfService } from '../server/service-options.ts'
import { readSigningKeys } from '../server/service-signing.ts'
import { workService, type WorkServiceOptions } from '../server/work-service.ts'
import type { Command, Io } from './command.ts'
import { readFlags } from './flags.ts'
import { stopped } from './serve.ts'

const flags = {
  port: { value: 'PORT', help: 'run: where callers connect; 0 is any free port (0)' },
  host: { value: 'HOST', help: 'run: the address that it listens on (every interface; with --transport tcp this machine)' },
  hub: { value: 'HOST:PORT', help: 'work: where the hub lets workers in: its --service-port' },
  name: { value: 'NAME', help: 'work: the service that it works for' },
  slots: { value: 'N', help: 'work: calls that it takes at once (64)' },
  cacertfile: { value: 'FILE', help: 'the CA, in PEM, that the other end must come from' },
  certfile: { value: 'FILE', help: 'the own certificate, in PEM' },
  keyfile: { value: 'FILE', help: 'its key, in PEM' },
  crlfile: { value: 'FILE', help: 'certificates of that CA that are let in no more, in PEM' },
  servername: { value: 'NAME', help: "work: the name that the hub's certificate must have, where it is not the one that is connected to" },
  transport: { value: 'tls|tcp', help: 'tcp: without encryption and certificates, for development (tls)' },
  insecure: { help: 'with --transport tcp: not on this machine only' },
  keys: { value: 'FILE', help: 'keys as JSON { "id": "secret" }, the first of which signs every packet; both ends are Waystations' },
  identifier: { value: 'ID', help: 'run: what callers must name in each packet' },
  versions: { value: 'REQUIREMENT', help: "run: which versions of callers are served: '~> 0.2', '>= 1.0.0 and < 2.0.0'" },
  atom: { value: 'ATOM', help: 'an atom that the service knows, beside the usual ones; may be stated again' },
  as: { value: 'terms|json', help: 'what handlers get and give: Erlang terms, or plain JSON values (what the file says, or terms)' },
  'packet-gap': { value: 'MS', help: 'run: time between two packets to an original, 0: none (what is safe: 10 ms, over TCP 120 ms)' },
  'log-level': { value: 'LEVEL', help: 'how much is logged on stderr: debug, info, warn, error or silent (info)' },
} as const

type Flag = keyof typeof flags
const BOTH = ['cacertfile', 'certfile', 'keyfile', 'crlfile', 'transport', 'insecure', 'keys', 'atom', 'as', 'log-level'] as const satisfies readonly Flag[]
const TAKES: Readonly<Record<'run' | 'work', readonly Flag[]>> = {
  run: [...BOTH, 'port', 'host', 'identifier', 'versions', 'packet-gap'],
  work: [...BOTH, 'hub', 'name', 'slots', 'servername'],
}
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const

/** Options that stand beside the handlers in the file. */
type Stated = Pick<ServeServiceOptions<'terms' | 'json'>, 'as' | 'atoms' | 'safe' | 'identifier' | 'versions'>

/** Runs the handlers of a file as a service of its own, or as a worker of a hub. */
export const service: Command = {
  name: 'service',
  usage: 'run|work ./service.ts [options]',
  summary: 'Runs the handlers that a file exports as `service`: as a service that callers connect to, or as a worker of a hub.',
  words: {
    run: 'listens: callers connect to it, an existing Elixir node among them',
    work: 'connects to a hub, which hands it calls; comes back by itself when the hub was gone',
  },
  flags,
  takesOptions: false,
  async run(args, io) {
    const { own, lists, positionals, problems: found } = readFlags(args, flags, {})
    const [word, file, ...rest] = positionals
    const what = (['run', 'work'] as const).find((one) => one === word)
    if (what === undefined) throw new WaystationError('bad_request', word === undefined ? 'say what to do: waystation service run ./service.ts, or work' : `${JSON.stringify(word)} is none of run, work${hint(word, ['run', 'work'])}`)
    const problems = [...found, ...rest.map((one) => `"${one}" is one word too many`)]
    problems.push(...Object.keys(own).filter((flag) => !TAKES[what].includes(flag as Flag)).map((flag) => `--${flag} is no option of ${what}`))
    if (file === undefined) problems.push(`name a file that exports service: waystation service ${what} ./service.ts`)
    const level = typeof own['log-level'] === 'string' ? LEVELS.find((one) => one === own['log-level']) : 'info'
    if (level === undefined) problems.push(`--log-level must be one of ${LEVELS.join(', ')}`)
    const shared = sharedOf(own, lists, io, problems)
    const ends = what === 'run' ? listenerOf(own, problems) : workOf(own, problems)
    if (problems.length > 0 || file === undefined) throw new WaystationError('bad_request', problems.join('; '))
    const { handlers, stated } = await load(file, io.cwd)
    const options = { ...stated, ...shared, logger: createLogger(level ?? 'info'), ...(shared.atoms.length === 0 && { atoms: stated.atoms ?? [] }) }
    return 'hub' in ends ? work({ ...options, ...ends }, handlers, io) : listen({ ...options, ...ends }, handlers, io)
  },
}

type Own = Readonly<Record<string, string | true>>
type Loaded = Handlers<JsonValue> & Handlers<never>
type Shared = Stated & Pick<WorkServiceOptions, 'tls' | 'transport' | 'insecure' | 'signing' | 'logger'> & { readonly atoms: readonly string[] }

function sharedOf(own: Own, lists: Readonly<Record<string, readonly string[]>>, io: Io, problems: string[]): Omit<Shared, 'logger'> {
  const path = (flag: Flag): string | undefined => (typeof own[flag] === 'string' ? resolve(io.cwd, own[flag]) : undefined)
  const [cacertfile, certfile, keyfile, crlfile, keys] = [path('cacertfile'), path('certfile'), path('keyfile'), path('crlfile'), path('keys')]
  const transport = own['transport'] ?? 'tls'
  if (transport !== 'tls' && transport !== 'tcp') problems.push('--transport must be tls or tcp')
  const files = { cacertfile, certfile, keyfile }
  const missing = Object.entries(files).filter(([, one]) => one === undefined).map(([flag]) => `--${flag}`)
  if (transport === 'tls' && missing.length > 0) problems.push(`${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing: "waystation certs" makes them; or state --transport tcp for development on this machine`)
  if (transport === 'tcp' && missing.length < 3) problems.push('certificates are stated, but --transport is tcp, which has none')
  const as = own['as']
  if (as !== undefined && as !== 'terms' && as !== 'json') problems.push('--as must be terms or json')
  const name = own['servername']
  const tls = { cacertfile: cacertfile ?? '', certfile: certfile ?? '', keyfile: keyfile ?? '', ...(crlfile !== undefined && { crlfile }), ...(typeof name === 'string' && { servername: name }) }
  return {
    atoms: lists['atom'] ?? [],
    transport: transport === 'tcp' ? 'tcp' : 'tls',
    ...(transport === 'tls' && { tls }),
    ...(own['insecure'] === true && { insecure: true }),
    ...(keys !== undefined && { signing: { keys: readSigningKeys(keys) } }),
    ...((as === 'terms' || as === 'json') && { as }),
  }
}

type Listener = Pick<ServeServiceOptions, 'port' | 'host' | 'identifier' | 'versions' | 'packetGap'>
type Job = Pick<WorkServiceOptions, 'slots' | 'name'> & { readonly hub: string }

/** What `run` alone is told. */
function listenerOf(own: Own, problems: string[]): Listener {
  const text = (flag: Flag): string | undefined => (typeof own[flag] === 'string' ? own[flag] : undefined)
  const [host, identifier, versions, gap] = [text('host'), text('identifier'), text('versions'), text('packet-gap')]
  const port = numberOf(text('port') ?? '0', '--port must be a port number from 0 to 65535', 0, 65_535, problems)
  return {
    port,
    ...(host !== undefined && { host }),
    ...(identifier !== undefined && { identifier }),
    ...(versions !== undefined && { versions }),
    ...(gap !== undefined && { packetGap: numberOf(gap, '--packet-gap must be a number of ms', 0, Infinity, problems) }),
  }
}

/** What `work` alone is told. */
function workOf({ hub = '', name = '', slots }: Own, problems: string[]): Job {
  if (hub === '') problems.push('--hub is missing: where the hub lets workers in, host:port')
  else if (readPlace(String(hub)) === undefined) problems.push(`--hub must be host:port, not ${JSON.stringify(hub)}`)
  if (name === '') problems.push('--name is missing: the service that it works for')
  else if (faultOfService(String(name)) !== undefined) problems.push(`--name ${faultOfService(String(name))}`)
  return { hub: String(hub), name: String(name), ...(typeof slots === 'string' && { slots: numberOf(slots, '--slots must be a number of calls, 1 or more', 1, 0xffff_ffff, problems) }) }
}

/** What a file says of those whom a service lets in, its hub has to say. */
function forWorkers<T extends object>(options: T): Omit<T, 'identifier' | 'versions'> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => name !== 'identifier' && name !== 'versions')) as Omit<T, 'identifier' | 'versions'>
}

function numberOf(text: string, what: string, least: number, most: number, problems: string[]): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(number >= least && number <= most)) problems.push(`${what}, not ${JSON.stringify(text)}`)
  return number
}

async function listen(options: Shared & Listener, handlers: Loaded, io: Io): Promise<number> {
  await using running = await serveService(options, handlers as ServiceHandlers<never>)
  io.out.write(`the service listens on port ${running.port} (${options.transport === 'tcp' ? 'plain TCP' : 'mutual TLS'})\n`)
  await stopped(io.stop)
  return 0
}

async function work(options: Shared & Job, handlers: Loaded, io: Io): Promise<number> {
  await using running = await workService({
    ...forWorkers(options),
    onState(state) {
      if (state.state === 'working') io.out.write(`at work for ${options.name}: ${options.hub} hands on its calls\n`)
    },
  }, handlers as Handlers<never>)
  await stopped(io.stop)
  await running.close()
  return 0
}

/** Where in the file it went wrong, as far as its error says so: `:3`. */
function lineOf(error: unknown, href: string): string {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  const [first = ''] = stack.split('\n')
  const [, line] = /^\/.*:(\d+)$/.exec(first) ?? new RegExp(`${RegExp.escape(href)}:(\\d+)`).exec(stack) ?? []
  return line === undefined ? '' : `:${line}`
}

const STATED = ['as', 'atoms', 'safe', 'identifier', 'versions'] as const

async function load(file: string, cwd: string): Promise<{ handlers: Loaded; stated: Stated }> {
  const path = resolve(cwd, file)
  if (!existsSync(path)) throw new WaystationError('bad_request', `${file}: there is no such file`)
  const { href } = pathToFileURL(path)
  const module = await import(href).catch((cause: unknown) => {
    throw new WaystationError('bad_request', `${file}${lineOf(cause, href)}: ${cause instanceof Error ? cause.message : String(cause)}`, cause)
  }) as { service?: unknown; options?: unknown }
  const { service: handlers, options = {} } = module
  const isHandlers = typeof handlers === 'function' || (typeof handlers === 'object' && handlers !== null && ['call', 'cast', 'connected'].some((name) => typeof (handlers as Record<string, unknown>)[name] === 'function'))
  if (!isHandlers) throw new WaystationError('bad_request', `${file}: must export service: an object with call(request, from), cast(request, from) or both, or a function that makes one for each connection`)
  if (typeof options !== 'object' || options === null) throw new WaystationError('bad_request', `${file}: what it exports as options must be an object`)
  const unknown = Object.keys(options).find((name) => !(STATED as readonly string[]).includes(name))
  if (unknown !== undefined) throw new WaystationError('bad_request', `${file}: options.${unknown} cannot stand there${hint(unknown, STATED)}`)
  return { handlers: handlers as Loaded, stated: options as Stated }
}
