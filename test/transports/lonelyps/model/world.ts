import { createHub, type Hub } from '../../../../src/core/hub.ts'
import { createMemoryLog } from '../../../../src/core/log.ts'
import type { Identity } from '../../../../src/core/ports.ts'
import { createRouter } from '../../../../src/core/router.ts'
import { createRules } from '../../../../src/core/rules.ts'
import { topicFromBytes } from '../../../../src/core/topic.ts'
import { createSlices } from '../../../../src/core/slices.ts'
import { createTurn } from '../../../../src/core/turn.ts'
import { createWheel } from '../../../../src/core/wheel.ts'
import { createBodyAccount } from '../../../../src/http/body-account.ts'
import { SpoolFull, type Spool, type SpooledBody } from '../../../../src/http/spool.ts'
import { createChecker } from '../../../../src/protocol/lonelyps/authorization.ts'
import { createProver } from '../../../../src/protocol/lonelyps/prover.ts'
import { createManualClock, createSeededRandom, type ManualClock } from '../../../../src/testing/index.ts'
import { createSocketMemory } from '../../../../src/transports/lonelyps/socket/memory.ts'
import { createSession, type Session } from '../../../../src/transports/lonelyps/socket/session.ts'
import { createSharedCompression } from '../../../../src/transports/lonelyps/socket/shared-compression.ts'
import { createTrainingBudget } from '../../../../src/transports/lonelyps/socket/training-budget.ts'
import { createWanted } from '../../../../src/transports/lonelyps/socket/wanted.ts'
import { createDoors, type Doors } from './doors.ts'
import { LOCKED, PRESET, type Plan } from './plan.ts'
import type { FakeWire } from './wire.ts'

/** How what is outside of the hub answers just now. A webhook and a disk fail, or take until the sequence says so. */
export interface Moods {
  webhooks: number | 'slow'
  disk: 'quick' | 'full' | 'slow'
  registry: 'quick' | 'down' | 'slow'
}

/** What becomes of a signature that is right when it is to be remembered. */
export type Fate = 'new' | 'known' | 'slow' | 'lost'

/** A real hub, with a made-up world around its sockets. */
export interface World {
  readonly hub: Hub
  readonly clock: ManualClock
  readonly moods: Moods
  readonly fates: Map<string, Fate>
  readonly doors: { readonly remember: Doors<boolean>; readonly webhooks: Doors<number>; readonly disk: Doors<void>; readonly registry: Doors<void> }
  /** Why sockets ended, and what went wrong inside. */
  readonly ended: readonly string[]
  readonly errors: readonly unknown[]
  /** What is held, by name: all of it is 0 when everyone has left. */
  held(): Record<string, number>
  connect(wire: FakeWire, address: string): Session
  publish(topic: Buffer, body: Buffer): number
  missed(topic: Buffer): void
}

const OURSELVES: Identity = { kind: 'embedded', local: true, address: 'process' }
/** Few, because each costs: six seconds are enough. */
const WHEEL_SLOTS = 24
const SIGNED_LIFETIME = 120_000
export const BODIES_TOTAL = 2_000_000

