import { limitsWith } from '../../src/core/limits.ts'
import type { Identity } from '../../src/core/ports.ts'
import { createWheel } from '../../src/core/wheel.ts'
import { judge } from '../../src/protocol/erps/judge.ts'
import { errorText, writeText } from '../../src/protocol/erps/payload.ts'
import { PacketError, createPacketReader } from '../../src/protocol/erps/reader.ts'
import { createAccess } from '../../src/services/access.ts'
import { createAnswerer } from '../../src/services/answerer.ts'
import { createCaller } from '../../src/services/caller.ts'
import { createServiceClient, type ServiceClient } from '../../src/services/client.ts'
import { openConnection, type ConnectionParts } from '../../src/services/connection.ts'
import type { ServiceFrom, ServiceHandlers } from '../../src/services/handlers.ts'
import { createIdempotency } from '../../src/services/idempotency.ts'
import { POLICIES, type Policy } from '../../src/services/policy.ts'
import { createPools } from '../../src/services/pools.ts'
import type { Brake, Callee, Connection, Outcome, Peer } from '../../src/services/ports.ts'
import { createProgramWorld } from '../../src/services/program.ts'
import { createReception, type ReceptionParts } from '../../src/services/reception.ts'
import { createSwitchboard } from '../../src/services/switchboard.ts'
import { createValues } from '../../src/services/values.ts'
import { createWorker, type Worker } from '../../src/services/worker.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { createVirtualClock } from '../simulation/virtual-clock.ts'
import { createNetwork, type Mischief } from './network.ts'
import { createOriginalClient, type OriginalClient, type OriginalOutcome } from './original-client.ts'
import { Breach, createModel, type Call, type Job, type Model } from './whole-model.ts'

/*
 * A hub with its pools, workers that connect to it, a service that serves alone, and callers of all kinds over a network at
 * its worst, in one process from a seed. All but the network, the clock, what handlers do and the client that is an original
 * are the real parts. What is promised stands in whole-model.ts and in `check`, `atRest` and `nothingLeft`.
 */

export interface Played {
  readonly policy: Policy
  /** What was promised and not kept. */
  readonly breach: string | undefined
  readonly counts: Model['counts'] & { readonly pushed: number; readonly moved: number; readonly drained: number; readonly refused: number }
}

interface Working {
  readonly name: string
  readonly service: string
  readonly worker: Worker
  state: 'here' | 'draining' | 'dead'
}

interface Client {
  readonly name: string
  readonly client: ServiceClient
  /** What it calls. */
  readonly services: readonly string[]
}

const POOLED = ['sums', 'texts'] as const
const ALONE = 'alone'
const STEPS = 36
/** Events between two looks at what is bounded. */
const LOOKS = 40
const DEADLINES = [12, 60, 250, 900]
const KEYS = ['red', 'green', 'blue']
/** Of the brake of those who answer originals, in ms. */
const GAPS = [10, 120]
const NO_VERSION = { major: 0, minor: 0, patch: 0 }
const LOCAL: Identity = { kind: 'anonymous', local: true, address: '127.0.0.1' }
/** Bytes of the largest requests, of those that wait for a connection, and of a packet around. */
const [LARGE, MOST_PENDING, AROUND] = [900, 3_000, 200]
const LIMITS = {
  maxCallsPerConnection: 5, maxServicePendingBytes: MOST_PENDING, writeTimeout: 400, packetTimeout: 400, serviceHandshakeTimeout: 300, serviceKeepalive: 400, serviceDeadline: 1_000,
  serviceRetry: 20, maxServiceRetry: 150, callTimeout: 500, maxCallTimeout: 2_000, idempotencyTime: 20_000, drainTime: 300,
} as const
const BOUNDS = [{ maxPoolQueue: 0 }, { maxPoolQueue: 2 }, { maxPoolQueue: 50 }, { maxPoolQueue: 50, maxCalls: 6 }, { maxPoolQueue: 50, maxCallBytes: 2_000 }]

