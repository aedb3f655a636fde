import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createChance } from '../../simulation/chance.ts'
import { judgeAll, type Tally } from './fuzz.ts'
import { mutate, seeds } from './mutate.ts'

const INPUTS = 20_000
const SEED = 6

test('twenty thousand broken terms are refused or read, and nothing else happens', () => {
  const chance = createChance(SEED, 'mutations')
  const corpus = seeds(chance)
  const tally: Tally = { taken: 0, refused: 0, heavy: 0 }
  judgeAll(corpus, tally, `a seed of ${SEED}`)
  for (let input = 0; input < INPUTS; input++) judgeAll([mutate(chance, corpus)], tally, `input ${input} of seed ${SEED}`)
  // Were all refused at their first byte, nothing would have been tried.
  assert.ok(tally.taken > INPUTS / 10, `only ${tally.taken} were terms`)
  assert.ok(tally.refused > INPUTS / 10, `only ${tally.refused} were none`)
})
