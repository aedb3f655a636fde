import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { SeededRandom } from '../../src/testing/seeded-random.ts'
import { createCallLedger, type CallLedger } from './call-ledger.ts'
import { temporaryFolder } from './certificates.ts'
import { erpsCaller, httpCaller, webSocketCaller, type ChaosCaller, type Wish } from './chaos-callers.ts'
import { startChaosProxy, type ChaosProxy } from './chaos-proxy.ts'
import { DRAIN, QUICK, startChaosWorker, type WorkerSays } from './chaos-worker.ts'
import { until } from './events.ts'
import { linkCertificates } from './link-certificates.ts'
import { startServer } from './server.ts'

/*
 * A hub over TLS, five workers of one service and callers by all ways in, each behind a proxy of its own that behaves as
 * badly as it is told to. Workers write down what they are asked, callers what they are told; a ledger compares.
 */

export interface ServicesWorld {
  readonly ledger: CallLedger
  /** Those between callers and the hub, and workers and the hub. */
  readonly proxies: readonly ChaosProxy[]
  readonly callers: readonly ChaosCaller[]
  /** Times that a worker was killed, and that one was asked to go. */
  readonly killed: number
  readonly drained: number
  /** Some caller calls, or casts, something. */
  act(random: SeededRandom): void
  /** A worker is killed, or asked to go. Another one takes its place. */
  loseWorker(random: SeededRandom, how: 'kill' | 'drain'): void
  /** Ends all mischief, and waits until five workers are here, and everybody is answered. */
  settle(): Promise<void>
}

interface Staff {
  readonly isWorking: boolean
  kill(): void
  drain(): Promise<void>
}

const SERVICE = 'sums'
const WORKERS = 5
const HOWS = ['answer', 'answer', 'answer', 'slow', 'slow', 'slow', 'throw', 'never'] as const
const DEADLINES = [30, 200, 1_000]
/** Calls that one caller has under way at most. */
const MOST = 40
/** ms after which a worker that has gone comes again. */
const AWAY = 150
const CHILD = fileURLToPath(new URL('chaos-worker.ts', import.meta.url))

