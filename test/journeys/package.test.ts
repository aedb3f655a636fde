import assert from 'node:assert/strict'
import { cpSync, globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test, type TestContext } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { run, type TestProcess } from '../support/process.ts'
import { connect } from '../support/websocket.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const modules = join(root, 'node_modules')

/** The package as it would be published, built beside the clone and not in it. */
async function pack(t: TestContext, folder: string): Promise<string> {
  const project = join(folder, 'project')
  mkdirSync(project)
  for (const name of ['src', 'docs', 'README.md', 'LICENSE', 'package.json', 'tsconfig.json', 'tsconfig.build.json']) {
    cpSync(join(root, name), join(project, name), { recursive: true })
  }
  symlinkSync(modules, join(project, 'node_modules'))
  await succeeds(run(t, 'npm', ['pack', '--pack-destination', folder], { cwd: project }))
  const [tarball] = globSync('*.tgz', { cwd: folder })
  return join(folder, tarball as string)
}

async function succeeds(child: TestProcess): Promise<string> {
  const { code } = await child.exited
  assert.equal(code, 0, child.stdout() + child.stderr())
  return child.stdout()
}

/** Installs the tarball in an empty project, or gives the reason why that cannot be tried here. */
async function install(t: TestContext, tarball: string, consumer: string): Promise<{ skip: string } | undefined> {
  mkdirSync(consumer)
  writeFileSync(join(consumer, 'package.json'), '{ "private": true, "type": "module" }')
  const npm = run(t, 'npm', ['install', tarball, '--prefer-offline', '--fetch-retries=0', '--no-audit', '--no-fund'], { cwd: consumer })
  const { code } = await npm.exited
  if (code === 0) return undefined
  const unreachable = /^npm error code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)$/m.exec(npm.stderr())
  assert.ok(unreachable !== null, npm.stderr())
  return { skip: `the npm registry is not reachable (${unreachable[1]})` }
}

/** Right and wrong uses of the package's types: the wrong one shows that they are there. */
const TYPED = `
import { createServer, defineConfig, type PublicHub } from 'waystation'
import { connectLink, serveLinks, type Link, type LinkOptions, type LinkServer, type LinkState } from 'waystation/link'
import { createTestHub } from 'waystation/testing'
const hub: PublicHub = createServer(defineConfig({ addr: '127.0.0.1:0' })).hub
const { offset } = await hub.publish('a', 'b')
export const right: number = offset
// @ts-expect-error an offset is a number
export const wrong: string = offset
const tls = { cacertfile: 'ca.pem', certfile: 'edge.pem', keyfile: 'edge.key' }
export const link: Link = await connectLink({ hub, server: '10.0.0.5', port: 5555, topics: ['prices'], tls, prefix: 'inside/' })
export const state: LinkState['state'] = link.state.state
export const gives: LinkServer = await serveLinks({ hub, port: 5555, tls, grants: [{ certificate: 'edge*', topics: ['news/*'] }] })
export const options: LinkOptions = { server: '10.0.0.5', port: 5555, topics: ['prices'], tls }
defineConfig({ linkServer: { port: 5555, tls }, links: [options] })
// @ts-expect-error a key that is mistyped
defineConfig({ linkServer: { prot: 5555 } })
// @ts-expect-error a file that is mistyped
defineConfig({ linkServer: { port: 5555, tls: { ...tls, cacertFile: 'ca.pem' } } })
// @ts-expect-error a key of a link that is mistyped
defineConfig({ links: [{ ...options, topic: 'prices' }] })
// @ts-expect-error an option that is mistyped
defineConfig({ linkserver: { port: 5555 } })
export { createTestHub }
`

test('what would be published can be packed', async (t) => {
  const folder = temporaryFolder(t)
  const tarball = await pack(t, folder)
  await t.test('it holds what its exports name, no sources or tests, and runs nothing when it is installed', (t) => looksRight(t, folder, tarball))
  await t.test('installed, it runs the example, the command, a hub that gives links with the certificates that it makes, and the types, and none of what comes with it runs a script', (t) => works(t, folder, tarball))
})

