import type { Identity } from '../../src/core/ports.ts'
import { errorText, writeText } from '../../src/protocol/erps/payload.ts'
import { createCaller } from '../../src/services/caller.ts'
import { createServiceClient, type ServiceClient } from '../../src/services/client.ts'
import { openConnection } from '../../src/services/connection.ts'
import type { Outcome } from '../../src/services/ports.ts'
import type { Reception } from '../../src/services/reception.ts'
import { createOriginalClient, type OriginalClient } from './original-client.ts'
import type { WholeHub } from './whole-hub.ts'
import type { Call, Job } from './whole-model.ts'
import type { LoneService } from './whole-service.ts'
import { ALONE, LARGE, POOLED, type Setting } from './whole-setting.ts'

export interface Client<C = ServiceClient> {
  readonly name: string
  readonly client: C
  /** What it calls; the first two are there. */
  readonly services: readonly string[]
}

/** Those who call in a whole world: clients of ours, originals, and whoever comes in by HTTP. */
export interface Callers {
  readonly clients: readonly [Client, Client, Client]
  readonly originals: readonly Client<OriginalClient>[]
  byClient(client: Client, service?: string, deadline?: number): Call
  /** @param key for its idempotency; by chance where it is not stated */
  byHttp(service?: string, deadline?: number, key?: string): Call
  byOriginal(original: Client<OriginalClient>, service?: string, deadline?: number): Call
  cast(): void
  /** Somebody gives up a call. */
  giveUp(): void
}

const DEADLINES = [12, 60, 250, 900]
const KEYS = ['red', 'green', 'blue']
const LOCAL: Identity = { kind: 'anonymous', local: true, address: '127.0.0.1' }

export function createCallers(setting: Setting, hub: WholeHub, lone: LoneService): Callers {
  const { random, clock, limits, network, model, mood, connections, peer, attempt } = setting
  const abandons = new Set<() => void>()
  const request = (job: Job, size: number): Buffer => writeText(job.text.padEnd(size))
  const size = (): number => (random.below(12) === 0 ? LARGE : 0)
  const key = (): Buffer | undefined => (random.below(2) === 0 ? Buffer.from(random.pick(KEYS)) : undefined)

  function clientOf(name: string, to: Reception, services: readonly string[]): Client {
    const client = createServiceClient({
      clock, random, limits,
      dial: network.dial(name, (stream) => to.receive(stream, peer(name))),
      open({ stream }, events) {
        const connection = openConnection({ stream, ...setting.connecting(name) }, events)
        connections.add(connection)
        return connection
      },
      caller: (connection) => createCaller(connection, { clock, limits, pushed: (term) => lone.came(name, errorText(term) ?? '') }),
      keepalive: 200,
      reconnect: limits.maxServiceRetry,
      changed() {},
    })
    return { name, client, services }
  }

  function originalOf(name: string, to: Reception, services: readonly string[]): Client<OriginalClient> {
    const client = createOriginalClient({
      clock,
      dial: network.dial(name, (stream) => to.receive(stream, peer(name))),
      pushed: (text) => lone.came(name, text),
      offended: (why) => attempt(() => model.demand(false, why)),
    })
    return { name, client, services }
  }

  /** @param make makes the call; `undefined`: it could not */
  function ask(job: Job, deadline: number, make: (call: Call) => (() => void) | undefined): Call {
    const call = model.call(job, deadline)
    const giveUp = make(call)
    call.made()
    if (giveUp === undefined) call.fail('disconnected')
    else if (!mood.isCalm && random.below(3) === 0) {
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
    switch (outcome.kind) {
      case 'answer': return call.answer(errorText(outcome.term) ?? '')
      case 'failed': return call.fail(errorText(outcome.reason) ?? '')
      case 'unsent': return call.fail(outcome.code)
      case 'lost': case 'deadline': return call.fail(outcome.kind)
      default: return outcome satisfies never
    }
  }

  const clients = [
    clientOf('c1', hub.reception, [...POOLED, ...POOLED, 'ghost', 'closed']),
    clientOf('c2', hub.reception, POOLED),
    clientOf('c3', lone.reception, [ALONE]),
  ] as const

  return {
    clients,
    originals: setting.signing !== undefined ? [] : [originalOf('original1', hub.reception, POOLED), originalOf('original2', lone.reception, [ALONE])],
    byClient({ client, services }, service = random.pick(services), deadline = random.pick(DEADLINES)) {
      const times = random.pick(['once', 'repeatable'] as const)
      const job = model.job(service, times)
      const chosen = key()
      const wish = { request: request(job, size()), deadline, times, identifier: Buffer.from(service), ...(chosen !== undefined && { key: chosen }) }
      return ask(job, deadline, (call) => client.call(wish, (outcome) => attempt(() => told(call, outcome))))
    },
    byHttp(service = random.below(12) === 0 ? random.pick(['ghost', 'closed']) : random.pick(POOLED), deadline = random.pick(DEADLINES), stated = undefined) {
      const idempotencyKey = stated ?? (random.below(3) > 0 ? undefined : mood.isCalm ? `calm ${setting.serial()}` : random.pick(['a', 'b', 'c', `own ${setting.serial()}`]))
      const job = model.job(service, idempotencyKey === undefined ? 'once' : 'repeatable', idempotencyKey)
      return ask(job, deadline, (call) => hub.switchboard.call(service, { request: request(job, 0), deadline, idempotencyKey, key: key() }, LOCAL, (outcome) => attempt(() => {
        if (outcome.kind === 'answer') call.answer(errorText(outcome.term) ?? '')
        else call.fail(outcome.error.code)
      })))
    },
    byOriginal({ client, services }, service = random.pick(services), deadline = random.pick(DEADLINES)) {
      const job = model.job(service, 'once')
      return ask(job, deadline, (call) => client.call(service, job.text.padEnd(size()), deadline, (outcome) => attempt(() => {
        if (outcome.kind === 'answer') call.answer(outcome.text)
        else call.fail(outcome.kind === 'failed' ? outcome.text : outcome.kind)
      })))
    },
    cast() {
      const { client, services } = random.pick(clients)
      if (random.below(3) > 0) {
        const job = model.job(random.pick(services.slice(0, 2)), 'cast')
        if (!client.cast(request(job, size()), Buffer.from(job.service), key())) model.refused(job, 'not taken')
        return
      }
      const job = model.job(random.pick(POOLED), 'cast')
      try {
        void hub.switchboard.cast(job.service, { request: request(job, 0), key: undefined }, LOCAL)
      } catch (error) {
        model.refused(job, (error as Error).message)
      }
    },
    giveUp() {
      if (abandons.size > 0) random.pick([...abandons])()
    },
  }
}
