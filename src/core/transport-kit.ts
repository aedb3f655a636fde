import type { Clock, Meter } from './ports.ts'
import type { Limits } from './limits.ts'
import type { Turn } from './turn.ts'
import type { Wheel } from './wheel.ts'

/** What every transport is given. */
export interface TransportKit {
  readonly limits: Limits
  readonly clock: Clock
  readonly turn: Turn
  readonly wheel: Wheel
  readonly meter: Meter
}
