import { test } from 'node:test'
import { COMBINATIONS, schemes } from '../support/lonelyps.ts'
import { playScenarios } from '../support/lonelyps-scenarios.ts'
import { startServer } from '../support/server.ts'

/* The scenarios of the lonelypst suite (lonelyps, section 9.3), with our own subscriber, each within ten times its limit: the tests beside them take what they like. `npm run soak:lonelyps` holds them to the limit. */

for (const pair of COMBINATIONS) {
  test(`the scenarios of webhooks, WebSockets and both with ${pair[0]} to broadcasters and ${pair[1]} to subscribers`, async (t) => {
    const { port } = await startServer(t, { ...schemes(...pair), allowPrivate: true })
    // The others are in the soak, too.
    await playScenarios({ t, port, pair, patience: 10 }, pair[0] === pair[1] ? 'large' : 'small')
  })
}
