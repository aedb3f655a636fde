import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openCrowd, openMember, type Kind } from '../support/crowd.ts'
import { until } from '../support/events.ts'
import { startHubProcess } from '../support/hub.ts'

const HEALTHY = 100
const STALLED = 200

test('a hundred healthy readers beside two hundred that have stopped reading lose nothing, and each of the two hundred is let go', async (t) => {
  const hub = await startHubProcess(t, '--max-pending-bytes', '128KiB', '--log-level', 'warn')
  const kind = (i: number): Kind => (i % 2 === 0 ? 'websocket' : 'sse')
  const stalled = await openCrowd(t, hub.port, STALLED, (i) => ({ kind: kind(i), path: '/busy' }))
  for (const { socket } of stalled) socket.pause()
  const healthy = await openCrowd(t, hub.port, HEALTHY, (i) => ({ kind: kind(i), path: '/busy' }))
  const quiet = await openMember(t, hub.port, 'websocket', '/quiet')

  // Large messages, so that the buffers of the two hundred are soon full, until the hub has let every one of them go.
  const filling = 'x'.repeat(200_000)
  let sent = 0
  while ((await hub.metric('waystation_slow_consumers_total')) < STALLED) {
    assert.ok(sent < 200, 'the hub holds 40 MB for one that does not read')
    const answer = await fetch(`${hub.url}/busy`, { method: 'POST', body: `${sent++} ${filling}` })
    assert.equal(answer.status, 200)
    // Nobody is behind by more than one message, so none of the hundred can be taken for slow.
    await until(() => healthy.every(({ got, closed }) => got.length === sent || closed), 'the hundred to have it')
  }
  await fetch(`${hub.url}/quiet`, { method: 'POST', body: 'undisturbed' })
  await until(() => quiet.got.length === 1, 'the quiet channel')

  for (const { got, closed, kind: way } of healthy) {
    assert.equal(closed, false, way)
    assert.deepEqual(got.map((body) => Number(body.split(' ')[0])), Array.from({ length: sent }, (_, n) => n))
  }
  assert.equal(await hub.metric('waystation_slow_consumers_total{transport="pinghub"}'), STALLED / 2)
  assert.equal(await hub.metric('waystation_slow_consumers_total{transport="sse"}'), STALLED / 2)
  const lines = hub.stderr().trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.deepEqual(new Set(lines.map(({ msg, topic }) => `${String(msg)}: ${String(topic)}`)), new Set(['a slow consumer was let go: busy']))
  assert.equal(lines.length, STALLED)

  // Those who read again have everything up to a point, and then the reason, or nothing more when their time was up.
  for (const { socket } of stalled) socket.resume()
  await until(() => stalled.every(({ closed }) => closed), 'the end of the two hundred')
  for (const { got, goodbye, kind: way } of stalled) {
    assert.deepEqual(got.map((body) => Number(body.split(' ')[0])), Array.from({ length: got.length }, (_, n) => n))
    assert.ok(goodbye === undefined || goodbye === (way === 'sse' ? 'slow consumer' : '1013 slow consumer'), String(goodbye))
  }
  assert.equal(await hub.metric('waystation_connections'), HEALTHY + 1)
})
