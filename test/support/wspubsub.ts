import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { createHub, type Hub } from '../../src/core/hub.ts'
import { createKeys, type KeyVerdict } from '../../src/core/keys.ts'
import type { LimitName } from '../../src/core/limits.ts'
import { createMemoryLog } from '../../src/core/log.ts'
import { compilePattern } from '../../src/core/pattern.ts'
import type { Clock, Meter } from '../../src/core/ports.ts'
import type { DomainNews, KeyRow, KeyTable } from '../../src/core/registry.ts'
import { createRouter } from '../../src/core/router.ts'
import { createRules, type Rule } from '../../src/core/rules.ts'
import { addressSet } from '../../src/http/address.ts'
import { createAdmission } from '../../src/http/admission.ts'
import { createBodyAccount } from '../../src/http/body-account.ts'
import { createOrigins } from '../../src/http/origin.ts'
import { createDispatch, createPort, type Request } from '../../src/http/server.ts'
import { realClock } from '../../src/server/real-world.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { createPinghubStats } from '../../src/transports/pinghub/metrics-port.ts'
import { createPinghub } from '../../src/transports/pinghub/pinghub.ts'
import { createWspubsub, type Wspubsub } from '../../src/transports/wspubsub/wspubsub.ts'
import { handshake, raw } from './raw.ts'
import { anonymous, transportKit } from './transport-port.ts'
import { connect, type TestSocket } from './websocket.ts'

/** A table of API keys that keeps nothing when the process ends. */
export interface TestKeys {
  readonly table: Pick<KeyTable, 'watchDomains' | 'keysOf'>
  /** Adds or replaces the row of a domain. */
  put(domain: string, apikey: string, active?: boolean): void
  remove(domain: string): void
  /** 'slow': an answer takes some milliseconds. 'away': every question is refused. 'stuck': none is answered. */
  state: 'here' | 'slow' | 'away' | 'stuck'
  /** Domains that were asked for, query by query. */
  readonly queries: (readonly string[])[]
}

export function createTestKeys(): TestKeys {
  const rows = new Map<string, KeyRow>()
  let tell: (news: DomainNews) => void = () => {}
  const keys: TestKeys = {
    state: 'here',
    queries: [],
    put(domain, apikey, active = true) {
      rows.set(domain, { id: rows.size + 1, domain, username: 'somebody', apikey, sha256: undefined, insertedAt: 0, active })
      tell({ all: false, domains: [[domain, true]] })
    },
    remove(domain) {
      rows.delete(domain)
      tell({ all: false, domains: [[domain, false]] })
    },
    table: {
      async watchDomains(told) {
        tell = told
        told({ all: true, domains: [...rows.keys()].map((domain) => [domain, true]) })
      },
      async keysOf(domains) {
        keys.queries.push(domains)
        if (keys.state === 'stuck') return new Promise<never>(() => {})
        await new Promise((resolve) => (keys.state === 'slow' ? setTimeout(resolve, 10) : setImmediate(resolve)))
        if (keys.state === 'away') throw new WaystationError('registry_unavailable')
        return domains.flatMap((domain) => rows.get(domain) ?? [])
      },
    },
  }
  return keys
}

/** A hub with wspubsub, and pinghub behind it; the domain `acme` has the key `good`. */
export interface KeyedHub {
  readonly port: number
  readonly hub: Hub
  readonly transport: Wspubsub
  readonly keys: TestKeys
  readonly verdicts: KeyVerdict[]
  readonly lines: { readonly line: object; readonly text: string }[]
  /** Topics of which a slow one was let go. */
  readonly slow: string[]
  /** Places that are taken by wspubsub. */
  readonly places: number
  /** What the body account has booked. */
  readonly booked: number
  publisher(path?: string): Promise<TestSocket>
  subscriber(path?: string): Promise<TestSocket>
  /** The status that answers a handshake. */
  status(path: string, headers?: Record<string, string>): Promise<number>
}