/** @param processes how many of the workers have a process of their own, which can be killed */
export async function startServicesWorld(t: TestContext, processes: number): Promise<ServicesWorld> {
  const folder = temporaryFolder(t)
  const certificates = linkCertificates(join(folder, 'ca'))
  const hubFiles = await certificates.server('hub')
  const hub = await startServer(t, {
    ...QUICK,
    servicePort: 0, serviceHost: '127.0.0.1', serviceCacertfile: hubFiles.cacertfile, serviceCertfile: hubFiles.certfile, serviceKeyfile: hubFiles.keyfile,
    serviceRules: [{ services: '*', call: 'anyone', workers: ['worker*'] }],
    maxPoolQueue: 100, callTimeout: 2_000, idempotencyTime: '20s',
  })
  const ledger = createCallLedger()
  t.after(() => ledger.close())
  const proxies: ChaosProxy[] = []
  const proxyTo = async (port: () => number): Promise<ChaosProxy> => {
    const proxy = await startChaosProxy(port)
    t.after(() => proxy.close())
    proxies.push(proxy)
    return proxy
  }
  const servicePort = (): number => hub.servicePort as number
  let isOver = false
  let journals = 0
  let [killed, drained] = [0, 0]

  async function employ(place: number, port: number, tls: Awaited<ReturnType<typeof certificates.client>>): Promise<Staff> {
    const journal = join(folder, `journal-${++journals}`)
    ledger.follow(journal)
    const options = { port, name: SERVICE, tls, journal }
    return place < processes ? workElsewhere(options) : workHere(options)
  }

  async function workHere(options: Parameters<typeof startChaosWorker>[0]): Promise<Staff> {
    let isWorking = false
    const { drain } = await startChaosWorker(options, (what) => void (isWorking = what === 'working'))
    return {
      get isWorking() { return isWorking },
      // Without a process of its own it cannot die: it goes as well as it can.
      kill: () => void drain(),
      drain,
    }
  }

  function workElsewhere(options: Parameters<typeof startChaosWorker>[0]): Staff {
    let isWorking = false
    const child: ChildProcess = fork(CHILD, [JSON.stringify(options)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [] })
    child.on('message', (what: WorkerSays) => void (isWorking = what === 'working'))
    child.on('exit', () => void (isWorking = false))
    child.on('error', () => {})
    const exited = once(child, 'exit')
    return {
      get isWorking() { return isWorking },
      kill: () => void child.kill('SIGKILL'),
      async drain() {
        if (child.connected) child.send(DRAIN)
        await exited
      },
    }
  }

  const staff: { readonly port: number; readonly tls: Awaited<ReturnType<typeof certificates.client>>; one: Staff | undefined }[] = []
  for (let place = 0; place < WORKERS; place++) staff.push({ port: (await proxyTo(servicePort)).port, tls: await certificates.client(`worker-${place}`), one: undefined })
  async function fill(place: number): Promise<void> {
    const own = staff[place] as (typeof staff)[number]
    if (isOver || own.one !== undefined) return
    own.one = await employ(place, own.port, own.tls)
  }
  await Promise.all(staff.map((_, place) => fill(place)))
  t.after(async () => {
    isOver = true
    await Promise.all(staff.map(async ({ one }, place) => {
      if (place < processes) one?.kill()
      else await one?.drain()
    }))
  })

  const [httpProxy, socketProxy, erpsProxy] = [await proxyTo(() => hub.port), await proxyTo(() => hub.port), await proxyTo(servicePort)]
  const tls = await certificates.client('caller')
  const callers = [
    httpCaller('HTTP', ledger, SERVICE, () => hub.port, 'directly'),
    httpCaller('HTTP by a proxy', ledger, SERVICE, () => httpProxy.port, 'by a proxy'),
    webSocketCaller('WebSocket', ledger, SERVICE, () => socketProxy.port),
    await erpsCaller('Erps', ledger, SERVICE, servicePort(), tls),
    await erpsCaller('Erps by a proxy', ledger, SERVICE, erpsProxy.port, tls),
  ]
  t.after(() => Promise.all(callers.map((caller) => caller.close())))
  const running = new Map<ChaosCaller, number>(callers.map((caller) => [caller, 0]))

  function call(caller: ChaosCaller, wish: Wish): void {
    const before = running.get(caller) as number
    if (before >= MOST) return
    running.set(caller, before + 1)
    void caller.call(wish).then(() => running.set(caller, (running.get(caller) as number) - 1))
  }

  return {
    ledger, proxies, callers,
    get killed() { return killed },
    get drained() { return drained },
    act(random) {
      const caller = random.pick(callers)
      if (random.below(10) === 0) return caller.cast()
      call(caller, { how: random.pick(HOWS), ms: random.below(150), deadline: random.pick(DEADLINES), kind: random.pick(['once', 'repeatable'] as const) })
    },
    loseWorker(random, how) {
      const place = random.below(how === 'kill' && processes > 0 ? processes : WORKERS)
      const own = staff[place] as (typeof staff)[number]
      const one = own.one
      if (one === undefined) return
      own.one = undefined
      const again = (): void => void setTimeout(() => void fill(place), AWAY)
      if (how === 'kill') {
        killed++
        one.kill()
        again()
      } else {
        drained++
        void one.drain().then(again)
      }
    },
    async settle() {
      for (const proxy of proxies) proxy.calm()
      await until(() => staff.every(({ one }) => one?.isWorking === true), 'five workers are at work', 30_000)
      await until(() => ledger.counts.waiting === 0, 'every call has ended', 30_000)
      for (const caller of callers) await until(() => caller.call({ how: 'answer', ms: 0, deadline: 2_000, kind: 'repeatable' }), `${caller.name} is answered`, 30_000)
      ledger.check()
    },
  }
}
