/*
 * For those who plug something in: the contract of each seam as one function that registers its tests with `node:test`,
 * and fakes of the ports. A new implementation's test file is one call:
 *
 *   import { logContract } from 'waystation/testing'
 *   logContract('my log', ({ rules, clock, random }) => createMyLog({ rules, clock, random }))
 */
export { clockContract, type ClockUnderTest } from './clock-contract.ts'
export { logContract, type LogParts } from './log-contract.ts'
export { registryContract, type RegistryParts, type RegistryUnderTest } from './registry-contract.ts'
export { sinkContract, type SinkPromises, type SinkUnderTest } from './sink-contract.ts'
export { GAP, subscriberContract, type SubscriberPromises, type SubscriberUnderTest } from './subscriber-contract.ts'
export { transportContract, type TransportClient, type TransportUnderTest } from './transport-contract.ts'
export { createManualClock, type ManualClock } from './manual-clock.ts'
export { createRecorder, createRecordingSink, type Arrival, type Recorder, type RecordingSink } from './recorders.ts'
export { createSeededRandom, type SeededRandom } from './seeded-random.ts'
export { createTestHub, OURSELVES, STRANGER, type TestHub } from './test-hub.ts'
export { universe, type Universe } from './universe.ts'