export interface KeyedHubOptions {
  readonly limits?: Partial<Record<LimitName, number>>
  readonly standing?: readonly string[]
  readonly rules?: readonly Rule[]
  readonly origins?: readonly string[]
  readonly admit?: (request: Request) => number | undefined
  /** What the transport has its time from. */
  readonly clock?: Clock
  /** Bytes of the body account. */
  readonly unfinished?: number
}

export async function startKeyedHub(t: TestContext, options: KeyedHubOptions = {}): Promise<KeyedHub> {
  const slow: string[] = []
  const meter: Meter = { published() {}, delivered() {}, slow: (_, topic) => slow.push(topic), gap() {}, failed() {} }
  const kit = { ...transportKit({ drainTime: 100, ...options.limits }), meter, ...(options.clock !== undefined && { clock: options.clock }) }
  const testKeys = createTestKeys()
  testKeys.put('acme', 'good')
  const keys = createKeys({ table: testKeys.table, clock: realClock, limits: kit.limits, failed() {} })
  await keys.start()
  const rules = createRules(options.rules ?? [], keys.owns)
  const log = createMemoryLog({ rules, clock: realClock, random: createSeededRandom(1), maxBytes: 1_000_000 })
  const hub = createHub({ log, router: createRouter(), rules, maxHeldBytes: 1_000_000 })
  const account = createBodyAccount(options.unfinished ?? 64 * 1_048_576)
  let [booked, places] = [0, 0]
  const bodies = {
    take(client: string, bytes: number) {
      const taken = account.take(client, bytes)
      if (taken) booked += bytes
      return taken
    },
    give(client: string, bytes: number) {
      booked -= bytes
      account.give(client, bytes)
    },
  }
  const [origins, verdicts, lines] = [createOrigins(options.origins ?? []), [] as KeyVerdict[], [] as { line: object; text: string }[]]
  const transport = createWspubsub({
    kit, origins, bodies, keys,
    standing: (options.standing ?? []).map(compilePattern),
    identify: anonymous,
    admit(request) {
      const refused = options.admit?.(request)
      if (refused !== undefined) return refused
      places++
      let taken = true
      return () => {
        if (!taken) throw new Error('a place was given back twice')
        taken = false
        places--
      }
    },
    checked: (verdict) => verdicts.push(verdict),
    log: { info: (line, text) => lines.push({ line, text }) },
  })
  const stats = createPinghubStats(realClock)
  const pinghub = createPinghub({ kit, origins, bodies, keys, admit: () => () => {}, stats, identify: anonymous })
  const trusted = addressSet([])
  const server = createPort({
    dispatch: createDispatch([transport.route, pinghub.route], trusted, (error) => {
      throw error
    }),
    bounds: kit.limits,
    admission: createAdmission({ total: 10_000, perAddress: 10_000 }),
    trusted,
    refused: () => {},
  })
  for (const one of [transport, pinghub]) await one.start(hub)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    await Promise.all([transport.stop(AbortSignal.abort()), pinghub.stop(AbortSignal.abort())])
    keys.stop()
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const url = `ws://127.0.0.1:${port}`
  return {
    port, hub, transport, keys: testKeys, verdicts, lines, slow,
    get places() { return places },
    get booked() { return booked },
    publisher: (path = 'good/acme/prices') => connect(t, `${url}/ws/pub/${path}`),
    subscriber: (path = 'acme/prices') => connect(t, `${url}/ws/sub/${path}`),
    status: (path, headers) => answerTo(t, port, path, headers),
  }
}

/** The status that answers a handshake. */
export async function answerTo(t: TestContext, port: number, path: string, headers: Record<string, string> = {}): Promise<number> {
  const { socket, send } = await raw(t, port)
  const answer = new Promise<Buffer>((resolve, reject) => {
    socket.once('data', resolve)
    socket.once('close', () => reject(new Error('closed without an answer')))
  })
  send(handshake(path, headers))
  const status = Number((await answer).toString('latin1', 9, 12))
  socket.destroy()
  return status
}
