import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cluster } from '../../src/registry/rqlite/cluster.ts'
import { follow, type Follower } from '../../src/registry/rqlite/follow.ts'
import type { Row } from '../../src/registry/rqlite/statements.ts'

/** A follower of a table whose newest change is `latest`, and what it has told. */
async function following(): Promise<{ follower: Follower; told: string[]; reach(latest: number): void }> {
  const told: string[] = []
  let latest = 0
  const ask = async (): ReturnType<Cluster['ask']> => [{ affected: 0, rows: [[latest, 1]] }, { affected: 0, rows: [[`all up to ${latest}`]] }]
  const cluster: Cluster = { patience: 1, available: true, ask, probe: ask, close: async () => {} }
  const follower = follow(cluster, {
    table: 'changes',
    touched: (after, to) => ['SELECT', after, to],
    tell: (rows) => void told.push(...rows.map(([text]) => String(text))),
    readAll: async () => void told.push('everything'),
  }, async () => {})
  await follower.start()
  told.length = 0
  return { follower, told, reach: (to) => void (latest = to) }
}

/** What a node answers whose newest change is `latest`. */
function answer(latest: number, text: string): readonly (readonly Row[])[] {
  return [[[latest, 1]], [[text]]]
}

test('of two looks that come in the wrong order, the older is not told', async () => {
  const { follower, told } = await following()
  const [older, newer] = [follower.look(), follower.look()]
  await newer.take('agreed', answer(2, 'new'))
  await older.take('agreed', answer(1, 'old'))
  assert.deepEqual(told, ['new'])
})

test('a look at a node that is behind tells nothing; where the database itself has gone back, everything is read', async () => {
  const { follower, told, reach } = await following()
  await follower.look().take('agreed', answer(5, 'five'))
  await follower.look().take('near', answer(3, 'behind'))
  assert.deepEqual(told, ['five'])
  reach(3)
  await follower.look().take('agreed', answer(3, 'another database'))
  assert.deepEqual(told, ['five', 'everything'])
  await follower.look().take('agreed', answer(4, 'four'))
  assert.equal(told.at(-1), 'four')
})

test('a database that has gone back is noticed though nobody asks for what is agreed; a node that was behind has caught up by then', async () => {
  const { follower, told, reach } = await following()
  const near = (latest: number): Promise<void> => follower.look().take('near', answer(latest, `near ${latest}`))
  await follower.look().take('agreed', answer(5, 'five'))
  for (const latest of [3, 4]) await near(latest)
  await near(6)
  for (const latest of [4, 4]) await near(latest)
  await follower.look().take('agreed', answer(7, 'seven'))
  for (const latest of [4, 5]) await near(latest)
  assert.deepEqual(told, ['five', 'near 6', 'seven'])
  reach(6)
  await near(6)
  assert.equal(told.at(-1), 'everything')
  assert.equal(follower.told, 6)
})

test('a look from before everything was read is no reason to read it again, or to leave out what came since', async () => {
  const told: string[] = []
  const ask = async (): ReturnType<Cluster['ask']> => [{ affected: 0, rows: [[7, 1]] }, { affected: 0, rows: [['up to seven']] }]
  const follower = follow({ patience: 1, available: true, ask, probe: ask, close: async () => {} }, {
    table: 'changes',
    touched: (after, to) => ['SELECT', after, to],
    tell: (rows) => void told.push(...rows.map(([text]) => String(text))),
    readAll: async () => void told.push('everything'),
  }, async () => {})
  const starting = follower.start()
  const look = follower.look()
  assert.equal(look.statements.length, 1)
  await starting
  await look.take('agreed', [[[6, 1]]])
  assert.deepEqual(told, ['everything'])
  assert.equal(follower.told, 7)
})
