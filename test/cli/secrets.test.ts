import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { waystation } from '../support/process.ts'

const SECRET = 'open-sesame'

test('check says that a secret is stated, and where, and never the secret', async (t) => {
  const cwd = temporaryFolder(t)
  writeFileSync(join(cwd, 'waystation.config.json'), JSON.stringify({ toBroadcastersAuth: 'token', toBroadcastersSecret: SECRET }))
  const check = waystation(t, ['check', '--to-subscribers-auth', 'token'], { cwd, env: { WAYSTATION_TO_SUBSCRIBERS_SECRET: SECRET } })
  assert.deepEqual(await check.exited, { code: 0, signal: null }, check.stderr())
  assert.match(check.stdout(), /^toBroadcastersSecret +\(stated\) +\(waystation\.config\.json\)$/m)
  assert.match(check.stdout(), /^toSubscribersSecret +\(stated\) +\(environment\)$/m)
  assert.doesNotMatch(check.stdout() + check.stderr(), /sesame/)
})

test('check says that a secret is not stated', async (t) => {
  const check = waystation(t, ['check'], { cwd: temporaryFolder(t) })
  await check.exited
  assert.match(check.stdout(), /^toBroadcastersSecret +""$/m)
})

test('a secret that cannot be used is refused without being shown, by check and by serve', async (t) => {
  for (const command of ['check', 'serve']) {
    const process = waystation(t, [command, '--to-broadcasters-auth', 'hmac', '--to-broadcasters-secret', SECRET], { cwd: temporaryFolder(t) })
    assert.notEqual((await process.exited).code, 0)
    assert.match(process.stderr(), /--to-broadcasters-secret cannot be used/)
    assert.doesNotMatch(process.stdout() + process.stderr(), /sesame/)
  }
})

test('serve keeps secrets out of what it prints and logs', async (t) => {
  const serve = waystation(t, ['serve', '--addr', '127.0.0.1:0', '--log-level', 'trace', '--to-broadcasters-auth', 'token'], { cwd: temporaryFolder(t), env: { WAYSTATION_TO_BROADCASTERS_SECRET: SECRET } })
  await serve.says(/http:\/\/127\.0\.0\.1:\d+/)
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(serve.stdout() + serve.stderr())?.[0] as string
  for (const Authorization of [`Bearer ${SECRET}`, `Bearer ${SECRET}!`]) await fetch(`${url}/v1/notify`, { method: 'POST', headers: { Authorization }, body: Buffer.alloc(80) })
  serve.child.kill('SIGTERM')
  await serve.exited
  assert.doesNotMatch(serve.stdout() + serve.stderr(), /sesame/)
})
