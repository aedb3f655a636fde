import assert from 'node:assert/strict'
import { test } from 'node:test'
import { play, report } from './model/play.ts'

/** More of them, or one alone: `SESSION_MODEL_SEEDS=1000000`, `SESSION_MODEL_FROM=4711 SESSION_MODEL_SEEDS=1`. */
const SEEDS = Number(process.env.SESSION_MODEL_SEEDS ?? 4_000)
const FROM = Number(process.env.SESSION_MODEL_FROM ?? 1)

test(`in ${SEEDS} random sequences sockets do what the model of the protocol says`, async (t) => {
  const start = performance.now()
  let [frames, messages, closed] = [0, 0, 0]
  for (let seed = FROM; seed < FROM + SEEDS; seed++) {
    const played = await play(seed)
    assert.equal(played.divergence, undefined, report(played))
    frames += played.frames
    messages += played.messages
    closed += played.closed
  }
  t.diagnostic(`${frames} frames to the hub, ${messages} parts from it, ${closed} sockets closed by it, in ${Math.round(performance.now() - start)} ms`)
  // Sequences in which nothing happens agree with any model.
  if (SEEDS >= 1_000) assert.ok(frames > 5 * SEEDS && messages > SEEDS && closed > SEEDS / 2)
})
