import { createInterface } from 'node:readline'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { TestContext } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { createInbox, type Inbox } from '../support/events.ts'
import { ERLANG, type Part } from '../support/parts.ts'
import { run } from '../support/process.ts'

const SOURCE = fileURLToPath(new URL('pony_express_peer.erl', import.meta.url))

const HAS_SSL = 'halt(case code:lib_dir(ssl) of {error, _} -> 1; _ -> 0 end).'

/** An Erlang with its TLS and its compiler. */
export const ERLANG_WITH_SSL: Part = {
  ...ERLANG,
  name: 'Erlang with ssl',
  path: ERLANG.path !== undefined && spawnSync(ERLANG.path, ['-noinput', '-eval', HAS_SSL]).status === 0 ? ERLANG.path : undefined,
  install: 'apt-get install erlang-base erlang-ssl',
}

/** What the peer tells of, besides answers: see the calls of `say` in its source. */
export type ErlangEvent = 'heard' | 'accepted' | 'refused' | 'asked' | 'stopped' | 'connected' | 'turned_away' | 'failed_client' | 'gave_up' | 'junk'

/** What a subscriber over there got: as it is written there, cut where it is long, and what the same term alone has. */
export interface Heard {
  readonly text: string
  readonly digest: string
}

/** An Erlang node that runs `pony_express_peer`. */
export interface Erlang {
  /** The value of an expression over there, as it is written there. Rejects when it fails. */
  evaluate(expression: string): Promise<string>
  /** Starts a daemon that gives the topics of a PubSub, and gives its port. */
  daemon(name: string, options: string): Promise<number>
  /** Starts a client of one topic. */
  client(name: string, options: string): Promise<void>
  /** Ends a daemon with its servers, or a client, for good. */
  stop(name: string): Promise<void>
  broadcast(pubsub: string, topic: string, term: string): Promise<void>
  /** Subscribes to a topic of a PubSub. */
  watch(name: string, pubsub: string, topic: string): Promise<Inbox<Heard>>
  /** Events of one kind of one of them, each as the fields that stand behind its name. */
  events(kind: ErlangEvent, name: string): Inbox<string[]>
}

/** A binary as Erlang writes it. */
export function binary(text: string): string {
  return `<<${[...Buffer.from(text)].join(',')}>>`
}

/** Starts a node, and ends it with the test. */
export async function startErlang(t: TestContext): Promise<Erlang> {
  const folder = temporaryFolder(t)
  const compiled = spawnSync(`${ERLANG.path as string}c`, ['-o', folder, SOURCE], { encoding: 'utf8' })
  if (compiled.status !== 0) throw new Error(`pony_express_peer.erl does not compile:\n${compiled.stdout}${compiled.stderr}`)
  const process = run(t, ERLANG.path as string, ['-noinput', '-pa', folder, '-s', 'pony_express_peer', 'main'], { cwd: folder, env: { ERL_CRASH_DUMP_BYTES: '0' } })
  const ready = createInbox<string>('word of the Erlang node')
  const answers = new Map<string, { resolve(value: string): void; reject(error: Error): void }>()
  const inboxes = new Map<string, Inbox<string[]>>()
  const heard = new Map<string, Inbox<Heard>>()
  let last = 0
  let ended: Error | undefined

  function events(kind: string, name: string): Inbox<string[]> {
    const key = `${kind} ${name}`
    let inbox = inboxes.get(key)
    if (inbox === undefined) inboxes.set(key, (inbox = createInbox(`event ${key} in Erlang`)))
    return inbox
  }

  createInterface({ input: process.child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    const [kind, name, ...fields] = line.split('\t') as [string, string, ...string[]]
    if (kind === 'ready') ready.push(name)
    else if (kind === 'done') answers.get(name)?.resolve(fields.join('\t'))
    else if (kind === 'failed') answers.get(name)?.reject(new Error(`Erlang: ${fields.join('\t')}`))
    else if (kind === 'heard') heard.get(name)?.push({ text: fields[0] as string, digest: fields[1] as string })
    else events(kind, name).push(fields)
  })
  void process.exited.then(() => {
    ended = new Error(`the Erlang node ended:\n${process.stderr()}`)
    for (const waiting of [ready, ...inboxes.values(), ...heard.values()]) waiting.end(ended)
    for (const waiting of answers.values()) waiting.reject(ended)
  })

  const erlang: Erlang = {
    evaluate(expression) {
      if (ended !== undefined) return Promise.reject(ended)
      const id = String(++last)
      process.child.stdin?.write(`${id} ${expression}.\n`)
      return new Promise<string>((resolve, reject) => answers.set(id, { resolve, reject })).finally(() => answers.delete(id))
    },
    daemon: async (name, options) => Number((await erlang.evaluate(`daemon(${name}, ${options})`)).slice(1, -1)),
    async client(name, options) {
      await erlang.evaluate(`client(${name}, ${options})`)
    },
    async stop(name) {
      await erlang.evaluate(`stop(${name})`)
    },
    async broadcast(pubsub, topic, term) {
      await erlang.evaluate(`broadcast(${pubsub}, ${topic}, ${term})`)
    },
    async watch(name, pubsub, topic) {
      const inbox = createInbox<Heard>(`message to ${name} in Erlang`)
      heard.set(name, inbox)
      await erlang.evaluate(`watch(${name}, ${pubsub}, ${topic})`)
      return inbox
    },
    events,
  }
  await ready.next()
  return erlang
}
