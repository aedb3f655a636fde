import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { WaystationError } from '../core/errors.ts'
import { CONTROL_FILE } from '../server/control-messages.ts'
import { readValue } from '../server/option-values.ts'
import { OPTIONS } from '../server/options.ts'
import type { Command, Io } from './command.ts'
import { findHub, haveOneOwner, isAlive, pidSpace } from './find-hub.ts'
import { parseFlags } from './flags.ts'
import { FIND_FLAGS, findPlaces } from './places.ts'

/** ms beyond the drain time, for what is still on its way. */
const BEYOND_DRAIN = 10_000
/** ms between two looks whether it is gone. Nothing tells of the end of a process that is not our own. */
const LOOK = 20

export const stop: Command = {
  name: 'stop',
  usage: '[--data-dir DIR] [--wait TIME] [--force]',
  summary: 'Stops the hub of a data folder, and waits until it is gone.',
  flags: {
    ...FIND_FLAGS,
    wait: { value: 'TIME', help: 'how long it may take (its drain time and ten seconds more)' },
    force: { help: 'kills it when it takes longer' },
  },
  takesOptions: false,
  async run(args, io) {
    const { own, positionals } = parseFlags(args, this.flags)
    if (positionals.length > 0) throw new WaystationError('bad_request', `"${positionals[0]}" is no option; options begin with --`)
    const wait = waitOf(own['wait'])
    const places = await findPlaces(own, io)
    const found = await findHub(places)
    if (found.state === 'gone') {
      io.err.write(`waystation stop: no hub runs on ${places.folder}\n`)
      return 1
    }
    if (found.state === 'running' && found.status.pidSpace !== pidSpace()) {
      io.err.write('waystation stop: it runs in another container, where its process id is another one than here; stop it there\n')
      return 1
    }
    const pid = found.state === 'running' ? found.status.pid : found.pid
    if (pid === undefined) {
      io.err.write('waystation stop: a hub is there that does not answer, and it cannot be told which process that is\n')
      return 1
    }
    if (found.state === 'running' && !haveOneOwner(pid, join(places.folder, CONTROL_FILE))) {
      io.err.write(`waystation stop: who answers on ${places.folder} says that it is pid ${pid}, which is another user's process; nothing was ended\n`)
      return 1
    }
    // To be told twice means to end at once.
    if (found.state === 'silent' || !found.status.stopping) tell(pid, 'SIGTERM')
    const patience = wait ?? (found.state === 'running' ? found.status.drainTime : OPTIONS.drainTime.default) + BEYOND_DRAIN
    if (await gone(pid, patience, io)) {
      io.out.write(`stopped, pid ${pid}\n`)
      return 0
    }
    if (io.stop.aborted) return 1
    if (own['force'] === undefined) {
      io.err.write(`waystation stop: pid ${pid} has not ended within ${patience} ms; --force kills it\n`)
      return 1
    }
    tell(pid, 'SIGKILL')
    if (!(await gone(pid, BEYOND_DRAIN, io))) return 1
    io.out.write(`killed, pid ${pid}\n`)
    return 0
  },
}

function waitOf(stated: string | true | undefined): number | undefined {
  if (stated === undefined) return undefined
  const read = readValue(OPTIONS.drainTime, stated)
  if ('value' in read) return read.value as number
  throw new WaystationError('bad_request', `--wait ${read.faults.join('; ')}`)
}

function tell(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return
    throw new WaystationError('unreachable', `pid ${pid}: ${(error as Error).message}`, error)
  }
}

async function gone(pid: number, patience: number, io: Io): Promise<boolean> {
  const deadline = performance.now() + patience
  while (isAlive(pid)) {
    if (performance.now() > deadline || io.stop.aborted) return false
    await sleep(LOOK)
  }
  return true
}
