import type { TestContext } from 'node:test'
import { deflateSync } from 'node:zlib'
import type { ConnectionOptions } from 'node:tls'
import type { Config } from '../../src/server/options.ts'
import type { PacketType } from '../../src/protocol/erps/messages.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { universe, type Universe } from '../../src/testing/universe.ts'
import { connectErps, type ErpsClient } from './erps-client.ts'
import { until } from './events.ts'

/** A whole hub, and those who come to it with ill will. */
export interface HostileHub {
  readonly world: Universe
  /** Of its services. */
  readonly port: number
  /** Connections that were refused or ended for what they sent, by reason. */
  refused(): Promise<Record<string, number>>
  /** Waits until there are so many for a reason. */
  refusedFor(reason: string, count?: number): Promise<void>
  /** Calls and workers, by the hub's own account. */
  gauge(name: string): Promise<number>
  /** A caller of the service that does only what a test says. */
  caller(service: string, tls?: ConnectionOptions): Promise<ErpsClient>
  /** A worker that answers only what a test says. */
  worker(service: string, slots?: number, tls?: ConnectionOptions): Promise<ErpsClient>
  /** A call over HTTP: its status, and the answer or the code and detail of its problem. */
  post(service: string, request: unknown, headers?: Record<string, string>): Promise<Posted>
}

export interface Posted {
  readonly status: number
  readonly body: { readonly code?: string; readonly detail?: string } & Record<string, unknown>
}

const NONCE = Buffer.alloc(16, 9)

export async function hostileHub(t: TestContext, config: Config = {}): Promise<HostileHub> {
  const world = await universe(config)
  t.after(() => world.close())
  const port = world.server.servicePort as number

  async function metrics(): Promise<string> {
    return (await fetch(`${world.url}/_/metrics`)).text()
  }

  async function refused(): Promise<Record<string, number>> {
    const found = (await metrics()).matchAll(/^waystation_service_refused_total\{reason="(\w+)"\} (\d+)$/gm)
    return Object.fromEntries([...found].map(([, reason = '', count]) => [reason, Number(count)]))
  }

  return {
    world, port, refused,
    refusedFor: (reason, count = 1) => until(async () => ((await refused())[reason] ?? 0) >= count, `${count} refused for ${reason}`),
    async gauge(name) {
      const [, value] = new RegExp(`^${name.replaceAll(/[{}]/g, '\\$&')} (\\d+)$`, 'm').exec(await metrics()) ?? []
      return Number(value)
    },
    caller: (identifier, tls) => connectErps(t, port, { identifier, ...(tls !== undefined && { tls }) }),
    async worker(service, slots = 100, tls) {
      const client = await connectErps(t, port, tls === undefined ? {} : { tls })
      client.packet('keepalive', [], { kind: 'hello', nonce: NONCE, work: { service, slots } })
      await client.next()
      return client
    },
    async post(service, request, headers = {}) {
      const response = await fetch(`${world.url}/_/call/${service}`, { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(request) })
      return { status: response.status, body: await response.json() as Posted['body'] }
    },
  }
}

/** A call as a worker gets it. */
export interface Given {
  readonly ref: number
  readonly request: Term
}

/** The next call of a worker. */
export async function given(worker: ErpsClient): Promise<Given> {
  return givenIn(await worker.next())
}

export function givenIn([type, term]: [PacketType, Term]): Given {
  if (type !== 'call' || !(term instanceof Tuple)) throw new Error(`no call, but ${type}`)
  return { ref: term.elements[0] as number, request: term.elements[1] as Term }
}

export function answer(worker: ErpsClient, ref: Term, value: Term): void {
  worker.packet('reply', new Tuple(value, ref))
}

/** A term as an original sends it where it is told to compress. @param claimed bytes that it says it has */
export function compressed(term: Term, claimed?: number): Buffer {
  const bare = encode(term).subarray(1)
  const head = Buffer.from([131, 80, 0, 0, 0, 0])
  head.writeUInt32BE(claimed ?? bare.length, 2)
  return Buffer.concat([head, deflateSync(bare)])
}
