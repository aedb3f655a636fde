import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Hub } from '../../src/core/hub.ts'
import { interestIn } from '../../src/core/interest.ts'
import { compose } from '../../src/server/create-server.ts'
import { effective, fromProgram } from '../../src/server/config.ts'
import { connectLink } from '../../src/server/link.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'

/** Hubs that each take the same topics from the one before, the first from the last. */
async function ring(t: TestContext, size: number) {
  const hubs: { server: ReturnType<typeof compose>; heard: string[] }[] = []
  for (let i = 0; i < size; i++) {
    const { options } = effective([fromProgram({ addr: '127.0.0.1:0', logLevel: 'silent', dataDir: temporaryFolder(t), linkServer: { port: 0, transport: 'tcp' }, lonelyps: false, wspubsub: false })])
    const server = compose(options)
    await server.listen()
    t.after(() => server.close(AbortSignal.abort()))
    const heard: string[] = []
    // For as long as the hub is there.
    void (async () => {
      for await (const message of server.hub.subscribe('news/*', { onGap: () => void heard.push('(gap)') })) heard.push(message.text())
    })()
    hubs.push({ server, heard })
  }
  const links = await Promise.all(hubs.map(({ server }, i) => {
    const port = hubs.at(i - 1)?.server.linkPort as number
    return connectLink({ hub: server.hub, server: '127.0.0.1', port, topics: ['news/*'], transport: 'tcp' })
  }))
  await until(() => links.every(({ state }) => state.state === 'up'), 'all links are up')
  return hubs
}

for (const size of [2, 3]) {
  test(`in a ring of ${size} hubs a message, and a word of what is lost, come to each once and go no further`, async (t) => {
    const hubs = await ring(t, size)
    const first = hubs[0] as (typeof hubs)[number]
    await first.server.hub.publish('news/eu', 'one')
    // A gap is told at once, whatever waits for the reader.
    await until(() => hubs.every(({ heard }) => heard.includes('one')), 'one is everywhere')
    ;(first.server.vitals.hub as Hub).lose(interestIn(['news/*']))
    // What goes round would come before what is published once the others have heard.
    for (const text of ['two', 'three', 'four']) {
      await first.server.hub.publish('news/eu', text)
      await until(() => hubs.every(({ heard }) => heard.includes(text)), `${text} is everywhere`)
    }
    for (const { heard } of hubs) assert.deepEqual(heard, ['one', '(gap)', 'two', 'three', 'four'])
  })
}
