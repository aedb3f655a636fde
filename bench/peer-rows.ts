import { CONTENDERS, FAN_OUT, POSTED, startHub, type Contender, type ContenderName, type Site } from './contenders.ts'
import type { FanOut, Generator } from './generator.ts'
import { observe } from './measure.ts'
import { startBalancer } from './nginx.ts'
import type { PeerOptions, PeerScenario } from './peer-options.ts'
import { common, type Found, type Place } from './place.ts'
import type { Running } from './processes.ts'
import type { Row } from './scenarios.ts'
import type { Tools } from './tools.ts'

export type PeerPlace = Place<PeerOptions>
type PeerRow = Row<PeerScenario, PeerOptions>

/** What rows are made of: who takes part, who makes the load, and what the machine allows. */
export interface Field {
  readonly options: PeerOptions
  readonly tools: Tools
  /** On the core of the load. */
  readonly generator: Generator
  /** On no core of its own, for where the servers have them all. */
  readonly generatorAnywhere: Generator
  readonly there: readonly ContenderName[]
  readonly files: number
  /** Idle connections, and messages per second, that are possible here. */
  readonly idle: number
  readonly rate: number
}

const WINDOW = 64
const BURST = 256
const POSTERS = 64
/** What two hubs share, and what is under way so that both have work all the time. */
const SHARED = 64
const SHARED_WINDOW = 256
const SWEEP_SUBSCRIBERS = [10, 100, 1_000, 10_000]
/** The last is 64 KiB with its header. */
const SWEEP_SIZES = [16, 128, 1_024, 8_192, 65_528]
const SWEPT: readonly ContenderName[] = ['floor', 'waystation', 'ws-loop']

export const titles = ({ options: { subscribers, size }, idle, rate }: Field): Record<PeerScenario, string> => {
  const n = (value: number): string => value.toLocaleString('en-US')
  return {
    one: `1 channel x ${n(subscribers)} subscribers, ${n(size)} B, 1 in flight`,
    many: `1 channel x ${n(subscribers)} subscribers, ${n(size)} B, ${WINDOW} in flight (the floor joins what is pending, too)`,
    channels: `${n(subscribers)} channels x 1 subscriber, ${n(size)} B, ${WINDOW} in flight`,
    ten: `1 channel x ${few(subscribers)} subscribers, ${n(size)} B, ${BURST} in flight (the floor joins what is pending, too)`,
    rate: `1 channel x ${n(subscribers)} subscribers, ${n(size)} B, ${n(rate)} messages/s`,
    post: `POST of ${n(size)} B on ${POSTERS} keep-alive connections, to nobody; the bench's own generator, which is at its limit before the faster ones are`,
    idle: `${n(idle)} idle connections, resident memory of the server`,
    two: `Hubs that share ${SHARED} channels x ${Math.max(1, Math.floor(subscribers / SHARED))} subscribers, ${n(size)} B, ${SHARED_WINDOW} in flight, on two cores; CPU of hubs and nginx together, and the load has no core of its own where there are only two`,
    subscribers: `1 channel, ${n(size)} B, 1 in flight, against subscribers`,
    sizes: `1 channel x ${n(subscribers)} subscribers, 1 in flight, against size`,
  }
}

const few = (subscribers: number): number => Math.min(10, subscribers)

/** Everything that was asked for, in the order of the tables. */
export function rowsOf(field: Field): PeerRow[] {
  const { options, there, idle, rate } = field
  const { subscribers, size } = options
  const speaking = FAN_OUT.filter((name) => there.includes(name) && field.generator.speaks(CONTENDERS[name]))
  const fanOut = (scenario: PeerScenario, load: Omit<FanOut, 'warmup' | 'seconds'>, floor: Site['floor'] = 'writes each'): PeerRow[] =>
    speaking.map((name) => fanOutRow(field, scenario, name, load, floor))
  const rows: Record<PeerScenario, () => PeerRow[]> = {
    one: () => fanOut('one', { subscribers, channels: 1, size, inFlight: 1 }),
    many: () => fanOut('many', { subscribers, channels: 1, size, inFlight: WINDOW }, 'joins'),
    channels: () => fanOut('channels', { subscribers, channels: subscribers, size, inFlight: WINDOW }),
    ten: () => fanOut('ten', { subscribers: few(subscribers), channels: 1, size, inFlight: BURST }, 'joins'),
    rate: () => fanOut('rate', { subscribers, channels: 1, size, rate }),
    post: () => POSTED.filter((name) => there.includes(name)).map((name) => postRow(field, name)),
    idle: () => (['one', 'own'] as const).flatMap((channels) => speaking.map((name) => idleRow(field, name, channels, idle))),
    two: () => hubRows(field),
    subscribers: () => SWEEP_SUBSCRIBERS.filter((count) => count <= idle).flatMap((count) => swept(speaking).map((name) =>
      fanOutRow(field, 'subscribers', name, { subscribers: count, channels: 1, size, inFlight: 1 }, 'writes each', { subscribers: count }))),
    sizes: () => SWEEP_SIZES.map((bytes) => Math.max(bytes, field.generator.leastSize)).flatMap((bytes) => swept(speaking).map((name) =>
      fanOutRow(field, 'sizes', name, { subscribers, channels: 1, size: bytes, inFlight: 1 }, 'writes each', { bytes }))),
  }
  return options.only.flatMap((scenario) => rows[scenario]())
}

