import type { Policy } from '../../src/services/policy.ts'
import type { Mischief } from './network.ts'
import { createCallers } from './whole-callers.ts'
import { createWholeHub } from './whole-hub.ts'
import { Breach, type Call, type Model } from './whole-model.ts'
import { createLoneService, DEADLY } from './whole-service.ts'
import { ALONE, createSetting, LARGE, POOLED } from './whole-setting.ts'
import { createStaff } from './whole-workers.ts'

/*
 * A hub with its pools, workers that connect to it, a service that serves alone, and callers of all kinds over a network at
 * its worst, in one process from a seed. All but the network, the clock, what handlers do and the client that is an original
 * are the real parts. What is promised of each call stands in whole-model.ts, of everything else here.
 */

export interface Played {
  readonly policy: Policy
  /** What was promised and not kept. */
  readonly breach: string | undefined
  readonly counts: Model['counts'] & { readonly pushed: number; readonly moved: number; readonly drained: number; readonly refused: number }
}

const STEPS = 36
/** Events between two looks at what is bounded. */
const LOOKS = 40
/** Bytes around a request. */
const AROUND = 200

function* play(seed: number): Generator<void, Played> {
  const setting = createSetting(seed)
  const { random, clock, limits, network, model, mood, connections, attempt } = setting
  const { demand } = model
  const hub = createWholeHub(setting)
  const { pools, idempotency } = hub
  const lone = createLoneService(setting)
  const staff = createStaff(setting, hub.reception)
  const callers = createCallers(setting, hub, lone)
  const { clients, originals } = callers
  /** Three calls that meet are not too many. */
  const isRoomy = limits.maxPoolQueue > 10 && limits.maxCallBytes > 3 * LARGE
  let moved = 0
  let events = 0

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
    const { here } = staff
    const one = here.length > 0 ? random.pick(here) : undefined
    const dice = random.below(7)
    if (one === undefined || (dice > 4 && here.length < 8)) staff.spawn(random.pick(POOLED), random.below(12) === 0 ? 'x' : 'w')
    else if (dice === 1) staff.kill(one)
    else if (dice === 2) for (let i = 0; i < 4; i++) staff.spawn(one.service)
    else if (dice === 3 && here.length > 4) callers.byHttp(one.service, 900, `${DEADLY} ${setting.serial()}`)
    else staff.drain(one, 50 + random.below(400))
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
    if (dice < 20) callers.byHttp()
    else if (dice < 44) {
      const client = random.pick(clients)
      for (let i = random.below(8) === 0 ? 6 : 1; i > 0; i--) callers.byClient(client)
    }
    else if (dice < 52) {
      if (originals.length > 0) callers.byOriginal(random.pick(originals))
    } else if (dice < 57) callers.cast()
    else if (dice < 61) lone.push()
    else if (dice < 68) {
      callers.giveUp()
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
      if (setting.breach !== undefined) throw new Breach(setting.breach)
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
    for (const connection of connections) {
      if (connection.isOver) connections.delete(connection)
      else demand(connection.pendingBytes <= limits.maxServicePendingBytes + LARGE + AROUND, `${connection.pendingBytes} bytes wait`)
    }
  }

  /** Ends all mischief. In the end everybody answers everybody. */
  function* calmDown(): Generator<void, void> {
    mood.isCalm = true
    // Whoever hears nothing any more finds that out by himself, where he knows that he talks to a Waystation.
    network.calm((who) => who.startsWith('w') || clients.some(({ name, client: { state } }) => name === who && state.state === 'up' && state.peer === 'waystation'))
    for (const service of POOLED) if (!staff.all.some((one) => one.service === service && one.state === 'here' && one.name.startsWith('w'))) staff.spawn(service)
    for (const { client } of originals) client.resume()
    for (let at = 0; at < 6; at++) {
      for (const { client } of originals) client.connect()
      for (const { client } of clients) if (client.state.state === 'disconnected') client.connect()
      yield* pass(250)
    }
    for (const { name, client } of clients) demand(client.state.state === 'up', `${name} is ${client.state.state} in the end`)
    for (const { name, worker, state } of staff.all) demand(state !== 'here' || name.startsWith('x') || worker.state.state === 'working', `${name} is ${worker.state.state} in the end`)
    demand(pools.calls === 0 && idempotency.running === 0, `${pools.calls} calls still run`)
    for (const service of POOLED) yield* answered(callers.byHttp(service, 500))
    for (const client of clients) for (const service of client.services.slice(0, 2)) yield* answered(callers.byClient(client, service, 500))
    for (const original of originals) for (const service of original.services) yield* answered(callers.byOriginal(original, service, 700))
    yield* takeBack(random.pick(POOLED))
    if (isRoomy) yield* relieve(random.pick(POOLED))
  }

  /** Those who go answer what they have, and get no more. */
  function* relieve(service: string): Generator<void, void> {
    const old = staff.here.filter((one) => one.service === service)
    staff.spawn(service, 'w', 3)
    mood.slowness = 300
    yield* pass(100)
    const before = model.counts.answered
    callers.byHttp(service, 900)
    callers.byClient(clients[0], service, 900)
    yield* pass(20)
    for (const one of old) staff.drain(one, 1_000)
    yield* pass(30)
    for (const { name } of old) hub.retired.add(name)
    callers.byHttp(service, 900)
    yield* pass(750)
    mood.slowness = 0
    demand(model.counts.answered === before + 3, `only ${model.counts.answered - before} of 3 calls were answered when workers went`)
  }

  /** What nobody waits for any more is taken back, all the way to the worker. */
  function* takeBack(service: string): Generator<void, void> {
    const { client } = clients[0]
    mood.slowness = 1_000
    callers.byClient(clients[0], service, 900)
    yield* pass(40)
    demand(pools.calls === 1, `${pools.calls} calls run, and not the one that was made`)
    client.disconnect()
    yield* pass(60)
    demand(model.unsettled === 0, 'a call over a connection that was ended has no end')
    demand(pools.calls === 0, 'a call of one who has gone still runs')
    demand(staff.all.every(({ worker }) => worker.pending === 0), 'a worker still has a call of one who has gone')
    mood.slowness = 0
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
    mood.slowness = 60
    const before = model.counts.answered
    callers.byHttp('sums', 500)
    callers.byClient(clients[1], 'texts', 500)
    callers.byClient(clients[2], ALONE, 500)
    yield* pass(40)
    // Calls of originals that nobody answers have no deadline.
    const deadline = new AbortController()
    clock.after(300, () => deadline.abort())
    const stopping = stop(deadline.signal)
    yield* pass(400)
    mood.slowness = 0
    demand(model.counts.answered === before + 3, `only ${model.counts.answered - before} of 3 calls were answered when the hub stopped`)
    demand(stopping.isOver, 'the hub has not stopped')
  }

  function stop(deadline: AbortSignal): { isOver: boolean } {
    const stopping = { isOver: false }
    void pools.stop(deadline)
      .then(() => Promise.all([hub.reception.stop(deadline), lone.reception.stop(deadline), lone.program.close(deadline)]))
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
    mood.isCalm = true
    network.calm(() => false)
    yield* pass(400)
    demand(stopping.isOver, 'the hub has not stopped')
  }

  function* end(): Generator<void, void> {
    network.calm(() => false)
    for (const one of staff.all) if (one.state === 'here') staff.kill(one)
    for (const { client } of clients) void client.close(AbortSignal.abort())
    for (const { client } of originals) client.close()
    yield* pass(3_000)
    demand(model.unsettled === 0, `${model.unsettled} calls have never ended`)
    demand(hub.reception.connections + lone.reception.connections === 0, `${hub.reception.connections + lone.reception.connections} connections are left`)
    demand(network.links.length === 0, `${network.links.map(({ who }) => who).join(', ')} are still connected`)
    demand(clients.every(({ client }) => client.pending === 0), 'calls of clients are left')
    demand(staff.all.every(({ worker }) => worker.pending === 0), 'calls of workers are left')
    demand(pools.calls === 0 && pools.bytes === 0, `${pools.calls} calls of ${pools.bytes} bytes are still booked`)
    for (const { name, members } of pools.views) demand(members.length === 0, `${members.length} workers of ${name} are left`)
    yield* pass(limits.idempotencyTime)
    demand(idempotency.bytes === 0 && idempotency.running === 0, `${idempotency.kept} results are kept too long`)
    demand(clock.owed === 0, `${clock.owed} timers are left`)
  }

  try {
    for (let i = 2 + random.below(5); i > 0; i--) staff.spawn(random.pick(POOLED))
    for (const { client } of [...clients, ...originals]) client.connect()
    for (let at = 0; at < STEPS; at++) {
      attempt(step)
      yield* pass(random.pick([0, 0, 1, 5, 20, 60]))
    }
    for (const view of pools.views) moved += view.moved
    if (random.below(2) === 0) yield* calmDown()
    yield* random.below(3) === 0 && mood.isCalm && isRoomy ? stopCalmly() : stopAnyhow()
    yield* end()
  } catch (error) {
    attempt(() => { throw error })
  }
  return { policy: hub.policy, breach: setting.breach, counts: { ...model.counts, moved, pushed: lone.pushed, drained: staff.drained, refused: hub.refused } }
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