export function createWorld(plan: Plan, seed: number): World {
  const { limits } = plan
  const clock = createManualClock()
  const random = createSeededRandom(seed)
  const rules = createRules([{ topics: LOCKED.toString(), publish: 'nobody', ...(plan.locked === 'both' && { subscribe: 'nobody' }) }])
  const hub = createHub({ log: createMemoryLog({ rules, clock, random, maxBytes: 0 }), router: createRouter(), rules, maxHeldBytes: 1_024 })
  const moods: Moods = { webhooks: 0, disk: 'quick', registry: 'quick' }
  const fates = new Map<string, Fate>()
  const doors = { remember: createDoors<boolean>(), webhooks: createDoors<number>(), disk: createDoors<void>(), registry: createDoors<void>() }
  const ended: string[] = []
  const errors: unknown[] = []
  const sums = { memory: 0, bodies: 0, wants: 0 }
  const spool = createFakeSpool(moods, doors.disk)
  const memory = createSocketMemory(limits.maxSocketBytes)
  const bodies = createBodyAccount(BODIES_TOTAL)
  const budget = createTrainingBudget(1_000_000)
  const wanted = createWanted()
  const known = new Set<string>()

  function remember(mac: Buffer): boolean | Promise<boolean> {
    const key = mac.toString('hex')
    const fate = fates.get(key)
    if (fate === undefined) throw new Error('a signature is remembered that need not be')
    if (known.has(key)) return false
    known.add(key)
    if (fate === 'lost') throw new Error('not now')
    return fate === 'slow' ? doors.remember.ask() : fate === 'new'
  }

  const kit = {
    limits, clock, turn: createTurn(clock), wheel: createWheel(clock, 250, WHEEL_SLOTS),
    meter: { published() {}, delivered() {}, slow() {}, failed() {}, gap() {} },
  }
  const { toSubscribers, toBroadcasters } = plan
  const parts = {
    kit, hub, clock, random, randomBytes: plan.bytes, spool, wanted, budget,
    bodies: {
      take(client: string, bytes: number): boolean {
        const taken = bodies.take(client, bytes)
        if (taken) sums.bodies += bytes
        return taken
      },
      give(client: string, bytes: number): void {
        sums.bodies -= bytes
        bodies.give(client, bytes)
      },
    },
    memory: {
      take(own: number, more: number): boolean {
        const taken = memory.take(own, more)
        if (taken) sums.memory += more
        return taken
      },
      give(bytes: number): void {
        sums.memory -= bytes
        memory.give(bytes)
      },
    },
    confirmations: { confirmed: () => (moods.webhooks === 'slow' ? doors.webhooks.ask() : moods.webhooks) },
    checker: createChecker(toBroadcasters, { now: clock.now, lifetime: SIGNED_LIFETIME, remember }),
    prover: createProver(toSubscribers, clock, plan.bytes),
    sameForAll: toSubscribers.type === 'hmac' ? undefined : toSubscribers.type === 'token' ? `Bearer ${toSubscribers.secret}` : '',
    acknowledged: toBroadcasters.type === 'hmac' ? 'signed' as const : 'unsigned' as const,
    form: plan.form,
    compression: { allowed: plan.compression === 'no' ? 'no' as const : 'yes' as const, training: plan.compression === 'trained' ? 'yes' as const : 'no' as const, presets: new Map([[PRESET.id, PRESET]]) },
    shared: createSharedCompression(spool),
    tellings: createSlices(clock),
    relaying: plan.relaying === 'none' ? undefined : {
      async want(): Promise<void> {
        if (moods.registry === 'down') throw new Error('not now')
        if (moods.registry === 'slow') await doors.registry.ask()
        sums.wants++
      },
      leave(): void {
        sums.wants--
      },
    },
    ended: (_address: string, reason: string) => void ended.push(reason),
    failed: (error: unknown) => void errors.push(error),
  }

  return {
    hub, clock, moods, fates, doors, ended, errors,
    held: () => ({ ...sums, spool: spool.bytes, files: spool.files, samples: budget.taken, topics: hub.topics, patterns: hub.patterns, globs: wanted.globs, subscriptions: wanted.weight }),
    connect: (wire, address) => createSession(parts, wire, { kind: 'signed', local: false, address }),
    publish(topic, body) {
      const receipt = hub.publish({ topic: topicFromBytes(topic), body, contentType: '', text: false }, OURSELVES)
      if (receipt instanceof Promise) throw new Error('a log in memory takes no time')
      return receipt.subscribers
    },
    missed(topic) {
      for (const socket of wanted.of(topicFromBytes(topic))) socket.missed(topicFromBytes(topic))
    },
  }
}

/** A disk in memory. */
function createFakeSpool(moods: Moods, doors: Doors<void>): Spool & { readonly files: number } {
  let [bytes, files] = [0, 0]
  return {
    get bytes() { return bytes },
    get files() { return files },
    async create() {
      if (moods.disk === 'full') throw new SpoolFull('the disk is full')
      if (moods.disk === 'slow') await doors.ask()
      const chunks: Buffer[] = []
      let [size, holders, finished] = [0, 1, false]
      files++
      const letGo = (): void => {
        if (--holders < 0) throw new Error('a file was let go of too often')
        if (holders > 0) return
        bytes -= size
        files--
      }
      const body: SpooledBody = {
        get size() { return size },
        hold() {
          if (holders++ === 0) throw new Error('a file is held that is gone')
        },
        letGo,
        async *read() {
          if (holders === 0) throw new Error('a file is read that is gone')
          for (const chunk of chunks) if (chunk.length > 0) yield Buffer.from(chunk)
        },
      }
      return {
        get size() { return size },
        async write(chunk) {
          chunks.push(Buffer.from(chunk))
          size += chunk.length
          bytes += chunk.length
        },
        finish() {
          finished = true
          return body
        },
        discard() {
          if (finished) return
          finished = true
          letGo()
        },
      }
    },
  }
}
