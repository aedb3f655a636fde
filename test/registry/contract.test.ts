import { join } from 'node:path'
import { createSqliteRegistry } from '../../src/registry/sqlite/registry.ts'
import { registryContract } from '../../src/testing/index.ts'
import { temporaryFolder } from '../support/certificates.ts'

registryContract('sqlite', ({ clock }, t) => {
  const another = () => createSqliteRegistry({ file, clock, pollInterval: 50 })
  const file = join(temporaryFolder(t), 'registry.db')
  return { registry: another(), another }
})
