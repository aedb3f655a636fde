import { setImmediate } from 'node:timers/promises'
import { interestIn } from '../../src/core/interest.ts'
import { limitsWith } from '../../src/core/limits.ts'
import { createMemoryLog } from '../../src/core/log.ts'
import { createFanOuts } from '../../src/core/fan-outs.ts'
import { createTurn } from '../../src/core/turn.ts'
import { createWheel } from '../../src/core/wheel.ts'
import { ZoneDialError } from '../../src/zones/dial-error.ts'
import { createPlainEncoder } from '../../src/links/encoders.ts'
import { createGrants } from '../../src/links/grants.ts'
import { createTaker, type Giving } from '../../src/links/taker.ts'
import { TakerConnection } from '../../src/links/taker-connection.ts'
import { createWishGroups } from '../../src/links/wish-groups.ts'
import { COMMON_ATOMS } from '../../src/protocol/etf/term.ts'
import { createRecorder, type Recorder } from '../../src/testing/recorders.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { createTestHub, type TestHub } from '../../src/testing/test-hub.ts'
import { createTestLink } from '../support/link-giver.ts'
import { silent } from '../support/transport-port.ts'
import { createWire, type Wire } from './wire.ts'

/*
 * A giving hub, a network that cuts connections at any byte, and a taking hub, in one process from a seed. Promised is to
 * every subscriber of the taking hub: what he gets is in order, nothing twice, and where something is missing there was a
 * gap; nothing that the link has not asked for; in the end the last of everything; and no gap at all where the giver has
 * kept everything.
 */

export interface Outcome {
  readonly seed: number
  /** What was promised and not kept. */
  readonly breach: string | undefined
  readonly kind: Kind
  readonly published: number
  readonly heard: number
  readonly gaps: number
  readonly cuts: number
}

/**
 * `kept`: a Waystation that forgets nothing. `mixed`: one that forgets nothing of some topics, and of others everything.
 * `forgetful`: one that forgets some of it, and is started anew. `plain`: PonyExpress.
 */
type Kind = 'kept' | 'mixed' | 'forgetful' | 'plain'

const TOPICS = ['kept/a', 'kept/b', 'loose/a'] as const
const FOREIGN = 'foreign/a'
const PREFIX = 'p[x]/'
const STEPS = 120

export async function playWorld(seed: number): Promise<Outcome> {
  const random = createSeededRandom(seed)
  const kind: Kind = random.pick(['kept', 'mixed', 'forgetful', 'plain'])
  /** Whether a taker of what is kept gets all of it. */
  const isKept = kind === 'kept' || kind === 'mixed'
  const clock = createManualClock()
  const wires = new Set<Wire>()
  const counts = new Map<string, number>()
  let published = 0
  let cuts = 0
  let epochs = 0
  let isReachable = true
  const isSlow = random.below(3) === 0
  const limits = limitsWith({ maxLinkPendingBytes: (kind === 'forgetful' || kind === 'mixed') && random.below(2) === 0 ? 1_500 : 1_000_000, maxPendingBytes: 1_000_000 })
  const kit = { limits: { ...limits, maxPendingBytes: limits.maxLinkPendingBytes }, clock, turn: createTurn(clock), wheel: createWheel(clock), meter: silent }
  let giver = startGiver()

  function startGiver(): { hub: TestHub; giving: Giving } {
    const messages = kind === 'forgetful' ? 1 + random.below(6) : 100_000
    const rules = [{ topics: kind === 'kept' ? '*' : 'kept/*', keep: { messages, ms: 1e12 } }]
    const hub = createTestHub({
      rules, seed: seed * 100 + ++epochs, maxLogBytes: 100_000_000, maxHeldBytes: random.pick([500, 1_000_000]),
      ...(isSlow && { log: slowLog(seed * 100 + epochs) }),
    })
    return { hub, giving: {
      hub: hub.hub, hubId: () => hub.hub.cursor.epoch, kit, transport: 'link',
      plain: createPlainEncoder(COMMON_ATOMS), fanOuts: createFanOuts(kit, 'link'), groups: createWishGroups(kit, 'link'), grants: createGrants(undefined),
    } }
  }

  function connect(): Wire {
    const wire = createWire()
    wires.add(wire)
    const connection: TakerConnection = new TakerConnection(wire.giver, new Set(), kit, {
      // PonyExpress does not read what is behind the term.
      said: (said) => taker.said(kind === 'plain' && said.kind === 'subscribe' ? { ...said, wish: undefined } : said),
      ended: () => taker.leave(),
      closed: () => void wires.delete(wire),
    })
    const taker = createTaker(giver.giving, connection, { kind: 'signed', local: false, address: 'taker' }, [])
    return wire
  }

  const taking = createTestHub({ seed: seed + 7, ...(random.below(3) === 0 && { log: slowLog(seed + 7) }) })
  const link = createTestLink({
    hub: taking.hub, clock, seed, prefix: PREFIX,
    topics: kind === 'plain' ? TOPICS : ['kept/*', 'loose/a'],
    limits: isKept ? { linkAnswerTimeout: 1e9, linkKeepalive: 500, linkDeadline: 1e9 } : {},
    async dial(signal) {
      await clock.settle()
      if (!isReachable || signal.aborted) throw new ZoneDialError('unreachable', 'made up')
      return { stream: connect().taker, names: ['cn:giver'], address: '127.0.0.1', certificateNames: ['giver'] }
    },
  })
  const recorders = new Map<Recorder, readonly string[]>()
  for (const topics of [...TOPICS.map((topic) => [topic]), TOPICS]) {
    const recorder = createRecorder()
    recorders.set(recorder, topics)
    taking.hub.join(topics.length === 1 ? { topics: [`${PREFIX}${topics[0]}` as never], patterns: [] } : interestIn(['*']), recorder)
  }

  function publish(topic: string): void {
    const count = (counts.get(topic) ?? 0) + 1
    counts.set(topic, count)
    published++
    void giver.hub.publish(topic, `${count} ${'x'.repeat(random.below(random.pick([10, 100, 1_000])))}`)
  }

  function restart(): void {
    for (const wire of wires) wire.cut()
    giver = startGiver()
  }

  async function step(): Promise<void> {
    const [wire] = wires.size === 0 ? [undefined] : [[...wires][random.below(wires.size)]]
    const chance = random.below(100)
    if (chance < 35) publish(random.pick([...TOPICS, FOREIGN]))
    else if (chance < 38) for (let i = 0; i < 10; i++) publish(random.pick(TOPICS))
    else if (chance < 80) for (let i = random.below(6); i >= 0; i--) wire?.carry(random)
    else if (chance < 84 && wire !== undefined) {
      cuts++
      wire.cut()
    } else if (chance < 86) isReachable = !isReachable
    else if (chance < 87 && !isKept) restart()
    else clock.advance(random.pick([1, 10, 100, 300, ...(isKept ? [] : [2_500, 30_000])]))
    await clock.settle()
  }

  /** A second in which the network does what it should. */
  async function calmSecond(): Promise<void> {
    for (let i = 0; i < 4; i++) {
      clock.advance(250)
      await clock.settle()
      for (let turns = 0; turns < 100 && [...wires].some(({ inFlight }) => inFlight > 0); turns++) {
        for (const wire of wires) wire.carryAll()
        await clock.settle()
      }
    }
  }

  async function everyoneHas(): Promise<boolean> {
    for (let i = 0; i < 120 && !link.state().startsWith('up'); i++) await calmSecond()
    for (const topic of TOPICS) publish(topic)
    // Where both logs are slow each message takes some turns more.
    for (let i = 0; i < 6; i++) await calmSecond()
    return [...recorders].every(([recorder, topics]) => topics.every((topic) => lastOf(recorder, topic) === counts.get(topic)))
  }

  async function play(): Promise<string | undefined> {
    await link.start()
    for (let i = 0; i < 5; i++) await calmSecond()
    if (!(await everyoneHas())) return 'not even the first messages came'
    for (let i = 0; i < STEPS; i++) await step()
    isReachable = true
    for (let i = 0; i < 60; i++) await calmSecond()
    const all = await everyoneHas()
    const breach = firstBreach(recorders)
    if (breach !== undefined) return breach
    if (!all) return `the last of something did not come: ${link.state()}`
    const whole = [...recorders].filter(([, topics]) => isKept && topics.every((topic) => kind === 'kept' || topic.startsWith('kept/')))
    if (gapsOf(new Map(whole)) > 0) return 'there was a gap, though everything was kept'
    return undefined
  }

  const breach = await play()
  await link.client.stop(AbortSignal.abort())
  const heard = [...recorders.keys()].reduce((sum, recorder) => sum + recorder.messages().length, 0)
  return { seed, kind, breach, published, heard, cuts, gaps: gapsOf(recorders) }
}

