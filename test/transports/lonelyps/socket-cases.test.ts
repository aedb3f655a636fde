import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import { WebSocket } from 'ws'
import { encodeToBroadcaster } from '../../../src/protocol/lonelyps/stateful/to-broadcaster.ts'
import { parseToSubscriber } from '../../../src/protocol/lonelyps/stateful/to-subscriber.ts'
import { temporaryFolder } from '../../support/certificates.ts'
import { createInbox } from '../../support/events.ts'
import { startServer } from '../../support/server.ts'

interface SessionCase {
  readonly description: string
  readonly frames: readonly ({ readonly text: string } | { readonly binary_hex: string })[]
  readonly received_after_configure: readonly string[]
  /** `abnormal_1006`: an error of the original before it was open; any close means the same. */
  readonly end: 'open' | 'close_1000' | 'abnormal_1006'
  readonly auth_mode: 'none' | 'token'
}

const { keys, ws_session_cases: { cases } } = JSON.parse(readFileSync(new URL('../../vectors/lonelyps.json', import.meta.url), 'utf8')) as {
  keys: { to_broadcaster_secret: string; to_subscriber_secret: string }
  ws_session_cases: { cases: readonly SessionCase[] }
}

/** A request that every open socket answers: nothing else comes before its answer that was to come. */
const PROOF = Buffer.from('still here?')
const proof = encodeToBroadcaster({ type: 'subscribe_exact', topic: PROOF, authorization: undefined, tracing: Buffer.alloc(0) }, 'minimal')

suite('the recorded sessions of a bare client', () => {
  test('there are all of them', () => assert.deepEqual([cases.length, cases.filter(({ end }) => end === 'open').length], [34, 10]))

  for (const { description, frames, received_after_configure: expected, end, auth_mode: mode } of cases) {
    test(`${description}: ${end === 'open' ? 'it stays open' : 'it is closed'} after ${expected.join(', ') || 'nothing'}`, async (t) => {
      const secrets = mode === 'none' ? {} : { toBroadcastersSecret: keys.to_broadcaster_secret, toSubscribersSecret: keys.to_subscriber_secret }
      const { port } = await startServer(t, { toBroadcastersAuth: mode, toSubscribersAuth: mode, ...secrets, dataDir: temporaryFolder(t) })
      const ws = new WebSocket(`ws://127.0.0.1:${port}/v1/websocket`, { perMessageDeflate: false })
      t.after(() => ws.terminate())
      const inbox = createInbox<string>('message')
      ws.on('message', (data: Buffer) => {
        const message = parseToSubscriber(data)
        assert.ok(typeof message !== 'string')
        const isProof = message.type === 'confirm_subscribe_exact' && message.topic.equals(PROOF)
        inbox.push(isProof ? 'the proof' : message.type.toUpperCase())
      })
      const closed = once(ws, 'close') as Promise<[code: number, reason: Buffer]>
      await once(ws, 'open')
      for (const frame of frames) ws.send('text' in frame ? frame.text : Buffer.from(frame.binary_hex, 'hex'))
      if (end === 'open') {
        ws.send(proof)
        assert.deepEqual(await inbox.take(expected.length + 2), ['CONFIRM_CONFIGURE', ...expected, 'the proof'])
        assert.equal(ws.readyState, WebSocket.OPEN)
        return
      }
      const [code, reason] = await closed
      assert.deepEqual([code, reason.toString()], [1000, ''])
      // Who sends more than one frame has said first who it is.
      assert.deepEqual(inbox.taken(), [...(frames.length > 1 ? ['CONFIRM_CONFIGURE'] : []), ...expected])
    })
  }
})
