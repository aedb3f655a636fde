import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLogger } from '../../src/server/log.ts'
import { connectLink, serveLinks } from '../../src/server/link.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { linkCertificates } from '../support/link-certificates.ts'
import { startServer } from '../support/server.ts'

type Line = Readonly<Record<string, unknown>>

/** The log of one hub about links, without the times. */
function openLog() {
  const lines: Line[] = []
  const logger = createLogger('info', {
    write(text) {
      const { level: _level, time: _time, ...line } = JSON.parse(text) as Record<string, unknown>
      lines.push(line)
    },
  })
  return { lines, parts: { logger } }
}

test('the log of the giver says once who is turned away and why, however often he comes, and who is here and has gone', async (t) => {
  const folder = temporaryFolder(t)
  const [ours, others] = [linkCertificates(join(folder, 'ours')), linkCertificates(join(folder, 'others'))]
  const [hub, edge, other] = [await ours.server('hub'), await ours.client('edge'), await others.client('edge')]
  const [{ lines, parts }, taken] = [openLog(), openLog()]
  const giver = await startServer(t, {}, parts)
  const taker = await startServer(t, { linkRetry: 10, maxLinkRetry: 10 }, taken.parts)
  const gives = await serveLinks({ hub: giver.hub, port: 0, tls: hub, grants: [{ certificate: 'edge', topics: ['prices'] }] })
  const to = { hub: taker.hub, server: '127.0.0.1', port: gives.port }
  lines.splice(0)

  const good = await connectLink({ ...to, topics: ['prices'], tls: edge })
  await until(() => good.state.state === 'up', 'the link is up')
  await good.close()
  await until(() => lines.length === 2, 'both lines')
  assert.deepEqual(lines.splice(0), [
    { address: '127.0.0.1', names: ['cn:edge'], msg: 'a taker of links is here' },
    { address: '127.0.0.1', names: ['cn:edge'], reason: 'left', msg: 'a taker of links has gone' },
  ])

  const refusals = async (reason: string): Promise<number> => Number(new RegExp(`takers_refused_total{reason="${reason}"} (\\d+)`).exec(await (await fetch(`${giver.url}/_/metrics`)).text())?.[1] ?? 0)
  const ungranted = await connectLink({ ...to, topics: ['secret'], tls: edge })
  await until(async () => (await refusals('forbidden')) >= 3, 'three refusals')
  await ungranted.close()
  const distrusting = await connectLink({ ...to, topics: ['prices'], tls: other })
  await until(async () => (await refusals('handshake')) >= 3, 'three handshakes')
  await distrusting.close()
  // Its own CA stands behind its certificate, so that it may be shown to others.
  writeFileSync(other.certfile, readFileSync(other.certfile, 'utf8') + readFileSync(other.cacertfile, 'utf8'))
  const foreign = await connectLink({ ...to, topics: ['prices'], tls: { ...other, cacertfile: hub.cacertfile } })
  await until(async () => (await refusals('certificate')) >= 3, 'three certificates')
  await foreign.close()
  const line = { address: '127.0.0.1', names: [], msg: 'a taker of links was turned away' }
  const details = lines.map(({ detail }) => detail)
  assert.deepEqual(lines, [
    { ...line, names: ['cn:edge'], reason: 'forbidden' },
    { ...line, reason: 'handshake', detail: details[1] },
    { ...line, reason: 'certificate', detail: details[2] },
  ])
  assert.match(String(details[2]), /CERT/)
  assert.deepEqual(taken.lines.filter(({ msg }) => msg === 'a link is down').map(({ why }) => why), [
    'the other end refuses: forbidden',
    'the certificate of the daemon does not come from a CA of cacertfile: self-signed certificate in certificate chain',
    'the other end has closed the connection',
  ])
})

test('what speaks no TLS, or is a web server, is named as that', async (t) => {
  const web = await startServer(t)
  const ours = linkCertificates(join(temporaryFolder(t), 'ours'))
  const tls = await ours.client('edge')
  const [server, port] = ['127.0.0.1', web.port] as const
  const link = await connectLink({ hub: web.hub, server, port, topics: ['prices'], tls })
  await until(() => JSON.stringify(link.state).includes('what answers there does not speak TLS (wrong version number)'), 'the reason')
})
