import { limitsWith, type Limits } from '../../src/core/limits.ts'
import type { RandomBytes } from '../../src/core/ports.ts'
import { judge } from '../../src/protocol/erps/judge.ts'
import { createPacketReader, PacketError } from '../../src/protocol/erps/reader.ts'
import type { ConnectionParts } from '../../src/services/connection.ts'
import type { Brake, Connection, Peer } from '../../src/services/ports.ts'
import type { SigningOptions } from '../../src/services/signing.ts'
import { createSeededRandom, type SeededRandom } from '../../src/testing/seeded-random.ts'
import { createVirtualClock, type VirtualClock } from '../simulation/virtual-clock.ts'
import { createNetwork, type Network } from './network.ts'
import { Breach, createModel, type Model } from './whole-model.ts'

/** What all parts of a whole world have in common. */
export interface Setting {
  readonly random: SeededRandom
  readonly clock: VirtualClock
  readonly limits: Limits
  readonly randomBytes: RandomBytes
  readonly network: Network
  readonly model: Model
  /** Of those who answer originals. */
  readonly brake: Brake
  readonly signing: SigningOptions | undefined
  /** Connections that were ever opened, until they are found to be over. */
  readonly connections: Set<Connection>
  readonly mood: Mood
  /** Another one each time. */
  serial(): number
  peer(name: string): Peer
  /** How a connecting end of this name opens its connections. */
  connecting(name: string): Omit<ConnectionParts, 'stream' | 'work'>
  /** What throws is a breach. */
  attempt(fn: () => void): void
  /** What was promised and not kept: the first of it. */
  readonly breach: string | undefined
}

export interface Mood {
  /** Handlers answer, and nothing happens to connections. */
  isCalm: boolean
  /** ms that handlers take all the same. */
  slowness: number
}

/** Bytes of the largest requests. */
export const LARGE = 900
export const POOLED = ['sums', 'texts'] as const
export const ALONE = 'alone'
const NO_VERSION = { major: 0, minor: 0, patch: 0 }
/** ms between two packets to an original. */
const GAPS = [10, 120]
const LIMITS = {
  maxCallsPerConnection: 5, maxServicePendingBytes: 3_000, writeTimeout: 400, packetTimeout: 400, serviceHandshakeTimeout: 300, serviceKeepalive: 400, serviceDeadline: 1_000,
  serviceRetry: 20, maxServiceRetry: 150, callTimeout: 500, maxCallTimeout: 2_000, idempotencyTime: 20_000, drainTime: 300,
} as const
const BOUNDS = [{ maxPoolQueue: 0 }, { maxPoolQueue: 2 }, { maxPoolQueue: 50 }, { maxPoolQueue: 50, maxCalls: 6 }, { maxPoolQueue: 50, maxCallBytes: 2_000 }]

export function createSetting(seed: number): Setting {
  const random = createSeededRandom(seed)
  const clock = createVirtualClock()
  const limits = { ...limitsWith(LIMITS), ...random.pick(BOUNDS) }
  const signing = random.below(6) === 0 ? { keys: [{ id: 'k', secret: Buffer.alloc(16, 7) }] as const } : undefined
  const brake: Brake = { gap: random.pick(GAPS), calls: 'many' }
  const model = createModel(clock)
  const lastWrites = new Map<number, number>()
  let serial = 0
  let breach: string | undefined

  function attempt(fn: () => void): void {
    try {
      fn()
    } catch (error) {
      breach ??= error instanceof Breach ? error.message : (error as Error).stack ?? String(error)
    }
  }

  const randomBytes = (size: number): Buffer => Buffer.from(Array.from({ length: size }, () => random.below(256)))
  const peer = (name: string): Peer => ({ address: '127.0.0.1', local: true, names: [`cn:${name}`], certificateNames: [name] })
  const network = createNetwork({
    clock, random,
    wrote(who, number, bytes) {
      if (!who.startsWith('original')) return
      attempt(() => {
        const last = lastWrites.get(number) ?? -Infinity
        lastWrites.set(number, clock.monotonic())
        model.demand(clock.monotonic() - last >= brake.gap, `${who} got packets ${clock.monotonic() - last} ms apart`)
        model.demand(packetsIn(bytes) === 1, `${who} got ${packetsIn(bytes)} packets in one write`)
      })
    },
  })

  return {
    random, clock, limits, randomBytes, network, model, brake, signing, peer, attempt,
    connections: new Set(),
    mood: { isCalm: false, slowness: 0 },
    serial: () => ++serial,
    connecting: (name) => ({
      clock, limits, randomBytes, signing,
      peer: peer(name),
      role: 'connector',
      brake: { gap: 20, calls: random.pick(['one', 'many'] as const) },
      sender: { version: NO_VERSION, identifier: Buffer.alloc(0) },
      judge: (packet) => judge(packet, { signed: signing === undefined ? 'refused' : 'required' }),
      decode: { atoms: 'any', opaque: 'refused', maxBytes: limits.maxPacketBytes, maxDepth: limits.maxTermDepth },
    }),
    get breach() { return breach },
  }
}

/** Whole packets; -1 where it is anything else. */
function packetsIn(bytes: Buffer): number {
  try {
    return [...createPacketReader({ maxBytes: 1 << 20 }).push(bytes)].length
  } catch (error) {
    if (error instanceof PacketError) return -1
    throw error
  }
}
