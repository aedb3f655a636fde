import { test } from 'node:test'
import { COMBINATIONS, schemes } from '../support/lonelyps.ts'
import { KIND_NAMES, notifyTrained, playScenarios } from '../support/lonelyps-scenarios.ts'
import { startServer } from '../support/server.ts'

/*
 * Every scenario of lonelyps, section 9.3, in full, each within its limit:
 *   npm run soak:lonelyps                 all nine combinations, some minutes
 *   npm run soak:lonelyps -- hmac/hmac    one: how broadcasters, and how subscribers are proved to
 */

const MESSAGES = 16_384

const asked = process.argv.slice(2)

for (const pair of COMBINATIONS) {
  if (asked.length > 0 && !asked.includes(pair.join('/'))) continue
  test(`all scenarios in full with ${pair.join('/')}`, async (t) => {
    const { port } = await startServer(t, { ...schemes(...pair), allowPrivate: true })
    const place = { t, port, pair, patience: 1 }
    await playScenarios(place)
    for (const kind of KIND_NAMES) t.diagnostic(await notifyTrained(place, kind, MESSAGES))
  })
}
