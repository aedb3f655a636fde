import { after } from 'node:test'
import { createPostgresRegistry } from '../../src/registry/postgres/registry.ts'
import { registryContract } from '../../src/testing/index.ts'
import { startPostgres } from '../support/postgres.ts'

const server = await startPostgres(after)
/** Of tests that are over: to make a database takes longer than to empty one. */
const spare: string[] = []

registryContract('postgres', async ({ clock }, t) => {
  const used = spare.pop()
  const url = used ?? (await server.createDatabase())
  if (used !== undefined) await server.empty(used)
  t.after(() => spare.push(url))
  const another = () => createPostgresRegistry({ url, clock })
  return { registry: another(), another }
})
