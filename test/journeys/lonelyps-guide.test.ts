import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { run, waystation } from '../support/process.ts'
import { blocks } from '../support/readme.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const GUIDE = new URL('../../docs/protocols/lonelyps.md', import.meta.url)

test('the guide to lonelyps works as it is written: setup, serve, and a program that subscribes and publishes', async (t) => {
  const [commands] = blocks(GUIDE, 'sh') as [string]
  assert.deepEqual(commands.trim().split('\n'), ['waystation setup --dir broadcaster', 'cd broadcaster && waystation serve'])
  const folder = temporaryFolder(t)
  const setup = waystation(t, ['setup', '--dir', 'broadcaster'], { cwd: folder })
  assert.deepEqual(await setup.exited, { code: 0, signal: null }, setup.stderr())
  const cwd = join(folder, 'broadcaster')
  // The guide's own ports may be taken on this machine.
  const hub = waystation(t, ['serve', '--allow-private', '--addr', '127.0.0.1:0'], { cwd })
  await hub.says(/listens on \S+/)
  const url = /listens on (\S+)/.exec(hub.stdout())?.[1] as string

  const [program] = blocks(GUIDE, 'ts') as [string]
  mkdirSync(join(cwd, 'node_modules'))
  symlinkSync(root, join(cwd, 'node_modules', 'waystation'))
  writeFileSync(join(cwd, 'program.mts'), program.replace('http://127.0.0.1:3003', url).replace('port: 3002', 'port: 0'))
  const child = run(t, process.execPath, ['--conditions=waystation/source', 'program.mts'], { cwd })
  assert.deepEqual(await child.exited, { code: 0, signal: null }, child.stderr())
  assert.equal(child.stdout(), 'foo/bar hello\ntaken by 1\n')
})
