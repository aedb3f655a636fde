import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { TestContext } from 'node:test'
import { formatSecrets, type StatedScheme } from '../../src/protocol/lonelyps/secrets.ts'
import type { HeaderForm } from '../../src/protocol/lonelyps/stateful/messages.ts'
import type { Options } from '../../src/server/options.ts'
import { temporaryFolder } from '../support/certificates.ts'
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

/** One client of the library. */
export interface PythonSocketClient {
  readonly inbox: Inbox<PythonMessage>
  /** Names of subscriptions that receive again, after something may have been missed. */
  readonly again: Inbox<string>
  subscribe(name: string, wanted: { exact?: readonly (string | Buffer)[]; glob?: readonly string[] }): Promise<void>
  unsubscribe(name: string): Promise<void>
  /** How many subscribers the library says were notified. */
  notify(topic: string | Buffer, data: string | Buffer): Promise<number>
  /** Notifies with that many bytes, by chance or a line again and again, from a file. */
  notifyFile(topic: string, size: number, content?: 'random' | 'lines'): Promise<{ notified: number; sha512: string }>
  /** Many at once, in this order, without waiting for one another. */
  notifyAll(topic: string, data: readonly string[]): Promise<readonly number[]>
  close(): Promise<void>
}

/** One that is called by the hub, with a port of its own. */
export interface PythonClient extends PythonSocketClient {
  /** The url that the hub calls. */
  readonly url: string
  readonly recovery: string
}

/** What a WebSocket client of the library is configured with. */
export interface PythonSocketOptions {
  readonly form?: HeaderForm
  /** Of one frame; 3.5 MiB unless stated. */
  readonly maxMessageBytes?: number
  readonly compression?: boolean
  readonly training?: boolean
  readonly dictionaries?: readonly { readonly id: number; readonly level: number; readonly data: Buffer }[]
  readonly initialDictionary?: number
}

export interface Python {
  readonly process: TestProcess
  open(name: string, hub: string, secretsFile: string): Promise<PythonClient>
  /** @param hub as `ws://HOST:PORT` */
  openSocket(name: string, hub: string, secretsFile: string, options?: PythonSocketOptions): Promise<PythonSocketClient>
}

const PEER = fileURLToPath(new URL('lonelypsc_peer.py', import.meta.url))
const base64 = (value: string | Buffer): string => Buffer.from(value as string).toString('base64')

/** The secrets file that a client of a hub with these options takes. */
export function secretsFile(t: TestContext, options: Options): string {
  const { toBroadcastersAuth, toBroadcastersSecret, toSubscribersAuth, toSubscribersSecret } = options
  const stated = (type: Options['toBroadcastersAuth'], secret: string): StatedScheme => (type === 'none' || type === 'local' ? { type: 'none' } : { type, secret })
  const file = join(temporaryFolder(t), 'subscriber-secrets.json')
  writeFileSync(file, formatSecrets({ toBroadcaster: stated(toBroadcastersAuth, toBroadcastersSecret), toSubscriber: stated(toSubscribersAuth, toSubscribersSecret) }))
  return file
}

/** Starts a Python process that has the subscriber library. It ends with the test. */
export async function startPython(t: TestContext): Promise<Python> {
  const process = run(t, PYTHON.path as string, ['-B', PEER], { env: { PYTHONUNBUFFERED: '1' } })
  const answers = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  const inboxes = new Map<string, { readonly inbox: Inbox<PythonMessage>; readonly again: Inbox<string> }>()
  const ready = createInbox<true>('Python process')
  let last = 0
  let ended: Error | undefined

  createInterface({ input: process.child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    const said = JSON.parse(line) as { event?: string; id?: number; ok?: unknown; error?: string; client: string; subscription: string; topic: string; data: string | null }
    if (said.event === 'ready') return ready.push(true)
    if (said.event === 'receiving') return inboxes.get(said.client)?.again.push(said.subscription)
    if (said.event === 'message') {
      const { client, topic, data, ...rest } = said
      return inboxes.get(client)?.inbox.push({ ...(rest as unknown as PythonMessage), topic: Buffer.from(topic, 'base64').toString('latin1'), data: data === null ? undefined : Buffer.from(data, 'base64') })
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
    for (const { inbox, again } of inboxes.values()) {
      inbox.end(ended)
      again.end(ended)
    }
  })

  function ask<T>(request: Record<string, unknown>): Promise<T> {
    if (ended !== undefined) return Promise.reject(ended)
    const id = ++last
    process.child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`)
    return new Promise<T>((resolve, reject) => answers.set(id, { resolve: resolve as (value: unknown) => void, reject }))
  }

  function client(name: string): PythonSocketClient {
    const inbox = createInbox<PythonMessage>('message in Python')
    const again = createInbox<string>('subscription in Python that receives again')
    inboxes.set(name, { inbox, again })
    return {
      inbox,
      again,
      async subscribe(subscription, { exact = [], glob = [] }) {
        await ask({ do: 'subscribe', client: name, name: subscription, exact: exact.map(base64), glob })
      },
      async unsubscribe(subscription) {
        await ask({ do: 'unsubscribe', client: name, name: subscription })
      },
      async notify(topic, data) {
        return (await ask<{ notified: number }>({ do: 'notify', client: name, topic: base64(topic), data: base64(data) })).notified
      },
      notifyFile: (topic, size, content = 'random') => ask({ do: 'notify', client: name, topic: base64(topic), size, content }),
      async notifyAll(topic, data) {
        return (await ask<{ notified: number[] }>({ do: 'notify_all', client: name, topic: base64(topic), data: data.map(base64) })).notified
      },
      async close() {
        await ask({ do: 'close', client: name })
      },
    }
  }

  await ready.next()
  return {
    process,
    async open(name, broadcaster, secrets) {
      const opened = client(name)
      const { host } = await ask<{ host: string }>({ do: 'open_http', client: name, broadcaster, secrets })
      return { ...opened, url: `${host}/v1/receive`, recovery: `${host}/v1/recover` }
    },
    async openSocket(name, broadcaster, secrets, options = {}) {
      const opened = client(name)
      const { form = 'minimal', maxMessageBytes = 3_670_016, compression = true, training = true, dictionaries = [], initialDictionary = null } = options
      const presets = dictionaries.map(({ id, level, data }) => ({ id, level, data: base64(data) }))
      await ask({ do: 'open_socket', client: name, broadcaster, secrets, minimal: form === 'minimal', most: maxMessageBytes, compression, training, dictionaries: presets, initial: initialDictionary })
      return opened
    },
  }
}