type MakeLog = NonNullable<NonNullable<Parameters<typeof createTestHub>[0]>['log']>

/** A log whose appends settle some turns later than it can be read. */
function slowLog(seed: number): MakeLog {
  return (rules, clock) => {
    const random = createSeededRandom(seed)
    const log = createMemoryLog({ rules, clock, random, maxBytes: 1_000_000 })
    let last: Promise<unknown> = Promise.resolve()
    const later = async <T>(one: T | Promise<T>): Promise<T> => {
      const before = last
      const turns = random.below(4)
      const mine = (async () => {
        await before
        for (let i = 0; i < turns; i++) await setImmediate()
        return one
      })()
      last = mine
      return mine
    }
    return {
      epoch: log.epoch,
      get head() { return log.head },
      append: (draft) => later(log.append(draft)),
      lose: (interest) => later(log.lose(interest)),
      read: log.read,
      sweep: log.sweep,
    }
  }
}

function numberIn(body: Buffer): number {
  return Number(body.toString().split(' ')[0])
}

function lastOf(recorder: Recorder, topic: string): number | undefined {
  const last = recorder.messages().findLast((message) => message.topic === PREFIX + topic)
  return last === undefined ? undefined : numberIn(last.body)
}

function gapsOf(recorders: ReadonlyMap<Recorder, unknown>): number {
  return [...recorders.keys()].reduce((sum, { arrivals }) => sum + arrivals.filter((one) => 'gap' in one).length, 0)
}

function firstBreach(recorders: ReadonlyMap<Recorder, readonly string[]>): string | undefined {
  for (const [{ arrivals }, topics] of recorders) {
    const last = new Map<string, number>()
    /** Topics of which a gap was announced since their last message. */
    const excused = new Set<string>()
    for (const arrival of arrivals) {
      if ('gap' in arrival) {
        for (const topic of topics) excused.add(topic)
        continue
      }
      const topic = arrival.message.topic.slice(PREFIX.length)
      if (!topics.includes(topic)) return `something of ${topic} came`
      const number = numberIn(arrival.message.body)
      const before = last.get(topic)
      if (before !== undefined && number <= before) return `${topic} ${number} came after ${before}`
      if (before !== undefined && number > before + 1 && !excused.has(topic)) return `${topic}: between ${before} and ${number} there was no gap`
      if (before === undefined && number !== 1) return `${topic} began with ${number}`
      last.set(topic, number)
      excused.delete(topic)
    }
  }
  return undefined
}
