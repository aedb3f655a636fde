import { errorText } from '../../src/protocol/erps/payload.ts'
import { createAccess } from '../../src/services/access.ts'
import { createIdempotency, type Idempotency } from '../../src/services/idempotency.ts'
import { POLICIES, type Policy } from '../../src/services/policy.ts'
import { createPools, type Pools } from '../../src/services/pools.ts'
import type { Answering, Callee, Connection } from '../../src/services/ports.ts'
import { createReception, type Reception } from '../../src/services/reception.ts'
import { createSwitchboard, type Switchboard } from '../../src/services/switchboard.ts'
import type { Setting } from './whole-setting.ts'

/** The hub of a whole world, as src/server/services.ts has it. */
export interface WholeHub {
  readonly policy: Policy
  readonly pools: Pools
  readonly idempotency: Idempotency
  readonly switchboard: Switchboard
  readonly reception: Reception
  /** Workers of which it must know that they take no more. */
  readonly retired: Set<string>
  readonly refused: number
}

/** What lets callers and workers in. */
export function receptionOf(setting: Setting, answering: (connection: Connection) => Answering, more: Pick<Parameters<typeof createReception>[0], 'worked'> & { refused?: () => void } = {}): Reception {
  const { clock, limits, randomBytes, brake, signing, connections, attempt } = setting
  return createReception({
    clock, limits, randomBytes, brake, signing,
    judgement: {},
    decode: { atoms: 'any', opaque: 'refused', maxBytes: limits.maxPacketBytes, maxDepth: limits.maxTermDepth },
    answering(connection) {
      connections.add(connection)
      return answering(connection)
    },
    worked: more.worked,
    refused: () => more.refused?.(),
    failed: (error) => attempt(() => { throw error }),
  })
}

export function createWholeHub(setting: Setting): WholeHub {
  const { random, clock, limits, model, attempt } = setting
  const policy = random.pick(POLICIES)
  const pools = createPools({ clock, random, limits, stated: new Map([['sums', policy], ['texts', random.pick(POLICIES)]]) })
  const idempotency = createIdempotency({ clock, limits })
  const switchboard = createSwitchboard({
    pools, idempotency, limits,
    access: createAccess([{ services: 'closed', call: 'nobody' }, { services: '*', call: 'anyone', workers: ['w*'] }], () => false),
    callers: 'unproved',
    counted() {},
    soon: clock.endOfTurn,
  })
  const retired = new Set<string>()
  let refused = 0
  const reception = receptionOf(setting, () => switchboard.answering(), {
    refused: () => void refused++,
    worked(caller, { service, slots }, { peer }) {
      if (!switchboard.mayWork(service, peer.certificateNames)) return undefined
      let isDraining = false
      const callee: Callee = {
        call(wish, settle) {
          attempt(() => model.demand(!isDraining && !retired.has(peer.certificateNames[0] ?? ''), `${errorText(wish.request)?.trim()} was sent to a worker that drains`))
          return caller.call(wish, settle)
        },
        cast: (request, identifier, key) => caller.cast(request, identifier, key),
      }
      const member = pools.join(service, { id: `${peer.names[0]} ${setting.serial()}`, slots, callee })
      return {
        draining() {
          isDraining = true
          member.drain()
        },
        ended: () => member.gone(),
      }
    },
  })
  return { policy, pools, idempotency, switchboard, reception, retired, get refused() { return refused } }
}
