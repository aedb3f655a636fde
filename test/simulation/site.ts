import type { Cursor } from '../../src/core/cursor.ts'
import type { Interest } from '../../src/core/interest.ts'
import { limitsWith } from '../../src/core/limits.ts'
import type { HubPort, Identity, Meter } from '../../src/core/ports.ts'
import { createWheel } from '../../src/core/wheel.ts'
import type { Chance } from './chance.ts'
import { createConnection, type Connection, type Temper } from './connection.ts'
import type { Plan } from './plan.ts'
import { createSlowLog } from './slow-log.ts'
import type { VirtualClock } from './virtual-clock.ts'
import type { Wire } from './wire.ts'
import type { Parts } from './world.ts'

export const ANYONE: Identity = { kind: 'anonymous', local: false, address: '192.0.2.1' }

export interface Wish {
  readonly interest: Interest
  readonly after: Cursor | undefined
  readonly wire: Wire
  readonly temper: Temper
}

export interface SiteEvents {
  bytes(chunk: Buffer): void
  closed(reason: string | undefined): void
  /** `late`: the write belongs to a catch-up and not to the live stream. */
  waited(before: number, during: 'write' | 'eviction', late: boolean): void
}

/** One hub from its start to its end, with a transport in front of it that opens streams as `sse.ts` does. */
export interface Site {
  readonly hub: HubPort
  readonly connections: ReadonlySet<Connection>
  /** What is still held for subscribers: nothing, when nobody is connected. */
  readonly held: { readonly topics: number; readonly patterns: number; readonly fanOuts: number }
  /** `undefined` when a rule does not allow it. */
  connect(wish: Wish, events: SiteEvents): Connection | undefined
  sweep(): void
  /** Goodbye to all; what waits still goes out. */
  stop(): void
  /** The process is gone: connections, what waits in them, appends that have not settled. */
  crash(): void
}

const UNCOUNTED: Meter = { published() {}, delivered() {}, slow() {}, gap() {}, failed() {} }

export function createSite(parts: Parts, plan: Plan, clock: VirtualClock, chance: Chance): Site {
  const rules = parts.createRules(plan.rules)
  const memory = parts.createMemoryLog({ rules, clock, random: chance, maxBytes: plan.maxLogBytes })
  const log = createSlowLog({ log: memory, rules, pace: plan.pace, clock, chance })
  const router = parts.createRouter()
  const hub = parts.createHub({ log, router, rules, maxHeldBytes: plan.maxHeldBytes })
  const limits = limitsWith({ maxPendingBytes: plan.maxPendingBytes, maxHeldBytes: plan.maxHeldBytes })
  const kit = { limits, clock, turn: parts.createTurn(clock), wheel: createWheel(clock), meter: UNCOUNTED }
  const fanOuts = parts.createFanOuts(kit, 'simulated')
  const connections = new Set<Connection>()

  function connect({ interest, after, wire, temper }: Wish, events: SiteEvents): Connection | undefined {
    if (!hub.maySubscribe(interest, ANYONE)) return undefined
    const { encoder } = wire
    let late = after !== undefined
    let leave = (): void => {}
    const connection = createConnection(temper, plan.maxPendingBytes, {
      bytes: events.bytes,
      closed(reason) {
        connections.delete(connection)
        leave()
        events.closed(reason)
      },
      waited: (before, during) => events.waited(before, during, late),
    })
    connections.add(connection)
    connection.write(wire.opening(after === undefined ? hub.cursor : undefined))
    if (after === undefined) {
      leave = fanOuts.join(hub, interest, encoder, connection)
      return connection
    }
    const replay = parts.createReplay({ member: connection, encoder, clock })
    leave = hub.resume(interest, after, {
      count: 1,
      deliver: replay.deliver,
      room: replay.room,
      gap(from, to) {
        replay.flush()
        connection.write(encoder.gap(from, to) as Buffer)
      },
      live() {
        replay.flush()
        late = false
        leave = fanOuts.join(hub, interest, encoder, connection)
      },
    })
    return connection
  }

  return {
    hub,
    connections,
    get held() { return { topics: hub.topics, patterns: hub.patterns, fanOuts: fanOuts.size } },
    connect,
    sweep: () => log.sweep(),
    stop() {
      hub.stop()
      for (const connection of connections) connection.close('the hub is stopping')
    },
    crash() {
      log.cut()
      for (const connection of connections) connection.cut('the hub is gone')
    },
  }
}
