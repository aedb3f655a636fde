/**
 * The parts that a world is built of: the hub's own, as they are. A planted fault is this same module with one line of
 * one part replaced: see `planting.ts`.
 */
export { createFanOuts } from '../../src/core/fan-outs.ts'
export { createReplay } from '../../src/core/replay.ts'
export { createHub } from '../../src/core/hub.ts'
export { createMemoryLog } from '../../src/core/log.ts'
export { createRouter } from '../../src/core/router.ts'
export { createRules } from '../../src/core/rules.ts'
export { createTurn } from '../../src/core/turn.ts'
export { json as webSocketJson } from '../../src/transports/pinghub/encoders.ts'
export { named as eventStream, opening } from '../../src/transports/sse/encode.ts'
