import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { TestContext } from 'node:test'
import { until } from './events.ts'

/** A child process with its output at hand; ended by its process id when the test ends. */
export interface TestProcess {
  readonly child: ChildProcess
  stdout(): string
  stderr(): string
  /** Waits until the output contains this text. */
  says(text: string | RegExp, ms?: number): Promise<void>
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** Runs the CLI from source, as `npm run waystation` does. */
export function waystation(t: TestContext, args: readonly string[], options: { env?: NodeJS.ProcessEnv; cwd?: string } = {}): TestProcess {
  return run(t, process.execPath, ['--conditions=waystation/source', MAIN, ...args], options)
}

export function run(t: TestContext, command: string, args: readonly string[], options: { env?: NodeJS.ProcessEnv; cwd?: string } = {}): TestProcess {
  // A group of its own, so that what the child starts (npm starts a shell, the shell a hub) is ended with it.
  const child = spawn(command, args, { detached: true, stdio: ['pipe', 'pipe', 'pipe'], cwd: options.cwd, env: { ...process.env, NODE_OPTIONS: '', ...options.env } })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk) => (out += chunk))
  child.stderr.on('data', (chunk) => (err += chunk))
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal }))
  })
  let gone = false
  const end = exited.then(() => (gone = true), () => (gone = true))
  t.after(async () => {
    if (!gone && child.pid !== undefined) killGroup(child.pid)
    await end
  })
  return {
    child,
    stdout: () => out,
    stderr: () => err,
    exited,
    async says(text, ms) {
      const found = (): boolean => (typeof text === 'string' ? (out + err).includes(text) : text.test(out + err))
      await until(() => found() || gone, `output ${String(text)}`, ms)
      if (!found()) throw new Error(`ended without saying ${String(text)}:\n${out}\n${err}`)
    },
  }
}

/** It may have ended while its last output is still on its way. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
