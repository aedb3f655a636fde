import assert from 'node:assert/strict'
import { globSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { run } from '../support/process.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('npm run release makes a tarball that runs where there is neither Node nor npm', async (t) => {
  const folder = temporaryFolder(t)
  const [product, server, links] = ['product', 'server', 'links'].map((name) => join(folder, name)) as [string, string, string]
  for (const path of [server, links]) mkdirSync(path)
  const { release } = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }).scripts
  assert.equal(release, 'node scripts/release.ts')
  const made = run(t, process.execPath, ['scripts/release.ts', product], { cwd: root })
  assert.equal((await made.exited).code, 0, made.stderr())
  const [tarball] = globSync('*', { cwd: product }) as [string]
  assert.match(tarball, new RegExp(`^waystation-\\d+\\.\\d+\\.\\d+-${process.platform}-${process.arch}\\.tar\\.gz$`))
  assert.ok(statSync(join(product, tarball)).size < 80 * 2 ** 20)

  const env = { PATH: '/usr/bin:/bin', HOME: server, NODE_PATH: '' }
  const inServer = async (command: string, ...args: string[]): Promise<string> => {
    const child = run(t, command, args, { cwd: server, env })
    assert.equal((await child.exited).code, 0, child.stdout() + child.stderr())
    return child.stdout()
  }
  await inServer('tar', 'xzf', join(product, tarball))
  const unpacked = join(server, tarball.replace('.tar.gz', ''))
  const files = globSync('**/*', { cwd: unpacked })
  assert.deepEqual(files.filter((file) => file.endsWith('.map') || (file.endsWith('.ts') && !file.endsWith('.d.ts'))), [])
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, Record<string, string>>
  const packages = new Set(globSync('node_modules/{*,@*/*}/package.json', { cwd: unpacked }).map((file) => file.replace(/^node_modules\/|\/package.json$/g, '')))
  for (const name of Object.keys(dependencies ?? {})) assert.ok(packages.has(name), `${name} is missing`)
  for (const name of Object.keys(devDependencies ?? {})) assert.ok(!packages.has(name), `${name} is for development`)
  assert.deepEqual([...packages].filter((name) => name.startsWith('@typescript/') || name.startsWith('@types/')), [])

  // Each comes with the words of its licence, some of them in a readme.
  for (const name of packages) assert.ok(globSync('*', { cwd: join(unpacked, 'node_modules', name) }).some((file) => /^(licen[cs]e|copying|readme)/i.test(file)), `the licence of ${name} is missing`)
  assert.ok(files.includes('node_modules/valibot/LICENSE.md'))

  // By way of two links, one of them relative.
  symlinkSync(`../server/${tarball.replace('.tar.gz', '')}/bin/waystation`, join(links, 'one'))
  symlinkSync(join(links, 'one'), join(links, 'two'))
  const bin = join(unpacked, 'bin/waystation')
  assert.match(await inServer(join(links, 'two'), '--version'), /^\d+\.\d+\.\d+\n$/)
  // Nothing else of the machine is needed.
  const bare = run(t, '/bin/sh', [bin, '--version'], { cwd: server, env: { PATH: '' } })
  assert.equal((await bare.exited).code, 0, bare.stderr())
  const greeting = await inServer(bin, 'start', '--addr', '127.0.0.1:0')
  const [, url, pid] = /^Waystation listens on (\S+)\n[^]*pid (\d+), log/.exec(greeting) ?? []
  t.after(() => {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has been stopped.
    }
  })
  assert.equal((await fetch(`${url}/demo`, { method: 'POST', body: 'hello' })).status, 200)
  assert.match(await inServer(bin, 'attach', '--once'), new RegExp(`on ${url}\npid ${pid} .* database available\n`))
  assert.equal(await inServer(join(links, 'two'), 'stop'), `stopped, pid ${pid}\n`)
})
