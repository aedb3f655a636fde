import { Readable, Writable } from 'node:stream'
import { WaystationError } from '../../src/core/errors.ts'
import type { Command } from '../../src/cli/command.ts'

export interface Ran {
  /** As the process would end with. */
  readonly status: number
  readonly out: string
  readonly err: string
}

/** Runs a command within this process. What it refuses by an error is in `err`, as the program writes it. */
export async function runCommand(command: Command, args: readonly string[], { cwd, input = [], stop = new AbortController().signal, env = {} }: {
  cwd: string
  input?: Iterable<string | Uint8Array>
  stop?: AbortSignal
  env?: NodeJS.ProcessEnv
}): Promise<Ran> {
  let [out, err] = ['', '']
  const sink = (keep: (text: string) => void): Writable => new Writable({ write: (chunk, _, done) => (keep(String(chunk)), done()) })
  const io = { in: Readable.from(Array.from(input, (one) => Buffer.from(one))), out: sink((text) => (out += text)), err: sink((text) => (err += text)), env, cwd, stop }
  try {
    return { status: await command.run(args, io), out, err }
  } catch (error) {
    if (!(error instanceof WaystationError)) throw error
    return { status: error.code === 'config_invalid' || error.code === 'bad_request' ? 2 : 1, out, err: `${err}${error.message}\n` }
  }
}
