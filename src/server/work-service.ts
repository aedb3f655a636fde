import * as v from 'valibot'
import { createWheel } from '../core/wheel.ts'
import { createAnswerer } from '../services/answerer.ts'
import type { ServiceHandlers } from '../services/handlers.ts'
import { createProgramWorld, type Handlers, type HandlersOf } from '../services/program.ts'
import { createValues, type Shown, type ValueOf } from '../services/values.ts'
import { createWorker, type WorkerState } from '../services/worker.ts'
import { AROUND_VALUE, GAP_TO_SERVERS } from '../services/originals.ts'
import { contextFor } from './callers-context.ts'
import { invalid } from './invalid.ts'
import { holdProcess, realClock, realRandom } from './real-world.ts'
import { address, called, checkDialing, dialing, openDialing, placeName, readPlace, senderOf, type DialingOptions } from './service-dialing.ts'
import { faultsOfHandlers } from './service-handlers.ts'
import { createServiceLog } from './service-log.ts'
import { faultOfService, type ServiceAddress } from './service-options.ts'

export type { WorkerState } from '../services/worker.ts'
export type { Handlers, HandlersOf } from '../services/program.ts'

export interface WorkServiceOptions<As extends Shown = 'terms'> extends DialingOptions {
  /** Where the hub lets workers in: `host:port`, or both by name. */
  readonly hub: string | ServiceAddress
  /** The service that this is a worker of. */
  readonly name: string
  /** Calls that it takes at once; 64 when not stated. Further ones wait in the hub. */
  readonly slots?: number
  readonly as?: As
  /** `false`: atoms that are not stated are taken and sent, and functions and ports as values that can never be called. */
  readonly safe?: boolean
  readonly onState?: (state: WorkerState) => void
  /** Handlers run in the asynchronous context of this call; outside of any when not stated (`erps.md`, section 13). */
  readonly forwardCallers?: boolean
}

/** A worker that runs. */
export interface RunningWorker extends AsyncDisposable {
  readonly state: WorkerState
  /** Calls that it has not answered yet. */
  readonly pending: number
  /** Answers that came when nobody waited for them any more. */
  readonly late: number
  /** Takes no more calls, answers what it has within `limits.drainTime`, and goes. */
  close(): Promise<void>
}

const OPTIONS = {
  ...dialing,
  hub: v.union([v.string(), address]),
  name: v.pipe(v.string(), v.check((text) => faultOfService(text) === undefined, (issue) => faultOfService(issue.input) ?? '')),
  slots: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(0xffff_ffff))),
  safe: v.optional(v.boolean()),
  onState: called,
  forwardCallers: v.optional(v.boolean()),
}

const SLOTS = 64
/** ms: how late an end of a call may be told. */
const TICK = 50

/**
 * Works for a service of a hub: dials out to it, offers the work, and answers what it hands on. The connection is made in the
 * background, and made again whenever it is lost. The process goes on until it is closed.
 * @param handlers an object, or what makes one for each connection to the hub
 * @throws {WaystationError} `config_invalid` for options or files that cannot be used
 */
export async function workService<As extends Shown = 'terms'>(options: WorkServiceOptions<As>, handlers: HandlersOf<ValueOf<As>>): Promise<RunningWorker>
export async function workService<As extends Shown = 'terms'>(options: WorkServiceOptions<As>, handlers: ServiceHandlers<ValueOf<As>>): Promise<RunningWorker>
export async function workService<As extends Shown = 'terms'>(options: WorkServiceOptions<As>, handlers: Handlers<ValueOf<As>>): Promise<RunningWorker>
export async function workService<As extends Shown = 'terms'>(options: WorkServiceOptions<As>, handlers: Handlers<ValueOf<As>>): Promise<RunningWorker> {
  const [hub] = checkDialing(OPTIONS, options, 'workService', placesOf) as [ServiceAddress]
  const problems = faultsOfHandlers(handlers)
  if (problems.length > 0) throw invalid(problems)
  const { name, slots = SLOTS } = options
  const whose = `the worker of ${name}`
  const tools = await openDialing(options, whose)
  const { limits, logger } = tools
  const run = contextFor(options.forwardCallers)
  const log = createServiceLog(realClock, logger)
  const wheel = createWheel(realClock, TICK)
  const program = createProgramWorld({
    handlers, run, limits,
    clock: realClock,
    values: createValues({
      as: options.as ?? 'terms' as As, atoms: new Set(options.atoms), safety: options.safe === false ? 'any' : 'strict',
      maxDepth: limits.maxTermDepth, maxBytes: limits.maxPacketBytes - AROUND_VALUE,
    }),
    failed: log.failed,
  })

  function changed(state: WorkerState): void {
    const who = { service: name, hub: placeName(hub) }
    if (state.state === 'working') logger.info(who, 'a worker is at work')
    if (state.state === 'down') logger.warn({ ...who, why: state.why }, 'a worker has no hub')
    try {
      run(() => options.onState?.(state))
    } catch (error) {
      log.failed(error, undefined)
    }
  }

  const worker = createWorker({
    dial: tools.dial(hub),
    // Whatever a caller has put into a call, only that call may fail: the values are looked at one by one.
    open: (dialled, events) => tools.open(dialled, events, { sender: senderOf({}), brake: { gap: GAP_TO_SERVERS, calls: 'many' }, opaque: 'kept', work: { service: name, slots } }),
    answerer: (connection) => createAnswerer(connection, program.accept(connection), { limits, wheel }),
    clock: realClock, random: realRandom,
    limits, changed,
  })
  const letGo = holdProcess()
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => (closing ??= worker.stop(AbortSignal.timeout(limits.drainTime)).then(() => {
    tools.stop()
    letGo()
  }))

  worker.start()
  return {
    get state() { return worker.state },
    get pending() { return worker.pending },
    get late() { return worker.late },
    close,
    [Symbol.asyncDispose]: close,
  }
}

function placesOf({ hub }: WorkServiceOptions<Shown>): readonly ServiceAddress[] | string {
  const place = typeof hub === 'string' ? readPlace(hub) : hub
  return place === undefined ? `hub must be host:port, not ${JSON.stringify(hub)}` : [place]
}
