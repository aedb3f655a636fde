import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitsWith } from '../../src/core/limits.ts'
import { createAdmission } from '../../src/http/admission.ts'
import { createLinkClient } from '../../src/links/client.ts'
import { openCredentials } from '../../src/zones/credentials.ts'
import { createLinkDaemon } from '../../src/links/daemon.ts'
import { createDial } from '../../src/zones/dial.ts'
import type { TlsFiles } from '../../src/zones/ports.ts'
import { COMMON_ATOMS } from '../../src/protocol/etf/term.ts'
import { interestIn } from '../../src/core/interest.ts'
import { createRecorder } from '../../src/testing/recorders.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { createTestHub } from '../../src/testing/test-hub.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { linkCertificates } from '../support/link-certificates.ts'
import { transportKit } from '../support/transport-port.ts'

test('over real sockets and TLS a link brings what was asked for, goes on after an outage of the daemon, and says goodbye', async (t) => {
  const certificates = linkCertificates(temporaryFolder(t))
  const open = async (files: TlsFiles) => {
    const credentials = await openCredentials(files, { reloaded() {}, alarm() {} })
    t.after(() => credentials.stop())
    return credentials
  }
  const [server, client] = [await open(await certificates.server('hub')), await open(await certificates.client('edge'))]
  const giving = createTestHub({ rules: [{ topics: '*', keep: { messages: 100, ms: 60_000 } }] })
  const taking = createTestHub({ seed: 2 })
  const everything = createRecorder()
  taking.hub.join(interestIn(['*']), everything)
  const kit = transportKit({ linkRetry: 20, maxLinkRetry: 50 })
  const never = new AbortController().signal
  const serve = async (port: number) => {
    const daemon = createLinkDaemon({
      kit, listen: { port, host: '127.0.0.1' }, hubId: () => giving.hub.cursor.epoch, grants: undefined, atoms: COMMON_ATOMS,
      security: { kind: 'tls', credentials: server, matchAddress: 'unchecked' },
      admission: createAdmission({ total: 10, perAddress: 10 }),
      events: { refused: (why) => assert.fail(why) },
    })
    await daemon.start(giving.hub)
    t.after(() => daemon.stop(AbortSignal.abort()))
    return daemon
  }
  const first = await serve(0)
  const { port } = first
  const link = createLinkClient({
    kit, random: createSeededRandom(1), hubId: () => taking.hub.cursor.epoch,
    link: { server: '127.0.0.1', port, topics: ['news/*', 'prices'], prefix: 'cloud/' },
    dial: createDial({ server: '127.0.0.1', port, timeout: limitsWith().linkHandshakeTimeout, security: { kind: 'tls', credentials: client } }),
    events: { changed() {}, dropped: (why) => assert.fail(why) },
  })
  await link.start(taking.hub)
  t.after(() => link.stop(AbortSignal.abort()))
  const isUp = () => until(() => link.view().current.state === 'up', 'the link is up')
  const has = (...texts: string[]) => until(() => everything.messages().length >= texts.length, `${texts.length} messages`).then(() => assert.deepEqual(everything.texts(), texts))

  await isUp()
  await giving.publish('news/eu', 'one')
  await giving.publish('elsewhere', 'not asked for')
  await giving.publish('prices', 'two')
  await has('one', 'two')
  assert.deepEqual(everything.messages().map(({ topic }) => topic), ['cloud/news/eu', 'cloud/prices'])

  await first.stop(AbortSignal.abort())
  await until(() => link.view().current.state === 'down', 'the link is down')
  await giving.publish('prices', 'three')
  const second = await serve(port)
  await has('one', 'two', 'three')
  await isUp()

  await link.stop(never)
  await until(() => second.takers === 0, 'the taker has left')
})
