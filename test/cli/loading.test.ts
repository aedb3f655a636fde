import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { run } from '../support/process.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** Writes each module that is asked for to stderr. */
const TELL = `import { registerHooks } from 'node:module'
registerHooks({ resolve(name, context, next) { const found = next(name, context); process.stderr.write('loads ' + found.url + '\\n'); return found } })`

// A shell loop calls these a thousand times: each would pay a quarter of a second for a hub and three database drivers.
for (const args of [['--version'], ['pub'], ['sub', 'x', '--count', 'many'], ['status', '--data-dir', 'nowhere'], ['call'], ['serve', '--adr', ':1'], ['keys'], ['pinghub', '-nonsense']]) {
  test(`"waystation ${args.join(' ')}" loads no hub, no database and no HTTP client`, async (t) => {
    const ran = run(t, process.execPath, ['--import', `data:text/javascript,${encodeURIComponent(TELL)}`, MAIN, ...args])
    await ran.exited
    const loaded = [...ran.stderr().matchAll(/^loads file:.*?\/(src|node_modules)\/(.+)$/gm)].map(([, where, name]) => `${where}/${name}`)
    assert.ok(loaded.includes('src/core/errors.ts'), ran.stderr())
    assert.deepEqual(loaded.filter((name) => /^src\/(?:registry|transports|webhooks|links)\/|^src\/server\/create-server|^node_modules\/(?:pg|undici|pino|prom-client|ws)\//.test(name)), [])
  })
}
