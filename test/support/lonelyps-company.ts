import assert from 'node:assert/strict'
import { pino } from 'pino'
import type { TestContext } from 'node:test'
import { createServer, type Config, type WaystationServer } from '../../src/index.ts'
import { temporaryFolder } from './certificates.ts'
import { until } from './events.ts'
import { schemes, type SchemeName } from './lonelyps.ts'
import { connectSocket, type SocketClient, type SocketOptions } from './lonelyps-socket.ts'
import { connect } from './websocket.ts'

/** A hub with others on it, who must not notice what one socket does. */
export interface Company {
  readonly port: number
  readonly server: WaystationServer
  readonly dataDir: string
  /** Why sockets were closed, as the log says. */
  readonly reasons: readonly string[]
  /** Errors in the log. */
  readonly errors: readonly string[]
  /** A socket that is subscribed to what the others have, too. */
  join(options?: SocketOptions): Promise<SocketClient>
  /** One that is not. */
  connect(options?: SocketOptions): Promise<SocketClient>
  /** The sum over all labels of a metric. */
  metric(name: string): Promise<number>
  /** The one socket was closed with 1000 for this reason, and the others go on. */
  endedFor(client: SocketClient, reason: RegExp): Promise<void>
  /** A message goes from one socket to another and to a pinghub WebSocket. @param counted how many get it, when more do */
  othersGoOn(counted?: number): Promise<void>
}

export const TOPIC = 'news'

/** @param scheme of both directions */
export async function openCompany(t: TestContext, config: Config = {}, scheme: SchemeName = 'none'): Promise<Company> {
  const lines: Record<string, unknown>[] = []
  const logger = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) })
  const dataDir = (config.dataDir as string | undefined) ?? temporaryFolder(t)
  const server = createServer({ addr: '127.0.0.1:0', ...schemes(scheme, scheme), dataDir, ...config }, { logger })
  await server.listen()
  t.after(() => server.close(AbortSignal.abort()))
  const port = Number(new URL(server.url).port)
  const open = async (options: SocketOptions = {}): Promise<SocketClient> => {
    const client = await connectSocket(t, port, { scheme, ...options })
    if (options.zstd === true) await client.next('enable_zstd_preset')
    return client
  }
  const join = async (options?: SocketOptions): Promise<SocketClient> => {
    const client = await open(options)
    client.subscribe('exact', TOPIC)
    await client.next('confirm_subscribe_exact')
    return client
  }
  const [subscriber, publisher] = [await join(), await open()]
  const page = await connect(t, `${server.url.replace('http', 'ws')}/${TOPIC}`)
  let said = 0
  const company: Company = {
    port, server, dataDir, join,
    connect: open,
    get reasons() { return lines.filter(({ msg }) => msg === 'a lonelyps WebSocket was closed').map(({ reason }) => String(reason)) },
    get errors() { return lines.filter(({ level }) => Number(level) >= 50).map((line) => JSON.stringify(line)) },
    async metric(name) {
      const lines = (await (await fetch(`${server.url}/_/metrics`)).text()).split('\n')
      return lines.filter((line) => line.startsWith(name)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
    },
    async endedFor(client, reason) {
      assert.equal(await client.closed, 1000)
      await until(() => company.reasons.length > 0, 'the reason in the log')
      assert.equal(company.reasons.length, 1, company.reasons.join())
      assert.match(company.reasons[0] as string, reason)
      assert.deepEqual(company.errors, [])
      await company.othersGoOn()
    },
    async othersGoOn(counted = 2) {
      const text = `still here ${++said}`
      publisher.notify(TOPIC, text)
      const part = await subscriber.next('receive_stream')
      assert.equal(part.body.toString(), text)
      subscriber.acknowledge(part)
      assert.equal(await page.next(), text)
      assert.equal((await publisher.next('confirm_notify')).subscribers, counted)
    },
  }
  return company
}
