#!/usr/bin/env node
import { WaystationError } from '../core/errors.ts'
import { hint } from '../server/nearest.ts'
import { helpOf, listOf, type Command, type Io } from './command.ts'
import { version } from './version.ts'

/** The commands in the order of the help. Each is loaded when it is asked for: `pub` in a loop does not pay for the hub. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./serve.ts')).serve,
  start: async () => (await import('./start.ts')).start,
  stop: async () => (await import('./stop.ts')).stop,
  status: async () => (await import('./status.ts')).status,
  attach: async () => (await import('./attach.ts')).attach,
  pub: async () => (await import('./pub.ts')).pub,
  sub: async () => (await import('./sub.ts')).sub,
  call: async () => (await import('./call.ts')).call,
  check: async () => (await import('./check.ts')).check,
  setup: async () => (await import('./setup.ts')).setup,
  keys: async () => (await import('./keys.ts')).keys,
  registry: async () => (await import('./registry.ts')).registry,
  certs: async () => (await import('./certs.ts')).certs,
  service: async () => (await import('./service.ts')).service,
  pinghub: async () => (await import('./pinghub.ts')).pinghub,
}

const commandNamed = async (name: string | undefined): Promise<Command | undefined> => (name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name]?.() : undefined)

/** The first release in which a server is asked before it leaves HTTP (`shouldUpgradeCallback`). */
const LEAST_NODE = [24, 9] as const

function tooOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major < LEAST_NODE[0] || (major === LEAST_NODE[0] && minor < LEAST_NODE[1])
}

/** @returns the exit status: 0 done, 1 failed, 2 not understood */
async function main(args: readonly string[], io: Io): Promise<number> {
  const [name = 'help', ...rest] = args
  if (tooOld(process.versions.node)) {
    io.err.write(`waystation: this is Node ${process.versions.node}; it needs ${LEAST_NODE.join('.')} or newer\n`)
    return 1
  }
  if (['version', '--version', '-v'].includes(name)) {
    io.out.write(`${version()}\n`)
    return 0
  }
  const command = await commandNamed(name)
  if (command === undefined) {
    if (!['help', '--help', '-h'].includes(name)) return unknown(name, io)
    const about = await commandNamed(rest[0])
    if (about === undefined && rest[0] !== undefined) return unknown(rest[0], io)
    io.out.write(about === undefined ? await overview() : helpOf(about))
    return 0
  }
  // Behind -- stand words.
  const flags = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest
  if (flags.some((arg) => arg === '--help' || arg === '-h' || arg === '-help')) {
    // The original of this one prints its usage on stderr.
    ;(name === 'pinghub' ? io.err : io.out).write(helpOf(command))
    return 0
  }
  try {
    return await command.run(rest, io)
  } catch (error) {
    if (!(error instanceof WaystationError)) throw error
    // That it is the command line that cannot be understood goes without saying.
    io.err.write(`waystation ${name}: ${error.code === 'bad_request' ? error.detail : error.message}\n`)
    return error.code === 'config_invalid' || error.code === 'bad_request' ? 2 : 1
  }
}

function unknown(name: string, io: Io): number {
  const meant = hint(name, Object.keys(COMMANDS))
  io.err.write(`waystation: ${name} is no command${meant === '' ? '.' : meant} "waystation help" lists them.\n`)
  return 2
}

async function overview(): Promise<string> {
  const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()))
  const rows = listOf(Object.fromEntries(commands.map(({ name, summary }) => [name, summary])))
  return `Waystation ${version()}: one message hub that you run yourself.\n\n${rows}\n"waystation help <command>" tells more.\n`
}

const stop = new AbortController()
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(signal === 'SIGTERM' ? 143 : 130)
    stop.abort()
  })
}
// A reader that has gone (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

process.exitCode = await main(process.argv.slice(2), {
  // Not touched before a command reads it: a hub may be started without any.
  get in() { return process.stdin },
  out: process.stdout,
  err: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  stop: stop.signal,
})
