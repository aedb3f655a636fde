import { test } from 'node:test'
import { COMBINATIONS, schemes } from '../support/lonelyps.ts'
import { KIND_NAMES, notifyTrained } from '../support/lonelyps-scenarios.ts'
import { startServer } from '../support/server.ts'

/* The scenario notify_trained_compression (lonelyps, section 9.3), cut short; in full it is `npm run soak:lonelyps`. */

const MESSAGES = 4_096
const FEWER = 256
/** So that a dictionary comes within a few hundred messages. */
const SOON = 32_768

for (const pair of COMBINATIONS) {
  test(`messages of four kinds over sockets that train, with ${pair[0]} to broadcasters and ${pair[1]} to subscribers, come as they were and in order`, async (t) => {
    const { port } = await startServer(t, { ...schemes(...pair), trainingLowWatermark: SOON })
    for (const kind of KIND_NAMES) t.diagnostic(await notifyTrained({ t, port, pair, patience: 2 }, kind, FEWER))
  })
}

test('4,096 messages of JSON, one after the other over signed sockets, come in order, and by dictionaries that the hub has trained', async (t) => {
  const pair = ['hmac', 'hmac'] as const
  const { port } = await startServer(t, schemes(...pair))
  t.diagnostic(await notifyTrained({ t, port, pair, patience: 2 }, 'json', MESSAGES))
})
