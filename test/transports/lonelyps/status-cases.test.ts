import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { startServer } from '../../support/server.ts'
import { temporaryFolder } from '../../support/certificates.ts'

interface StatusCase {
  readonly description: string
  readonly auth_mode: 'none' | 'token'
  readonly method: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly body_hex: string
  readonly status: number
  readonly response_content_type: string | null
  readonly response_body_hex: string | null
}

const vectors = JSON.parse(readFileSync(new URL('../../vectors/lonelyps.json', import.meta.url), 'utf8')) as {
  keys: { to_broadcaster_secret: string; to_subscriber_secret: string }
  http_status_cases: { cases: StatusCase[] }
}
const { keys, http_status_cases: { cases } } = vectors

/** What we do otherwise, and why: docs/protocols/lonelyps.md has these as rows. */
const OTHERWISE: Record<string, number> = {
  // An internal error of the original; a body that is cut short is the sender's.
  'missed_for_ws trunc': 400,
}
/** Bodies that come from the original's web framework. */
const FRAMEWORK = new Set([404, 405, 500])

for (const mode of ['none', 'token'] as const) {
  test(`the recorded requests get the recorded answers, one after the other, with ${mode} both ways`, async (t) => {
    const port = await start(t, mode)
    const ofMode = cases.filter(({ auth_mode }) => auth_mode === mode)
    assert.ok(ofMode.length > 40)
    for (const one of ofMode) {
      const { status, type, body } = await send(port, one)
      const expected = OTHERWISE[one.description] ?? one.status
      assert.equal(status, expected, `${one.path}: ${one.description}`)
      if (FRAMEWORK.has(one.status)) continue
      assert.equal(type ?? null, one.response_content_type, one.description)
      if (one.response_body_hex !== null) assert.equal(body.toString('hex'), one.response_body_hex, one.description)
      else if (one.status >= 400) assert.equal(body.length, 0, one.description)
    }
  })
}

async function start(t: TestContext, mode: 'none' | 'token'): Promise<number> {
  const schemes = mode === 'none' ? {} : { toBroadcastersSecret: keys.to_broadcaster_secret, toSubscribersSecret: keys.to_subscriber_secret }
  const { port } = await startServer(t, {
    toBroadcastersAuth: mode, toSubscribersAuth: mode, ...schemes,
    dataDir: temporaryFolder(t), allowPrivate: true, publicUrl: 'http://127.0.0.1:3103',
  })
  return port
}

async function send(port: number, one: StatusCase): Promise<{ status: number; type: string | undefined; body: Buffer }> {
  const sent = request({ port, host: '127.0.0.1', method: one.method, path: one.path, headers: { Host: '127.0.0.1:3103', ...one.headers } })
  const body = Buffer.from(one.body_hex, 'hex')
  sent.end(one.method === 'GET' ? undefined : body)
  const response = await new Promise<import('node:http').IncomingMessage>((resolve, reject) => sent.on('response', resolve).on('error', reject))
  return { status: response.statusCode as number, type: response.headers['content-type'], body: await buffer(response) }
}
