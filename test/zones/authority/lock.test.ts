import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { openAuthority } from '../../../src/zones/authority/authority.ts'
import { locked } from '../../../src/zones/authority/lock.ts'
import { temporaryFolder } from '../../support/certificates.ts'

test('what stands in the place of a lock and is none is given up on, and not waited for in vain', async (t) => {
  const folder = temporaryFolder(t)
  const [away, pipe, inside] = ['away', 'pipe', 'inside'].map((name) => join(folder, name)) as [string, string, string]
  await symlink(join(folder, 'missing'), away)
  execFileSync('mkfifo', [pipe])
  await mkdir(inside)
  for (const file of [away, pipe, inside]) {
    await assert.rejects(locked(file, async () => assert.fail('it ran'), 100), { name: 'AuthorityError', message: `${file} is no lock of this program, and stands in its place; remove it` })
  }
})

test('a name that an index was given by somebody else leads to no file outside of its folder', async (t) => {
  const folder = join(temporaryFolder(t), 'certs')
  const authority = openAuthority(folder, Date.now)
  await authority.init({ name: 'CA', days: 1 }, 'kept')
  const index = join(folder, 'index.json')
  const entry = { serial: 'aa', name: '../escaped', kind: 'client', ips: [], dns: [], from: 0, until: 9e12, fingerprint: '' }
  await writeFile(index, JSON.stringify({ certificates: [entry] }))
  await assert.rejects(authority.renew('../escaped', 1), { name: 'AuthorityError', message: /"\.\.\/escaped" must not hold a slash/ })
  await assert.rejects(readFile(join(folder, '..', 'escaped.key')), { code: 'ENOENT' })
})
