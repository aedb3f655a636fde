import { after } from 'node:test'
import { createRqliteRegistry } from '../../src/registry/rqlite/registry.ts'
import { registryContract } from '../../src/testing/index.ts'
import { startRqlite } from '../support/rqlite.ts'

/** One cluster for all: each test has tables of its own. */
const cluster = await startRqlite({ after })
let n = 0

registryContract('rqlite', ({ clock }) => {
  const prefix = `t${++n}_`
  let opened = 0
  const another = () => {
    // Each asks another node first.
    const nodes = cluster.nodes.map((_, i) => cluster.nodes[(i + opened) % cluster.nodes.length] as string)
    opened++
    return createRqliteRegistry({ nodes, clock, pollInterval: 100, prefix })
  }
  return { registry: another(), another }
})
