#!/usr/bin/env node
import { WaystationError } from '../core/errors.ts'
import { hint } from '../server/nearest.ts'
import { attach } from './attach.ts'
import { call } from './call.ts'
import { certs } from './certs.ts'
import { check } from './check.ts'
import { helpOf, listOf, type Command, type Io } from './command.ts'
import { keys } from './keys.ts'
import { pinghub } from './pinghub.ts'
import { pub } from './pub.ts'
import { registry } from './registry.ts'
import { serve } from './serve.ts'
import { service } from './service.ts'
import { setup } from './setup.ts'
import { start } from './start.ts'
import { status } from './status.ts'
import { stop as stopCommand } from './stop.ts'
import { sub } from './sub.ts'
import { version } from './version.ts'

export const COMMANDS: readonly Command[] = [serve, start, stopCommand, status, attach, pub, sub, call, check, setup, keys, registry, certs, service, pinghub]

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
  const command = COMMANDS.find((one) => one.name === name)
  if (command === undefined) {
    if (!['help', '--help', '-h'].includes(name)) return unknown(name, io)
    const about = COMMANDS.find((one) => one.name === rest[0])
    if (about === undefined && rest[0] !== undefined) return unknown(rest[0], io)
    io.out.write(about === undefined ? overview() : helpOf(about))
    return 0
  }
  // Behind -- stand words.
  const flags = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest
  if (flags.some((arg) => arg === '--help' || arg === '-h' || arg === '-help')) {
    // The original of this one prints its usage on stderr.
    ;(command === pinghub ? io.err : io.out).write(helpOf(command))
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
  const meant = hint(name, COMMANDS.map((one) => one.name))
  io.err.write(`waystation: ${name} is no command${meant === '' ? '.' : meant} "waystation help" lists them.\n`)
  return 2
}

function overview(): string {
  const rows = listOf(Object.fromEntries(COMMANDS.map(({ name, summary }) => [name, summary])))
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
