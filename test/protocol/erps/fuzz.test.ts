import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createChance } from '../../simulation/chance.ts'
import { createCorpus, drawStream, judgeStream, type Tally } from './fuzz.ts'

const STREAMS = 10_000
const SEED = 7

test('ten thousand broken streams are the same packets however they are cut, and throw nothing unforeseen', () => {
  const chance = createChance(SEED, 'streams')
  const corpus = createCorpus(chance)
  const tally: Tally = { packets: 0, terms: 0, pairs: 0, extensions: 0, broken: 0 }
  const began = process.cpuUsage()
  for (let index = 0; index < STREAMS; index++) {
    const stream = drawStream(chance, corpus)
    try {
      judgeStream(stream, chance, tally)
    } catch (error) {
      throw new Error(`stream ${index} of seed ${SEED}: ${stream.toString('hex')}`, { cause: error })
    }
  }
  const { user, system } = process.cpuUsage(began)
  // Were all refused at their first byte, nothing would have been tried.
  for (const [name, count] of Object.entries(tally)) assert.ok(count > STREAMS / 20, `${count} ${name}`)
  assert.ok(user + system < 20_000_000, `${(user + system) / 1_000} ms`)
})
