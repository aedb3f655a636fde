/*
 * Broken streams by the hundred thousand: node test/protocol/erps/fuzz.soak.ts [--inputs 100000] [--seed 1]
 */
import { parseArgs } from 'node:util'
import { createChance } from '../../simulation/chance.ts'
import { createCorpus, drawStream, judgeStream, type Tally } from './fuzz.ts'

const { values } = parseArgs({ options: { inputs: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' } } })
const [inputs, seed] = [Number(values.inputs), Number(values.seed)]
// Nobody reads where each refusal came from, and it takes time.
Error.stackTraceLimit = 0
const chance = createChance(seed, 'soak')
const corpus = createCorpus(chance)
const tally: Tally = { packets: 0, terms: 0, pairs: 0, extensions: 0, broken: 0 }
const begun = performance.now()

for (let index = 0; index < inputs; index++) {
  const stream = drawStream(chance, corpus)
  try {
    judgeStream(stream, chance, tally)
  } catch (error) {
    throw new Error(`stream ${index} of seed ${seed}: ${stream.toString('hex')}`, { cause: error })
  }
}
console.log(`${inputs} streams of seed ${seed} in ${Math.round(performance.now() - begun)} ms: ${JSON.stringify(tally)}`)
