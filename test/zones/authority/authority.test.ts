import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { linkSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openAuthority } from '../../../src/zones/authority/authority.ts'
import { AuthorityError } from '../../../src/zones/authority/error.ts'
import { LEAF_DAYS } from '../../../src/zones/authority/wish.ts'
import { openCredentials } from '../../../src/zones/credentials.ts'
import { sourceFiles } from '../../support/architecture.ts'
import { temporaryFolder } from '../../support/certificates.ts'

const wish = (name: string) => ({ kind: 'client' as const, name, ips: [], dns: [], days: LEAF_DAYS })

test('many at once lose nothing: each certificate is in the index, each revocation on the list', async (t) => {
  const folder = temporaryFolder(t)
  const both = [openAuthority(folder, Date.now), openAuthority(folder, Date.now)] as const
  const names = Array.from({ length: 8 }, (_, i) => `edge${i}`)
  await Promise.all(names.map((name, i) => (both[(i % 2) as 0 | 1]).issue(wish(name), 'kept')))
  await Promise.all(names.slice(1).map((name, i) => (both[(i % 2) as 0 | 1]).revoke({ name })))
  const all = await both[0].all()
  assert.deepEqual(all.map(({ name }) => name).toSorted(), ['ca', ...names])
  assert.deepEqual(all.filter(({ revokedAt }) => revokedAt === undefined).map(({ name }) => name).toSorted(), ['ca', 'edge0'])
  const credentials = await openCredentials({ cacertfile: join(folder, 'ca.pem'), certfile: join(folder, 'edge0.pem'), keyfile: join(folder, 'edge0.key'), crlfile: join(folder, 'crl.pem') }, { side: 'client', reloaded: () => {}, alarm: assert.fail })
  t.after(() => credentials.stop())
  const isRevoked = (name: string): boolean => credentials.isRevoked(new X509Certificate(readFileSync(join(folder, `${name}.pem`))))
  assert.deepEqual(names.map(isRevoked), names.map((name) => name !== 'edge0'))
  assert.deepEqual(readdirSync(folder).filter((name) => name.startsWith('.')), [], 'neither lock nor half file is left')
})

test('a lock that a process has left behind which is gone is taken away; one that is held is waited for', async (t) => {
  const folder = temporaryFolder(t)
  const authority = openAuthority(folder, Date.now)
  const { pid } = spawnSync(process.execPath, ['--version'])
  writeFileSync(join(folder, '.lock'), `${pid} ${hostname()} 1\n`)
  await authority.issue(wish('edge'), 'kept')
  writeFileSync(join(folder, 'held'), `${process.pid} ${hostname()} 1\n`)
  linkSync(join(folder, 'held'), join(folder, '.lock'))
  let isDone = false
  const issued = authority.issue(wish('other'), 'kept').then(() => (isDone = true))
  for (let i = 0; i < 3; i++) await authority.all()
  assert.equal(isDone, false)
  rmSync(join(folder, '.lock'))
  await issued
  assert.equal((await authority.all()).length, 3)
})

test('lists follow one another, whatever the clock does: a hub takes none that is older than the one it has', async (t) => {
  const folder = temporaryFolder(t)
  let now = Date.now()
  const authority = openAuthority(folder, () => now)
  for (const name of ['one', 'two', 'edge']) await authority.issue(wish(name), 'kept')
  await authority.revoke({ name: 'one' })
  const told: string[] = []
  t.mock.timers.enable({ apis: ['setInterval'] })
  const credentials = await openCredentials({ cacertfile: join(folder, 'ca.pem'), certfile: join(folder, 'edge.pem'), keyfile: join(folder, 'edge.key'), crlfile: join(folder, 'crl.pem') }, { reloaded: () => told.push('reloaded'), alarm: ({ message }) => told.push(message) })
  t.after(() => credentials.stop())
  now -= 3_600_000
  await authority.revoke({ name: 'two' })
  await credentials.reload()
  assert.deepEqual(told, ['reloaded'])
})

test('a CA that has expired issues nothing, and a CA without its key says so', async (t) => {
  const folder = temporaryFolder(t)
  let now = Date.now()
  const authority = openAuthority(folder, () => now)
  await authority.init({ name: 'short', days: 1 }, 'kept')
  now += 2 * 86_400_000
  await assert.rejects(authority.issue(wish('edge'), 'kept'), (error) => error instanceof AuthorityError && /has expired on/.test(error.message))
  now -= 2 * 86_400_000
  const other = openAuthority(join(folder, 'other'), Date.now)
  await other.init({ name: 'short', days: 1 }, 'kept')
  writeFileSync(join(folder, 'ca.key'), readFileSync(join(folder, 'other', 'ca.key')))
  await assert.rejects(authority.issue(wish('edge'), 'kept'), /ca\.key is not the key of ca\.pem/)
  rmSync(join(folder, 'ca.key'))
  await assert.rejects(authority.issue(wish('edge'), 'kept'), /ca\.key is not there/)
  assert.deepEqual(readdirSync(folder).toSorted(), ['ca.pem', 'crl.pem', 'index.json', 'other'])
})

test('a hub that starts loads nothing of what makes certificates and reads lists', () => {
  const files = sourceFiles(new URL('../../..', import.meta.url).pathname)
  const reached = new Set<string>()
  const packages = new Set<string>()
  const visit = (path: string): void => {
    if (reached.has(path)) return
    reached.add(path)
    for (const [line, from] of (files.get(path) ?? assert.fail(path)).matchAll(/^(?:import|export)\b[^'"]*?from\s+['"]([^'"]+)['"]|^import\s+['"]([^'"]+)['"]/gm)) {
      if (/^(import|export) type /.test(line)) continue
      const target = from ?? (/['"]([^'"]+)['"]/.exec(line) as unknown as string[])[1] as string
      if (target.startsWith('.')) visit(new URL(target, `file:///${path}`).pathname.slice(1))
      else packages.add(target)
    }
  }
  for (const entry of ['src/cli/main.ts', 'src/index.ts', 'src/zones/credentials.ts']) visit(entry)
  assert.deepEqual([packages.has('pino'), reached.has('src/zones/revocation.ts')], [true, true])
  assert.deepEqual([...packages].filter((name) => name.startsWith('@peculiar') || name === 'reflect-metadata'), [])
})
