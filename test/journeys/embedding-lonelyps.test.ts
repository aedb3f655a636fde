import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { createClient, openReceiver } from '../support/lonelyps.ts'
import { run } from '../support/process.ts'

for (const name of ['node', 'express', 'fastify']) {
  test(`lonelyps alone on a server of ${name}: it has /v1/, the application has all else, and both stop cleanly`, async (t) => {
    const file = fileURLToPath(new URL(`../../examples/embedding-lonelyps/${name}.ts`, import.meta.url))
    const folder = temporaryFolder(t)
    const child = run(t, process.execPath, ['--conditions=waystation/source', file], { env: { PORT: '0' }, cwd: folder })
    await child.says(/listening on http:\S+\n/)
    const url = /listening on (\S+)/.exec(child.stdout())?.[1] as string
    const port = Number(new URL(url).port)

    const client = createClient(port)
    const receiver = await openReceiver(t)
    assert.equal((await client.subscribe('glob', receiver.url(), 'orders/*')).status, 200)
    assert.equal((await client.notify('orders/1', 'two coffees')).subscribers, 1)
    assert.equal((await receiver.inbox.next()).message.toString(), 'two coffees')
    // The server that it is mounted on is the hub itself: no webhook goes there.
    assert.equal((await client.subscribe('exact', `${url}/receive`, 'orders')).status, 403)

    assert.equal(await (await fetch(url)).text(), 'the application\n')
    assert.equal((await fetch(`${url}/orders/1`, { method: 'POST', body: 'x' })).headers.get('waystation-offset'), null)
    assert.equal((await fetch(`${url}/v1/nothing`)).status, 404)

    child.child.kill('SIGTERM')
    assert.deepEqual(await child.exited, { code: 0, signal: null }, child.stderr())
    assert.match(child.stdout(), /stopped\n$/)
  })
}

test('a program that stands in the command line embeds the hub like any other', async (t) => {
  const index = new URL('../../src/index.ts', import.meta.url).href
  const program = `import { createServer } from '${index}'
    const hub = createServer({ addr: '127.0.0.1:0' })
    await hub.listen()
    console.log('listens')
    await hub.close()`
  const child = run(t, process.execPath, ['--input-type=module', '-e', program], { cwd: temporaryFolder(t) })
  assert.deepEqual(await child.exited, { code: 0, signal: null }, child.stderr())
  assert.equal(child.stdout(), 'listens\n')
})
