import type { Limits } from '../core/limits.ts'
import type { Clock } from '../core/ports.ts'
import { TERM, writeText } from '../protocol/erps/payload.ts'
import { FILTERED } from './answerer.ts'
import { createProgram, type ProgramParts, type ServiceConnection, type ServiceHandlers } from './handlers.ts'
import { createLocalCaller, written, type LocalCaller, type LocalFrom } from './local-caller.ts'
import type { Answering, Bare, Connection } from './ports.ts'
import type { Values } from './values.ts'

/** One object of handlers for everyone, or what makes one for each connection, and one (`undefined`) for this process itself. */
export type Handlers<V> = ServiceHandlers<V> | HandlersOf<V>
export type HandlersOf<V> = (connection: ServiceConnection<V> | undefined) => ServiceHandlers<V>

/** The handlers of a program with everyone who is connected to them. */
export interface Program<V> extends LocalCaller<V> {
  /** What answers on a connection that has just been made. What the program throws here is thrown. */
  accept(connection: Connection): Answering
  connections(): ServiceConnection<V>[]
  /** To everyone who is connected. Gives how many. @throws {WaystationError} `bad_request` */
  push(value: V): number
}

export interface ProgramWorld<V> {
  readonly handlers: Handlers<V>
  readonly values: Values<V>
  readonly run: ProgramParts<V>['run']
  readonly clock: Pick<Clock, 'after'>
  readonly limits: Pick<Limits, 'callTimeout' | 'drainTime' | 'maxCallsPerConnection'>
  /** A handler has failed. `who`: on whose connection; `undefined` for this process itself. */
  readonly failed: (error: unknown, who: ServiceConnection<unknown> | undefined) => void
}

export function createProgramWorld<V>({ handlers, values, run, clock, limits, failed }: ProgramWorld<V>): Program<V> {
  const here = new Map<ServiceConnection<V>, Connection>()
  const handlersFor = (connection: ServiceConnection<V> | undefined): ServiceHandlers<V> =>
    typeof handlers === 'function' ? run(() => handlers(connection)) : handlers
  let local: Answering | undefined
  let count = 0

  function send(connection: Connection, bare: Bare): boolean {
    if (connection.isOver) return false
    connection.send('push', [TERM, bare])
    return true
  }

  /** What waits is sent before, in its time. */
  function disconnect(connection: Connection): void {
    const controller = new AbortController()
    const untime = clock.after(limits.drainTime, () => controller.abort())
    void connection.close(controller.signal).then(untime)
  }

  function describe(connection: Connection, leave: () => void): ServiceConnection<V> {
    return {
      id: ++count,
      address: connection.peer.address,
      names: connection.peer.names,
      get peer() { return connection.isWaystation ? 'waystation' : 'erps' },
      push: (value) => send(connection, written(values, value)),
      disconnect: leave,
    }
  }

  /** This process itself, from its first call on. */
  function own(): Answering {
    return (local ??= createProgram({
      handlers: handlersFor(undefined),
      values, run,
      connection: undefined,
      filtered() {},
      crashed(error, from) {
        if (from === undefined) failed(error, undefined)
        else (from as LocalFrom).crash(error)
      },
    }))
  }
  const caller = createLocalCaller<V>({
    values, clock,
    timeout: limits.callTimeout,
    answering: { call: (bare, from) => own().call(bare, from), cast: (bare, from) => own().cast(bare, from), ended() {} },
  })

  return {
    ...caller,
    accept(connection) {
      let fault: string | undefined
      let isLeaving = false
      const leave = (): void => {
        isLeaving = true
        disconnect(connection)
      }
      const view = describe(connection, leave)
      let casts = 0
      const program = createProgram<V>({
        handlers: handlersFor(view),
        values, run,
        connection: view,
        // Nobody waits for a cast, so nobody would notice how many there are.
        casting: {
          begun() {
            if (++casts === limits.maxCallsPerConnection) connection.pause()
          },
          ended() {
            if (casts-- === limits.maxCallsPerConnection) connection.resume()
          },
        },
        // To an original a connection whose server has failed is over (section 15); it hears nothing of the reason.
        crashed(error, from) {
          failed(error, view)
          if (connection.isWaystation) return void from?.fail('call_failed')
          fault ??= error instanceof Error ? error.message : String(error)
          leave()
        },
        filtered(from) {
          if (from !== undefined) from.fail(connection.isWaystation ? 'forbidden' : FILTERED)
          else if (!connection.isWaystation) connection.send('error', [TERM, writeText(FILTERED)])
        },
      })
      here.set(view, connection)
      program.begin()
      return {
        // What has come by the time that this end closes the connection is left undone, as by an original.
        call: (request, from) => void (isLeaving || program.call(request, from)),
        cast: (request, from) => void (isLeaving || program.cast(request, from)),
        ended(why, detail) {
          here.delete(view)
          if (fault === undefined) program.ended(why, detail)
          else program.ended('failed', fault)
        },
      }
    },
    connections: () => [...here.keys()],
    push(value) {
      const bare = written(values, value)
      let told = 0
      for (const connection of here.values()) if (send(connection, bare)) told++
      return told
    },
  }
}