async function looksRight(t: TestContext, folder: string, tarball: string): Promise<void> {
  const files = (await succeeds(run(t, 'tar', ['tzf', tarball]))).trim().split('\n')
  const strays = files.filter((file) => !/^package\/(dist|docs)\/|^package\/(package\.json|README\.md|LICENSE)$/.test(file))
  assert.deepEqual(strays, [])
  await succeeds(run(t, 'tar', ['xzf', tarball, '-C', folder]))
  const unpacked = join(folder, 'package')
  assert.match(await succeeds(run(t, process.execPath, [join(modules, 'publint/src/cli.js'), unpacked, '--strict', '--pack', 'false'])), /All good!/)
  const manifest = JSON.parse(readFileSync(join(unpacked, 'package.json'), 'utf8')) as { bin: { waystation: string }; scripts: Record<string, string> }
  assert.deepEqual(Object.keys(manifest.scripts).filter((name) => /install|^prepare$/.test(name)), [])
  assert.match(readFileSync(join(unpacked, manifest.bin.waystation), 'utf8'), /^#!\/usr\/bin\/env node\n/)
}

async function works(t: TestContext, folder: string, tarball: string): Promise<void> {
  const consumer = join(folder, 'consumer')
  const reason = await install(t, tarball, consumer)
  if (reason !== undefined) return t.skip(reason.skip)
  const { packages } = JSON.parse(readFileSync(join(consumer, 'node_modules/.package-lock.json'), 'utf8')) as { packages: Record<string, { hasInstallScript?: boolean }> }
  assert.ok('node_modules/waystation' in packages)
  assert.deepEqual(Object.keys(packages).filter((name) => packages[name]?.hasInstallScript === true), [])

  const bin = join(consumer, 'node_modules/.bin/waystation')
  assert.match(await succeeds(run(t, process.execPath, [bin, '--version'])), /^\d+\.\d+\.\d+\n$/)
  await runsAsService(t, consumer, bin)

  mkdirSync(join(consumer, 'node_modules/@types'))
  symlinkSync(join(modules, '@types/node'), join(consumer, 'node_modules/@types/node'))
  writeFileSync(join(consumer, 'typed.ts'), TYPED)
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024', '--lib', 'es2024,esnext.disposable,esnext.iterator', '--types', 'node']
  await succeeds(run(t, process.execPath, [join(modules, 'typescript/bin/tsc'), ...options, 'typed.ts'], { cwd: consumer }))

  cpSync(join(root, 'examples/embedding-node/main.ts'), join(consumer, 'main.ts'))
  const example = run(t, process.execPath, ['main.ts'], { cwd: consumer, env: { PORT: '0' } })
  await example.says(/listening on http:\S+\n/)
  const url = /listening on (\S+)/.exec(example.stdout())?.[1] as string
  const socket = await connect(t, `${url.replace('http', 'ws')}/hub/orders`)
  assert.equal((await fetch(`${url}/orders`, { method: 'POST', body: 'two coffees' })).status, 201)
  assert.equal(await socket.next(), 'two coffees')
  example.child.kill('SIGTERM')
  assert.deepEqual(await example.exited, { code: 0, signal: null }, example.stderr())
}

async function runsAsService(t: TestContext, consumer: string, bin: string): Promise<void> {
  const command = (...args: string[]) => succeeds(run(t, process.execPath, [bin, ...args], { cwd: consumer }))
  await command('certs', 'server', '--dir', 'certs', '--name', 'hub', '--ip', '127.0.0.1')
  const links = ['--link-port', '0', '--link-cacertfile', 'certs/ca.pem', '--link-certfile', 'certs/hub.pem', '--link-keyfile', 'certs/hub.key', '--link-crlfile', 'certs/crl.pem']
  const started = await command('start', '--addr', '127.0.0.1:0', ...links)
  const [, pid] = /in the background: pid (\d+), log /.exec(started) ?? []
  t.after(() => {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has been stopped.
    }
  })
  assert.match(started, /^ {2}links: +takers connect to port \d+ \(mutual TLS\)$/m)
  assert.match(await command('status'), new RegExp(`^running, pid ${pid}, `))
  assert.equal(await command('stop'), `stopped, pid ${pid}\n`)
}
