import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { TestContext } from 'node:test'
import { createInbox, type Inbox } from '../support/events.ts'
import { PYTHON } from '../support/parts.ts'
import { run, type TestProcess } from '../support/process.ts'

/** What a subscription of the library got. */
export interface PythonMessage {
  readonly subscription: string
  readonly topic: string
  readonly size: number
  /** Of the bytes, as counted over there; and as the library stated it. */
  readonly sha512: string
  readonly stated: string
  /** Not there when it is large. */
  readonly data: Buffer | undefined
}

/** One client of the library, with a port of its own. */
export interface PythonClient {
  /** The url that the hub calls. */
  readonly url: string
  readonly recovery: string
  readonly inbox: Inbox<PythonMessage>
  subscribe(name: string, wanted: { exact?: readonly (string | Buffer)[]; glob?: readonly string[] }): Promise<void>
  unsubscribe(name: string): Promise<void>
  /** How many subscribers the library says were notified. */
  notify(topic: string | Buffer, data: string | Buffer): Promise<number>
  /** Notifies with that many bytes by chance, from a file. */
  notifyFile(topic: string, size: number): Promise<{ notified: number; sha512: string }>
  close(): Promise<void>
}

export interface Python {
  readonly process: TestProcess
  open(name: string, hub: string, secretsFile: string): Promise<PythonClient>
}

const PEER = fileURLToPath(new URL('lonelypsc_peer.py', import.meta.url))
const base64 = (value: string | Buffer): string => Buffer.from(value as string).toString('base64')

/** Starts a Python process that has the subscriber library. It ends with the test. */
export async function startPython(t: TestContext): Promise<Python> {
  const process = run(t, PYTHON.path as string, ['-B', PEER], { env: { PYTHONUNBUFFERED: '1' } })
  const answers = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  const inboxes = new Map<string, Inbox<PythonMessage>>()
  const ready = createInbox<true>('Python process')
  let last = 0
  let ended: Error | undefined

  createInterface({ input: process.child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    const said = JSON.parse(line) as { event?: string; id?: number; ok?: unknown; error?: string; client: string; topic: string; data: string | null }
    if (said.event === 'ready') return ready.push(true)
    if (said.event === 'message') {
      const { client, topic, data, ...rest } = said
      return inboxes.get(client)?.push({ ...(rest as unknown as PythonMessage), topic: Buffer.from(topic, 'base64').toString('latin1'), data: data === null ? undefined : Buffer.from(data, 'base64') })
    }
    const waiting = answers.get(said.id as number)
    answers.delete(said.id as number)
    if (said.error === undefined) waiting?.resolve(said.ok)
    else waiting?.reject(new Error(said.error))
  })
  void process.exited.then(() => {
    ended = new Error(`the Python process ended:\n${process.stderr()}`)
    ready.end(ended)
    for (const waiting of answers.values()) waiting.reject(ended)
    for (const inbox of inboxes.values()) inbox.end(ended)
  })

  function ask<T>(request: Record<string, unknown>): Promise<T> {
    if (ended !== undefined) return Promise.reject(ended)
    const id = ++last
    process.child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`)
    return new Promise<T>((resolve, reject) => answers.set(id, { resolve: resolve as (value: unknown) => void, reject }))
  }

  await ready.next()
  return {
    process,
    async open(client, broadcaster, secrets) {
      const inbox = createInbox<PythonMessage>('message in Python')
      inboxes.set(client, inbox)
      const { host } = await ask<{ host: string }>({ do: 'open', client, broadcaster, secrets })
      return {
        url: `${host}/v1/receive`,
        recovery: `${host}/v1/recover`,
        inbox,
        async subscribe(name, { exact = [], glob = [] }) {
          await ask({ do: 'subscribe', client, name, exact: exact.map(base64), glob })
        },
        async unsubscribe(name) {
          await ask({ do: 'unsubscribe', client, name })
        },
        async notify(topic, data) {
          return (await ask<{ notified: number }>({ do: 'notify', client, topic: base64(topic), data: base64(data) })).notified
        },
        notifyFile: (topic, size) => ask({ do: 'notify', client, topic: base64(topic), size }),
        async close() {
          await ask({ do: 'close', client })
        },
      }
    },
  }
}
