import type { TestContext } from 'node:test'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { attach } from '../../src/cli/attach.ts'
import type { Command, Io } from '../../src/cli/command.ts'
import { start } from '../../src/cli/start.ts'
import { status } from '../../src/cli/status.ts'
import { stop } from '../../src/cli/stop.ts'
import { WaystationError } from '../../src/core/errors.ts'
import { findHub, type Found } from '../../src/cli/find-hub.ts'
import { placesIn } from '../../src/cli/places.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { waystation, type TestProcess } from '../support/process.ts'

const COMMANDS = [start, stop, status, attach]

/** As the CLI does. */
async function runCommand(name: string, args: readonly string[], io: Io): Promise<number> {
  try {
    return await (COMMANDS.find((one) => one.name === name) as Command).run(args, io)
  } catch (error) {
    if (!(error instanceof WaystationError)) throw error
    io.err.write(`waystation ${name}: ${error.message}\n`)
    return error.code === 'config_invalid' || error.code === 'bad_request' ? 2 : 1
  }
}

/** A folder for a hub in the background, which is killed when the test ends. */
export interface Service {
  readonly folder: string
  /** A path in its data folder. */
  file(name: string): string
  /** Runs a command in the folder, in this process: each of its own would cost half a second. */
  run(name: string, ...args: string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }>
  spawn(...args: string[]): TestProcess
  find(): Promise<Found>
  /** `start` on a free port, of no more than the channels. */
  start(...args: string[]): Promise<{ readonly pid: number; readonly url: string }>
}

export function createService(t: TestContext): Service {
  // Before the folder goes: it is how the hub is found.
  t.after(async () => {
    const found = await service.find()
    const pid = found.state === 'running' ? found.status.pid : found.state === 'silent' ? found.pid : undefined
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
  })
  const folder = temporaryFolder(t)
  const places = placesIn('waystation-data', {}, folder)
  const env = { PATH: process.env['PATH'] }
  const service: Service = {
    folder,
    file: (name) => join(places.folder, name),
    spawn: (...args) => waystation(t, args, { cwd: folder, env }),
    async run(name, ...args) {
      const [out, err] = [new PassThrough(), new PassThrough()]
      const io: Io = { in: new PassThrough(), out, err, env, cwd: folder, stop: AbortSignal.timeout(30_000) }
      const code = await runCommand(name, args, io)
      return { code, out: String(out.read() ?? ''), err: String(err.read() ?? '') }
    },
    find: () => findHub(places),
    async start(...args) {
      const { code, out, err } = await service.run('start', '--addr', '127.0.0.1:0', '--lonelyps', 'off', ...args)
      const [, url, pid] = /^Waystation listens on (\S+)\n[^]*in the background: pid (\d+), log /.exec(out) ?? []
      if (code !== 0 || url === undefined) throw new Error(`start ended with ${code}: ${out}${err}`)
      return { pid: Number(pid), url }
    },
  }
  return service
}
