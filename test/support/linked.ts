import { interestIn } from '../../src/core/interest.ts'
import type { LimitName } from '../../src/core/limits.ts'
import type { HubPort } from '../../src/core/ports.ts'
import { createRecorder, type Recorder } from '../../src/testing/recorders.ts'
import { createTestHub } from '../../src/testing/test-hub.ts'
import { createPlayedGiver, createTestLink, type PlayedConnection, type PlayedGiver, type TestLink } from './link-giver.ts'

/** The epoch of the log of a daemon that a test plays. */
export const EPOCH = 'giverlog'

/** A hub that takes, with a link to a daemon that the test plays, and a subscriber to everything. */
export interface Linked {
  readonly giver: PlayedGiver
  readonly hub: HubPort
  readonly everything: Recorder
  readonly link: TestLink
  /** The newest connection. */
  last(): PlayedConnection
}

export async function linked(options: {
  hub?: HubPort
  topics?: readonly string[]
  prefix?: string
  limits?: Partial<Record<LimitName, number>>
  played?: (connection: PlayedConnection) => void
} = {}): Promise<Linked> {
  const { hub = createTestHub().hub, topics = ['news/*', 'prices'], played, ...more } = options
  const giver = createPlayedGiver(played)
  const everything = createRecorder()
  hub.join(interestIn(['*']), everything)
  const link = createTestLink({ hub, dial: giver.dial, topics, ...more })
  await link.start()
  return { giver, hub, everything, link, last: () => giver.connections.at(-1) as PlayedConnection }
}

/** Answers as a Waystation that has everything it is asked for. */
export function ready(connection: PlayedConnection, offset = 0, epoch = EPOCH): void {
  connection.say({ kind: 'ready', at: { epoch, offset }, hub: EPOCH })
}
