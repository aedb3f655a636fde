import { createInterface } from 'node:readline'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { TestContext } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { createInbox, type Inbox } from '../support/events.ts'
import { ERLANG, type Part } from '../support/parts.ts'
import { run } from '../support/process.ts'

const HAS_SSL = 'halt(case code:lib_dir(ssl) of {error, _} -> 1; _ -> 0 end).'

/** An Erlang with its TLS and its compiler. */
export const ERLANG_WITH_SSL: Part = {
  ...ERLANG,
  name: 'Erlang with ssl',
  path: ERLANG.path !== undefined && spawnSync(ERLANG.path, ['-noinput', '-eval', HAS_SSL]).status === 0 ? ERLANG.path : undefined,
  install: 'apt-get install erlang-base erlang-ssl',
}

/** A node that runs a module which evaluates what it reads and says what happens: a line each way, fields separated by tabs. */
export interface ErlangNode {
  /** The value of an expression over there, as it is written there. Rejects when it fails. */
  evaluate(expression: string): Promise<string>
  /** Events of one kind of one thing, each as the fields that stand behind its name. */
  events(kind: string, name: string): Inbox<string[]>
}

/** A binary as Erlang writes it. */
export function binary(bytes: string | Buffer): string {
  return `<<${[...Buffer.from(bytes as Buffer)].join(',')}>>`
}

/** A string as Erlang writes it. */
export const text = (name: string): string => `"${name.replaceAll('"', '\\"')}"`

/**
 * Compiles modules, starts a node with the first of them, and ends it with the test.
 * @param modules their names; the sources stand beside this file
 */
export async function startNode(t: TestContext, modules: readonly [string, ...string[]]): Promise<ErlangNode> {
  const folder = temporaryFolder(t)
  const sources = modules.map((name) => fileURLToPath(new URL(`${name}.erl`, import.meta.url)))
  const compiled = spawnSync(`${ERLANG.path as string}c`, ['-o', folder, ...sources], { encoding: 'utf8' })
  if (compiled.status !== 0) throw new Error(`${modules[0]} does not compile:\n${compiled.stdout}${compiled.stderr}`)
  const erl = run(t, ERLANG.path as string, ['-noinput', '-pa', folder, '-s', modules[0], 'main'], { cwd: folder, env: { ERL_CRASH_DUMP_BYTES: '0' } })
  const ready = createInbox<string>('word of the Erlang node')
  const answers = new Map<string, { resolve(value: string): void; reject(error: Error): void }>()
  const inboxes = new Map<string, Inbox<string[]>>()
  let last = 0
  let ended: Error | undefined

  function events(kind: string, name: string): Inbox<string[]> {
    const key = `${kind} ${name}`
    let inbox = inboxes.get(key)
    if (inbox === undefined) inboxes.set(key, (inbox = createInbox(`event ${key} in Erlang`)))
    return inbox
  }

  createInterface({ input: erl.child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    const [kind, name, ...fields] = line.split('\t') as [string, string, ...string[]]
    if (kind === 'ready') ready.push(name)
    else if (kind === 'done') answers.get(name)?.resolve(fields.join('\t'))
    else if (kind === 'failed') answers.get(name)?.reject(new Error(`Erlang: ${fields.join('\t')}`))
    else events(kind, name).push(fields)
  })
  void erl.exited.then(() => {
    ended = new Error(`the Erlang node ended:\n${erl.stderr()}`)
    for (const waiting of [ready, ...inboxes.values()]) waiting.end(ended)
    for (const waiting of answers.values()) waiting.reject(ended)
  })

  await ready.next()
  return {
    events,
    evaluate(expression) {
      if (ended !== undefined) return Promise.reject(ended)
      const id = String(++last)
      erl.child.stdin?.write(`${id} ${expression}.\n`)
      return new Promise<string>((resolve, reject) => answers.set(id, { resolve, reject })).finally(() => answers.delete(id))
    },
  }
}
