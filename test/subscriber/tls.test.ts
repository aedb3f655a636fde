import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { test } from 'node:test'
import { connectSubscriber } from '../../src/subscriber/index.ts'
import { selfSigned, temporaryFolder } from '../support/certificates.ts'
import { schemes } from '../support/lonelyps.ts'
import { startServer } from '../support/server.ts'
import { authOf, nextOf } from '../support/subscriber.ts'

const pair = ['hmac', 'hmac'] as const
const MIB = 1_048_576

for (const way of ['https', 'wss'] as const) {
  test(`${way}:// takes only a certificate that the process trusts, then carries subscriptions and messages, small and in parts`, async (t) => {
    const folder = temporaryFolder(t)
    const { cert } = selfSigned(folder, 'hub')
    const certificate = { tlsCert: join(folder, 'hub.pem'), tlsKey: join(folder, 'hub.key') }
    const { port } = await startServer(t, { ...schemes(...pair), ...certificate, allowPrivate: true, spoolAbove: MIB })
    const options = { broadcasters: [`${way}://127.0.0.1:${port}`], auth: authOf(pair), retries: 1, spoolAbove: MIB }

    const stranger = await connectSubscriber(options)
    t.after(() => stranger.close())
    await assert.rejects(stranger.notify('a', 'secret'), (error: Error & { code?: string; detail?: string }) => error.code === 'unreachable' && /self.signed/.test(String(error.detail)))

    const before = getCACertificates('default')
    t.after(() => setDefaultCACertificates(before))
    setDefaultCACertificates([...before, cert])
    const one = await connectSubscriber({ ...options, ...(way === 'https' && { receive: { port: 0 } }) })
    t.after(() => one.close())
    const feed = one.subscribe('a')
    await feed.ready
    const bodies = [Buffer.from('small'), randomBytes(9 * MIB)]
    const sent = bodies.map((body) => one.notify('a', body))
    for (const body of bodies) assert.ok((await (await nextOf(feed)).bytes()).equals(body))
    await feed.close()
    assert.deepEqual(await Promise.all(sent), [{ subscribers: 1 }, { subscribers: 1 }])
  })
}
