import type { Clock, Random, RandomBytes } from '../core/ports.ts'
import * as machine from '../http/real-world.ts'

/* The machine's time and chance, as what the core asks for. */
export const realClock: Clock = machine.realClock
export const realRandom: Random = machine.realRandom
export const randomBytes: RandomBytes = machine.randomBytes
export { holdProcess } from '../http/real-world.ts'