function* play(seed: number): Generator<void, Played> {
  const random = createSeededRandom(seed)
  const clock = createVirtualClock()
  const limits = { ...limitsWith(LIMITS), ...random.pick(BOUNDS) }
  /** Three calls that meet are not too many. */
  const isRoomy = limits.maxPoolQueue > 10 && limits.maxCallBytes > 3 * LARGE
  const policy = random.pick(POLICIES)
  const signing = random.below(6) === 0 ? { keys: [{ id: 'k', secret: Buffer.alloc(16, 7) }] as const } : undefined
  const brake: Brake = { gap: random.pick(GAPS), calls: 'many' }
  const model = createModel(clock)
  const { demand } = model
  const counts = { pushed: 0, moved: 0, drained: 0, refused: 0 }
  let breach: string | undefined
  /** Handlers answer at once, and nothing happens to connections. */
  let isCalm = false
  /** ms that they take all the same. */
  let slowness = 0
  let serial = 0
  let events = 0

  function attempt(fn: () => void): void {
    try {
      fn()
    } catch (error) {
      breach ??= error instanceof Breach ? error.message : (error as Error).stack ?? String(error)
    }
  }

  const randomBytes = (size: number): Buffer => Buffer.from(Array.from({ length: size }, () => random.below(256)))
  const peer = (name: string): Peer => ({ address: '127.0.0.1', local: true, names: [`cn:${name}`], certificateNames: [name] })
  const wheel = createWheel(clock, 50)
  const lastWrites = new Map<string, number>()
  const network = createNetwork({
    clock, random,
    wrote(who, bytes) {
      if (!who.startsWith('original')) return
      attempt(() => {
        const last = lastWrites.get(who) ?? -Infinity
        lastWrites.set(who, clock.monotonic())
        demand(clock.monotonic() - last >= brake.gap, `${who} got packets ${clock.monotonic() - last} ms apart`)
        demand(packetsIn(bytes) === 1, `${who} got ${packetsIn(bytes)} packets in one write`)
      })
    },
  })

  // The hub, as src/server/services.ts has it.

  const pools = createPools({ clock, random, limits, stated: new Map([['sums', policy], ['texts', random.pick(POLICIES)]]) })
  const idempotency = createIdempotency({ clock, limits })
  const switchboard = createSwitchboard({
    pools, idempotency, limits,
    access: createAccess([{ services: 'closed', call: 'nobody' }, { services: '*', call: 'anyone', workers: ['w*'] }], () => false),
    callers: 'unproved',
    counted() {},
    soon: clock.endOfTurn,
  })
  const accepted = new Set<Connection>()
  /** Workers of which the hub must know that they take no more. */
  const retired = new Set<string>()
  const accepting: Omit<ReceptionParts, 'answering'> = {
    clock, limits, randomBytes, brake, signing,
    judgement: {},
    decode: { atoms: 'any', opaque: 'refused', maxBytes: limits.maxPacketBytes, maxDepth: limits.maxTermDepth },
    refused: () => void counts.refused++,
    failed: (error) => attempt(() => { throw error }),
  }
  const hub = createReception({
    ...accepting,
    answering(connection) {
      accepted.add(connection)
      return switchboard.answering()
    },
    worked(caller, { service, slots }, connection) {
      if (!switchboard.mayWork(service, connection.peer.certificateNames)) return undefined
      let isDraining = false
      const callee: Callee = {
        call(wish, settle) {
          attempt(() => demand(!isDraining && !retired.has(connection.peer.certificateNames[0] ?? ''), `${errorText(wish.request)?.trim()} was sent to a worker that drains`))
          return caller.call(wish, settle)
        },
        cast: (request, identifier, key) => caller.cast(request, identifier, key),
      }
      const member = pools.join(service, { id: `${connection.peer.names[0]} ${++serial}`, slots, callee })
      return {
        draining() {
          isDraining = true
          member.drain()
        },
        ended: () => member.gone(),
      }
    },
  })

  // What handlers do.

  const values = createValues({ as: 'terms', atoms: new Set<string>(), safety: 'strict', maxDepth: limits.maxTermDepth, maxBytes: 1 << 20 })
  const textOf = (value: unknown): string => Buffer.from(value as Uint8Array).toString().trim()
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => void clock.after(ms, resolve))

  /** Whoever does one of these dies of it. */
  const deadly = new Set<string>()

  /**
   * @param refusal why it may not be asked now
   * @param die what becomes of it
   */
  function handlersFor(service: string, refusal: () => string | undefined, die: () => void): ServiceHandlers<never> {
    const answer = (text: string): never => Buffer.from(text) as never
    function act(text: string, from: ServiceFrom<never>): unknown {
      const isDeadly = [...deadly].some((one) => text.startsWith(`re ${one} `))
      if (isDeadly && !isCalm) return void clock.after(3, die)
      if (isCalm && slowness > 0) return sleep(slowness).then(() => answer(text))
      const dice = isCalm ? 0 : random.below(100)
      if (dice < 30) return answer(text)
      if (dice < 65) return sleep(1 + random.below(300)).then(() => answer(text))
      if (dice < 75) return void clock.after(random.below(120), () => void from.reply(answer(text)))
      if (dice < 80) throw new Error('it was told to throw')
      if (dice < 84) return sleep(random.below(60)).then(() => { throw new Error('it was told to reject') })
      if (dice < 91) {
        const isFirst = from.reply(answer(text))
        attempt(() => demand(!from.reply(answer('twice')), 'a second reply was taken'))
        return random.below(2) === 0 && isFirst ? answer('thrice') : undefined
      }
      if (dice < 95) return undefined
      return sleep((from.deadline ?? limits.callTimeout) + 60).then(() => {
        attempt(() => demand(from.deadline === undefined || !from.reply(answer(text)), `${text} was answered after its deadline, and taken`))
        return undefined
      })
    }
    return {
      call(request, from) {
        let text = ''
        attempt(() => {
          const why = refusal()
          demand(why === undefined, `${textOf(request)} came to a worker that is ${why}`)
          text = model.execute(textOf(request), service, 'call')
        })
        return act(text, from) as never
      },
      cast: (request) => attempt(() => void model.execute(textOf(request), service, 'cast')),
    }
  }

  function programFor(service: string, refusal: () => string | undefined, die: () => void) {
    return createProgramWorld({ handlers: handlersFor(service, refusal, die), values: values as never, run: (fn) => fn(), clock, limits, failed() {} })
  }

  // The service that serves alone.

  const program = programFor(ALONE, () => undefined, () => {})
  const alone = createReception({
    ...accepting,
    answering(connection) {
      accepted.add(connection)
      return program.accept(connection)
    },
  })
  /** Pushes of each connection of the service that serves alone: the last that was sent, and the last that came. */
  const pushes = { sent: 0, came: new Map<string, number>() }

  function push(): void {
    const [one] = [...program.connections()].sort(() => random.below(3) - 1)
    one?.push(Buffer.from(`${one.names[0]} ${++pushes.sent}`) as never)
  }

  function pushed(name: string, text: string): void {
    attempt(() => {
      const [to, number] = text.split(' ') as [string, string]
      demand(to === `cn:${name}`, `${name} got a push to ${to}`)
      demand(Number(number) > (pushes.came.get(name) ?? 0), `${name} got push ${number} behind ${pushes.came.get(name)}`)
      pushes.came.set(name, Number(number))
      counts.pushed++
    })
  }

  // Who connects.

  const opened = new Set<Connection>()
  function connecting(name: string): Pick<ConnectionParts, 'peer' | 'role' | 'brake' | 'sender' | 'judge' | 'decode' | 'clock' | 'randomBytes' | 'limits' | 'signing'> {
    return {
      clock, limits, randomBytes, signing,
      peer: peer(name),
      role: 'connector',
      brake: { gap: 20, calls: random.pick(['one', 'many'] as const) },
      sender: { version: NO_VERSION, identifier: Buffer.alloc(0) },
      judge: (packet) => judge(packet, { signed: signing === undefined ? 'refused' : 'required' }),
      decode: { atoms: 'any', opaque: 'refused', maxBytes: limits.maxPacketBytes, maxDepth: limits.maxTermDepth },
    }
  }

  function clientOf(name: string, to: typeof hub, services: readonly string[]): Client {
    const client = createServiceClient({
      clock, random, limits,
      dial: network.dial(name, (stream) => to.receive(stream, peer(name))),
      open({ stream }, events) {
        const connection = openConnection({ stream, ...connecting(name) }, events)
        opened.add(connection)
        // Pushes are told from those of the connection before.
        return connection
      },
      caller: (connection) => createCaller(connection, { clock, limits, pushed: (term) => pushed(name, errorText(term) ?? '') }),
      keepalive: 200,
      reconnect: limits.maxServiceRetry,
      changed() {},
    })
    return { name, client, services }
  }

  const workers: Working[] = []
  function spawn(service: string, name: string): void {
    const worker = createWorker({
      clock, random, limits,
      dial: network.dial(name, (stream) => hub.receive(stream, peer(name))),
      open({ stream }, events) {
        const connection = openConnection({ stream, ...connecting(name), work: { service, slots: 1 + random.below(3) } }, events)
        opened.add(connection)
        return connection
      },
      answerer: (connection) => createAnswerer(connection, ownProgram.accept(connection), { limits, wheel }),
      changed() {},
    })
    const own: Working = { name, service, worker, state: 'here' }
    const ownProgram = programFor(service, () => (own.state === 'here' && !name.startsWith('x') ? undefined : own.state === 'here' ? 'a stranger' : own.state), () => void (isCalm || kill(own)))
    workers.push(own)
    worker.start()
  }

  function kill(one: Working): void {
    if (one.state === 'dead') return
    for (const link of network.links) if (link.who === one.name && random.below(2) === 0) link.do({ kind: 'half-open', ms: 100 + random.below(1_000) })
    one.state = 'dead'
    void one.worker.stop(AbortSignal.abort())
  }

  function drain(one: Working, ms: number): void {
    if (one.state !== 'here') return
    counts.drained++
    const deadline = new AbortController()
    const untime = clock.after(ms, () => deadline.abort())
    void one.worker.stop(deadline.signal).then(() => {
      untime()
      one.state = 'dead'
    })
    // It is from the turn on in which it has said so.
    queueMicrotask(() => void (one.state = one.state === 'here' ? 'draining' : one.state))
  }

  const clients = [clientOf('c1', hub, [...POOLED, ...POOLED, 'ghost', 'closed']), clientOf('c2', hub, POOLED), clientOf('c3', alone, [ALONE])]
  const originals = signing !== undefined ? [] : [originalOf('original1', hub, POOLED), originalOf('original2', alone, [ALONE])]

  function originalOf(name: string, to: typeof hub, services: readonly string[]): { readonly name: string; readonly client: OriginalClient; readonly services: readonly string[] } {
    const client = createOriginalClient({
      clock,
      dial: network.dial(name, (stream) => {
        lastWrites.delete(name)
        to.receive(stream, peer(name))
      }),
      pushed: (text) => pushed(name, text),
      offended: (why) => attempt(() => demand(false, why)),
    })
    client.connect()
    return { name, client, services }
  }

  // What callers do.

  const abandons = new Set<() => void>()
  const request = (job: Job, size: number): Buffer => writeText(job.text.padEnd(size))
  const size = (): number => (random.below(12) === 0 ? LARGE : 0)

  /** Makes a call by `make`, which settles by what it is given. */
  function ask(job: Job, deadline: number, make: (call: Call) => (() => void) | undefined): Call {
    const call = model.call(job, deadline)
    const giveUp = make(call)
    call.made()
    if (giveUp === undefined) call.fail('disconnected')
    else if (!isCalm && random.below(3) === 0) {
      const abandon = (): void => {
        abandons.delete(abandon)
        call.abandon()
        giveUp()
      }
      abandons.add(abandon)
    }
    return call
  }

  function told(call: Call, outcome: Outcome): void {
    attempt(() => {
      switch (outcome.kind) {
        case 'answer': return call.answer(errorText(outcome.term) ?? '')
        case 'failed': return call.fail(errorText(outcome.reason) ?? '')
        case 'unsent': return call.fail(outcome.code)
        case 'lost': case 'deadline': return call.fail(outcome.kind)
        default: return outcome satisfies never
      }
    })
  }

  function askByClient({ client, services }: Client, service = random.pick(services), deadline = random.pick(DEADLINES)): Call {
    const times = random.pick(['once', 'repeatable'] as const)
    // Nobody hands on what the service that serves alone is asked.
    const job = model.job(service, times)
    const key = random.below(2) === 0 ? { key: Buffer.from(random.pick(KEYS)) } : {}
    return ask(job, deadline, (call) => client.call({ request: request(job, size()), deadline, times, identifier: Buffer.from(service), ...key }, (outcome) => told(call, outcome)))
  }

  function askByHttp(service: string = random.below(12) === 0 ? random.pick(['ghost', 'closed']) : random.pick(POOLED), deadline = random.pick(DEADLINES), stated?: string): Call {
    const idempotencyKey = stated ?? (random.below(3) > 0 ? undefined : isCalm ? `calm ${++serial}` : random.pick(['a', 'b', 'c', `own ${++serial}`]))
    const job = model.job(service, idempotencyKey === undefined ? 'once' : 'repeatable', idempotencyKey)
    const key = random.below(2) === 0 ? Buffer.from(random.pick(KEYS)) : undefined
    return ask(job, deadline, (call) => switchboard.call(service, { request: request(job, 0), deadline, idempotencyKey, key }, LOCAL, (outcome) => attempt(() => {
      if (outcome.kind === 'answer') call.answer(errorText(outcome.term) ?? '')
      else call.fail(outcome.error.code)
    })))
  }

  function askByOriginal({ client, services }: (typeof originals)[number], service = random.pick(services), deadline = random.pick(DEADLINES)): Call {
    const job = model.job(service, 'once')
    return ask(job, deadline, (call) => client.call(service, job.text.padEnd(size()), deadline, (outcome: OriginalOutcome) => attempt(() => {
      if (outcome.kind === 'answer') call.answer(outcome.text)
      else call.fail(outcome.kind === 'failed' ? outcome.text : outcome.kind)
    })))
  }

  function cast(): void {
    const dice = random.below(3)
    const { client, services } = random.pick(clients)
    const job = model.job(dice === 0 ? random.pick(POOLED) : random.pick(services.slice(0, 2)), 'cast')
    if (dice > 0) {
      if (!client.cast(request(job, size()), Buffer.from(job.service), Buffer.from('red'))) model.refused(job, 'not taken')
      return
    }
    try {
      void switchboard.cast(job.service, { request: request(job, 0), key: undefined }, LOCAL)
    } catch (error) {
      model.refused(job, (error as Error).message)
    }
  }

  function mischief(): void {
    const { links } = network
    if (links.length === 0) return
    const ms = 20 + random.below(500)
    const some: readonly Mischief[] = [
      { kind: 'fin' }, { kind: 'rst' }, { kind: 'stall', way: 'up', ms }, { kind: 'stall', way: 'down', ms }, { kind: 'half-open', ms: random.below(3) === 0 ? Infinity : 2 * ms },
      { kind: 'slices', size: 1 + random.below(90), pieces: 1 + random.below(12) }, { kind: 'delay', ms: random.below(40) },
    ]
    if (random.below(20) === 0) network.outage(ms)
    else random.pick(links).do(random.pick(some))
  }

  function changeWorkers(): void {
    const here = workers.filter(({ state }) => state === 'here')
    const one = here.length > 0 ? random.pick(here) : undefined
    const dice = random.below(7)
    if (one === undefined || (dice > 4 && here.length < 8)) spawn(random.pick(POOLED), `${random.below(12) === 0 ? 'x' : 'w'}${++serial}`)
    else if (dice === 1) kill(one)
    else if (dice === 2) for (let i = 0; i < 4; i++) spawn(one.service, `w${++serial}`)
    else if (dice === 3 && here.length > 4) {
      const call = askByHttp(one.service, 900, `deadly ${++serial}`)
      deadly.add(call.job.text)
    }
    else drain(one, 50 + random.below(400))
  }

  function changeClients(): void {
    const { client } = random.pick(clients)
    switch (random.below(5)) {
      case 0: return client.disconnect()
      case 1: return client.connect()
      case 2: return (originals.length > 0 ? random.pick(originals) : undefined)?.client.keepalive()
      case 3: {
        const original = originals.length > 0 ? random.pick(originals).client : undefined
        return random.below(2) === 0 ? original?.pause() : original?.resume()
      }
      default: return (originals.length > 0 ? random.pick(originals) : undefined)?.client.close()
    }
  }

  function step(): void {
    const dice = random.below(100)
    if (dice < 20) askByHttp()
    else if (dice < 44) {
      const client = random.pick(clients)
      for (let i = random.below(8) === 0 ? 6 : 1; i > 0; i--) askByClient(client)
    }
    else if (dice < 52) {
      if (originals.length > 0) askByOriginal(random.pick(originals))
    } else if (dice < 57) cast()
    else if (dice < 61) push()
    else if (dice < 68) {
      if (abandons.size > 0) random.pick([...abandons])()
    } else if (dice < 80) mischief()
    else if (dice < 92) changeWorkers()
    else if (dice < 96) changeClients()
    else for (const { client } of [...clients, ...originals]) client.connect()
  }

  // Time.

  function* settle(): Generator<void, void> {
    for (let rounds = 0; rounds < 20_000; rounds++) {
      yield
      const ends = clock.turnEnd()
      if (ends.length > 0) {
        attempt(() => ends.forEach((fn) => fn()))
        continue
      }
      const due = clock.due(clock.monotonic())
      if (due === undefined) return
      attempt(due)
    }
    throw new Breach('something is never done')
  }

  function* pass(ms: number): Generator<void, void> {
    const until = clock.monotonic() + ms
    for (;;) {
      yield* settle()
      const due = clock.due(until)
      if (due === undefined || ++events % LOOKS === 0) attempt(check)
      if (breach !== undefined) throw new Breach(breach)
      if (due === undefined) return
      attempt(due)
    }
  }

  // What must be true.

  function check(): void {
    model.overdue()
    demand(pools.calls <= limits.maxCalls && pools.bytes <= limits.maxCallBytes, `${pools.calls} calls of ${pools.bytes} bytes`)
    for (const { name, waiting, members } of pools.views) {
      demand(waiting <= limits.maxPoolQueue, `${waiting} wait for ${name}, ${limits.maxPoolQueue} may`)
      for (const { id, running, slots } of members) demand(running <= slots, `${id} has ${running} calls, ${slots} at most`)
    }
    for (const { name, client } of clients) demand(client.pending <= limits.maxCallsPerConnection, `${client.pending} calls of ${name}`)
    for (const all of [opened, accepted]) {
      for (const connection of all) {
        if (connection.isOver) all.delete(connection)
        else demand(connection.pendingBytes <= limits.maxServicePendingBytes + LARGE + AROUND, `${connection.pendingBytes} bytes wait`)
      }
    }
  }

  /** Ends all mischief. In the end everybody answers everybody. */
  function* calmDown(): Generator<void, void> {
    isCalm = true
    // Whoever hears nothing any more finds that out by himself, where he knows that he talks to a Waystation.
    network.calm((who) => who.startsWith('w') || clients.some(({ name, client: { state } }) => name === who && state.state === 'up' && state.peer === 'waystation'))
    for (const service of POOLED) if (!workers.some((one) => one.service === service && one.state === 'here' && one.name.startsWith('w'))) spawn(service, `w${++serial}`)
    for (const { client } of originals) client.resume()
    for (let at = 0; at < 6; at++) {
      for (const { client } of originals) client.connect()
      for (const { client } of clients) if (client.state.state === 'disconnected') client.connect()
      yield* pass(250)
    }
    for (const { name, client } of clients) demand(client.state.state === 'up', `${name} is ${client.state.state} in the end`)
    for (const { name, worker, state } of workers) demand(state !== 'here' || name.startsWith('x') || worker.state.state === 'working', `${name} is ${worker.state.state} in the end`)
    demand(pools.calls === 0 && idempotency.running === 0, `${pools.calls} calls still run`)
    for (const service of POOLED) yield* answered(askByHttp(service, 500))
    for (const client of clients) for (const service of client.services.slice(0, 2)) yield* answered(askByClient(client, service, 500))
    for (const original of originals) for (const service of original.services) yield* answered(askByOriginal(original, service, 700))
    yield* takeBack(random.pick(POOLED))
    if (isRoomy) yield* relieve(random.pick(POOLED))
  }

  /** Those who go answer what they have, and get no more. */
  function* relieve(service: string): Generator<void, void> {
    const old = workers.filter((one) => one.service === service && one.state === 'here')
    spawn(service, `w${++serial}`)
    slowness = 300
    yield* pass(60)
    const before = model.counts.answered
    askByHttp(service, 900)
    askByClient(clients[0] as Client, service, 900)
    yield* pass(20)
    for (const one of old) drain(one, 1_000)
    yield* pass(30)
    for (const { name } of old) retired.add(name)
    askByHttp(service, 900)
    yield* pass(750)
    slowness = 0
    demand(model.counts.answered === before + 3, `only ${model.counts.answered - before} of 3 calls were answered when workers went`)
  }

  /** What nobody waits for any more is taken back, all the way to the worker. */
  function* takeBack(service: string): Generator<void, void> {
    const { client } = clients[0] as Client
    slowness = 1_000
    askByClient(clients[0] as Client, service, 900)
    yield* pass(40)
    demand(pools.calls === 1, `${pools.calls} calls run, and not the one that was made`)
    client.disconnect()
    yield* pass(60)
    demand(model.unsettled === 0, 'a call over a connection that was ended has no end')
    demand(pools.calls === 0, 'a call of one who has gone still runs')
    demand(workers.every(({ worker }) => worker.pending === 0), 'a worker still has a call of one who has gone')
    slowness = 0
    client.connect()
    yield* pass(100)
  }

  function* answered({ job }: Call): Generator<void, void> {
    const before = model.counts.answered
    for (let at = 0; at < 20 && model.counts.answered === before; at++) yield* pass(20)
    demand(model.counts.answered === before + 1, `${job.text} was not answered, though all is calm`)
  }

  /** The hub, and the service that serves alone, answer what they have before they go. */
  function* stopCalmly(): Generator<void, void> {
    slowness = 60
    const before = model.counts.answered
    askByHttp('sums', 500)
    askByClient(clients[1] as Client, 'texts', 500)
    askByClient(clients[2] as Client, ALONE, 500)
    yield* pass(40)
    // Calls of originals that nobody answers have no deadline.
    const deadline = new AbortController()
    clock.after(300, () => deadline.abort())
    const stopping = stop(deadline.signal)
    yield* pass(400)
    slowness = 0
    demand(model.counts.answered === before + 3, `only ${model.counts.answered - before} of 3 calls were answered when the hub stopped`)
    demand(stopping.isOver, 'the hub has not stopped')
  }

  function stop(deadline: AbortSignal): { isOver: boolean } {
    const stopping = { isOver: false }
    void pools.stop(deadline)
      .then(() => Promise.all([hub.stop(deadline), alone.stop(deadline), program.close(deadline)]))
      .then(() => void (stopping.isOver = true))
    return stopping
  }

  function* stopAnyhow(): Generator<void, void> {
    const deadline = new AbortController()
    clock.after(random.below(300), () => deadline.abort())
    if (random.below(4) === 0) deadline.abort()
    const stopping = stop(deadline.signal)
    for (let at = 0; at < 4; at++) {
      attempt(step)
      yield* pass(random.pick([0, 20, 60]))
    }
    isCalm = true
    network.calm(() => false)
    yield* pass(400)
    demand(stopping.isOver, 'the hub has not stopped')
  }

  function* end(): Generator<void, void> {
    network.calm(() => false)
    for (const one of workers) if (one.state === 'here') kill(one)
    for (const { client } of clients) void client.close(AbortSignal.abort())
    for (const { client } of originals) client.close()
    yield* pass(3_000)
    demand(model.unsettled === 0, `${model.unsettled} calls have never ended`)
    demand(hub.connections + alone.connections === 0, `${hub.connections + alone.connections} connections are left`)
    demand(network.links.length === 0, `${network.links.map(({ who }) => who).join(', ')} are still connected`)
    demand(clients.every(({ client }) => client.pending === 0), 'calls of clients are left')
    demand(workers.every(({ worker }) => worker.pending === 0), 'calls of workers are left')
    demand(pools.calls === 0 && pools.bytes === 0, `${pools.calls} calls of ${pools.bytes} bytes are still booked`)
    for (const { name, members } of pools.views) demand(members.length === 0, `${members.length} workers of ${name} are left`)
    yield* pass(limits.idempotencyTime)
    demand(idempotency.bytes === 0 && idempotency.running === 0, `${idempotency.kept} results are kept too long`)
    demand(clock.owed === 0, `${clock.owed} timers are left`)
  }

  try {
    for (let i = 2 + random.below(5); i > 0; i--) spawn(random.pick(POOLED), `w${++serial}`)
    for (const { client } of clients) client.connect()
    for (let at = 0; at < STEPS; at++) {
      attempt(step)
      yield* pass(random.pick([0, 0, 1, 5, 20, 60]))
    }
    for (const { moved } of pools.views) counts.moved += moved
    if (random.below(2) === 0) yield* calmDown()
    yield* random.below(3) === 0 && isCalm && isRoomy ? stopCalmly() : stopAnyhow()
    yield* end()
  } catch (error) {
    breach ??= error instanceof Breach ? error.message : (error as Error).stack ?? String(error)
  }
  return { policy, breach, counts: { ...model.counts, ...counts } }
}

function packetsIn(bytes: Buffer): number {
  try {
    return [...createPacketReader({ maxBytes: 1 << 20 }).push(bytes)].length
  } catch (error) {
    if (error instanceof PacketError) return -1
    throw error
  }
}

/** Plays a world for each seed, side by side: they wait for the same turns of the event loop. */
export async function playWhole(seeds: readonly number[]): Promise<Played[]> {
  const played: Played[] = []
  let running = seeds.map((seed, at) => ({ at, world: play(seed) }))
  while (running.length > 0) {
    await new Promise((resolve) => setImmediate(resolve))
    running = running.filter(({ at, world }) => {
      const { done, value } = world.next()
      if (done === true) played[at] = value
      return done !== true
    })
  }
  return played
}
