import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { limitsWith, type LimitName } from '../../src/core/limits.ts'
import type { Identity, Meter } from '../../src/core/ports.ts'
import type { TransportKit } from '../../src/core/transport-kit.ts'
import { createTurn } from '../../src/core/turn.ts'
import { createWheel } from '../../src/core/wheel.ts'
import { addressSet } from '../../src/http/address.ts'
import { createAdmission } from '../../src/http/admission.ts'
import { createDispatch, createPort, type Route } from '../../src/http/server.ts'
import { realClock } from '../../src/server/real-world.ts'

/** Counts nothing. */
export const silent: Meter = { published() {}, delivered() {}, slow() {}, gap() {}, failed() {} }

/** What a transport is given, on the machine's own clock. */
export function transportKit(stated: Partial<Record<LimitName, number>> = {}): TransportKit {
  const clock = realClock
  return { limits: limitsWith(stated), clock, turn: createTurn(clock), wheel: createWheel(clock, 20), meter: silent }
}

export const anonymous = (): Identity => ({ kind: 'anonymous', local: true, address: '127.0.0.1' })
export const admitAll = () => (): void => {}

/** A port with one route and nothing else: no hub, no other transport. Gives the number it listens on. */
export async function listenWith(t: TestContext, route: Route, kit: TransportKit): Promise<number> {
  const trusted = addressSet([])
  const failed = (error: unknown): void => {
    throw error
  }
  const server = createPort({
    dispatch: createDispatch([route], trusted, failed),
    bounds: kit.limits,
    admission: createAdmission({ total: 100, perAddress: 100 }),
    trusted,
    refused: () => {},
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}