const swept = (speaking: readonly ContenderName[]): ContenderName[] => SWEPT.filter((name) => speaking.includes(name))

function fanOutRow(field: Field, scenario: PeerScenario, name: ContenderName, load: Omit<FanOut, 'warmup' | 'seconds'>, floor: Site['floor'], of: PeerRow['of'] = {}): PeerRow {
  const { title } = CONTENDERS[name]
  return { scenario, of: { ...of, server: title }, measure: (place) => measureFanOut(field, name, load, floor, place) }
}

/** Starts a contender, loads it once, and ends it. @throws {Error} when anything is missing */
export async function measureFanOut(
  { tools, generator, files }: Pick<Field, 'tools' | 'generator' | 'files'>, name: ContenderName, load: Omit<FanOut, 'warmup' | 'seconds'>, floor: Site['floor'],
  { options: { warmup, seconds, profile }, pinning }: Place<Pick<PeerOptions, 'warmup' | 'seconds' | 'profile'>>,
): Promise<Found> {
  const contender = CONTENDERS[name]
  await using running = await contender.start({ tools, cores: pinning?.server, files, floor, profile })
  return await generator.fanOut(running, contender, { ...load, warmup, seconds })
}

function postRow({ tools, files }: Field, name: ContenderName): PeerRow {
  const contender: Contender = CONTENDERS[name]
  const { path, status } = contender.post as NonNullable<Contender['post']>
  return {
    scenario: 'post',
    of: { server: contender.title },
    async measure({ options: { warmup, seconds, size, profile }, pinning }) {
      await using running = await contender.start({ tools, cores: pinning?.server, files, floor: 'writes each', profile })
      const { cpuMicroseconds, ...found } = common(await observe(running, { kind: 'post', connections: POSTERS, size, warmup, seconds, to: [{ path, key: undefined }], status }, pinning))
      return { ...found, cpu: cpuMicroseconds ?? NaN }
    },
  }
}

function idleRow({ tools, files, generator }: Field, name: ContenderName, channels: 'one' | 'own', connections: number): PeerRow {
  const contender = CONTENDERS[name]
  return {
    scenario: 'idle',
    of: { server: contender.title, channels: channels === 'one' ? 'all on one' : 'each its own' },
    async measure({ options: { seconds, profile }, pinning }) {
      await using running = await contender.start({ tools, cores: pinning?.server, files, floor: 'writes each', profile })
      return await generator.idle(running, contender, { connections, channels, settle: Math.min(2, seconds) })
    },
  }
}

type Fronted = 'nginx before them' | 'no nginx'

/** One process and two, with nginx before them and without; then each has half of the channels, and a load of its own. */
function hubRows(field: Field): PeerRow[] {
  const { options: { subscribers, size }, generatorAnywhere: generator, files } = field
  const row = (hubs: string, processes: number, front: Fronted): PeerRow => ({
    scenario: 'two',
    of: { hubs },
    async measure({ options: { warmup, seconds, profile }, pinning }) {
      const cores = pinning === undefined ? undefined : `${pinning.server},${pinning.load}`
      const load = (loads: number): FanOut =>
        ({ subscribers: (SHARED / loads) * Math.max(1, Math.floor(subscribers / SHARED)), channels: SHARED / loads, size, inFlight: SHARED_WINDOW / loads, warmup, seconds })
      await using stack = new AsyncDisposableStack()
      const running: Running[] = []
      for (let i = 0; i < processes; i++) running.push(stack.use(await startHub({ cores, profile })))
      if (front === 'no nginx') return together(await Promise.all(running.map((hub) => generator.fanOut(hub, CONTENDERS.waystation, load(processes)))))
      const balancer = stack.use(await startBalancer(running.map(({ port }) => port), files))
      return await generator.fanOut(asOne(balancer, running), CONTENDERS.waystation, load(1))
    },
  })
  return [row('one process', 1, 'no nginx'), row('two processes', 2, 'no nginx'), row('one process behind nginx', 1, 'nginx before them'), row('two processes behind nginx', 2, 'nginx before them')]
}

/** One port, and the CPU of all. */
function asOne(front: Running, behind: readonly Running[]): Running {
  const all = [front, ...behind]
  const usage = async () => (await Promise.all(all.map((one) => one.usage()))).reduce((a, b) => ({ cpu: a.cpu + b.cpu, rss: a.rss + b.rss, peak: a.peak + b.peak }))
  return { ...front, usage, pids: all.flatMap(({ pids }) => pids) }
}

/** What several have done at the same time: the rates together, the price of one on the average, the worst of the times. */
function together(all: readonly Found[]): Found {
  const of = (found: Found, name: string): number => found[name] ?? NaN
  const perSecond = all.reduce((sum, found) => sum + of(found, 'perSecond'), 0)
  const cpu = all.reduce((sum, found) => sum + of(found, 'cpu') * of(found, 'perSecond'), 0) / perSecond
  return { perSecond, cpu, p50: Math.max(...all.map((found) => of(found, 'p50'))), p99: Math.max(...all.map((found) => of(found, 'p99'))) }
}
