import { createWheel } from '../../src/core/wheel.ts'
import { createAnswerer } from '../../src/services/answerer.ts'
import { openConnection } from '../../src/services/connection.ts'
import type { Reception } from '../../src/services/reception.ts'
import { createWorker, type Worker } from '../../src/services/worker.ts'
import { programFor } from './whole-service.ts'
import type { Setting } from './whole-setting.ts'

export interface Working {
  readonly name: string
  readonly service: string
  readonly worker: Worker
  state: 'here' | 'draining' | 'dead'
}

/** The workers of a whole world. Those whose names begin with `x` are strangers: they may not work. */
export interface Staff {
  readonly all: readonly Working[]
  readonly here: readonly Working[]
  readonly drained: number
  spawn(service: string, kind?: 'w' | 'x', slots?: number): void
  kill(one: Working): void
  /** @param ms until it goes with what it has */
  drain(one: Working, ms: number): void
}

export function createStaff(setting: Setting, hub: Reception): Staff {
  const { clock, random, limits, network, connections, peer } = setting
  const wheel = createWheel(clock, 50)
  const all: Working[] = []
  let drained = 0

  function kill(one: Working): void {
    if (one.state === 'dead') return
    for (const link of network.links) if (link.who === one.name && random.below(2) === 0) link.do({ kind: 'half-open', ms: 100 + random.below(1_000) })
    one.state = 'dead'
    void one.worker.stop(AbortSignal.abort())
  }

  return {
    all, kill,
    get here() { return all.filter(({ state }) => state === 'here') },
    get drained() { return drained },
    spawn(service, kind = 'w', slots = 1 + random.below(3)) {
      const name = `${kind}${setting.serial()}`
      const worker = createWorker({
        clock, random, limits,
        dial: network.dial(name, (stream) => hub.receive(stream, peer(name))),
        open({ stream }, events) {
          const connection = openConnection({ stream, ...setting.connecting(name), work: { service, slots } }, events)
          connections.add(connection)
          return connection
        },
        answerer: (connection) => createAnswerer(connection, program.accept(connection), { limits, wheel }),
        changed() {},
      })
      const own: Working = { name, service, worker, state: 'here' }
      const program = programFor(setting, service, {
        refusal: () => (own.state !== 'here' ? own.state : kind === 'x' ? 'a stranger' : undefined),
        die: () => kill(own),
      })
      all.push(own)
      worker.start()
    },
    drain(one, ms) {
      if (one.state !== 'here') return
      drained++
      const deadline = new AbortController()
      const untime = clock.after(ms, () => deadline.abort())
      void one.worker.stop(deadline.signal).then(() => {
        untime()
        one.state = 'dead'
      })
      // It is from the turn on in which it has said so.
      queueMicrotask(() => {
        if (one.state === 'here') one.state = 'draining'
      })
    },
  }
}
