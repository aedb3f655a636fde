/*
 * Broken terms by the million: node test/protocol/etf/fuzz.soak.ts [--inputs 10000000] [--seed 1]
 * What is refused teaches nothing; what is taken joins the corpus now and then.
 */
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createChance } from '../../simulation/chance.ts'
import { scan } from '../../../src/protocol/etf/scan.ts'
import { enlarge, judge, judgeAll, weigh, type Tally } from './fuzz.ts'
import { mutate, seeds } from './mutate.ts'
import { outcome } from './vectors.ts'

const { values } = parseArgs({ options: { inputs: { type: 'string', default: '10000000' }, seed: { type: 'string', default: '1' } } })
const [inputs, seed] = [Number(values.inputs), Number(values.seed)]
setFlagsFromString('--expose-gc')
// Nobody reads where each refusal came from, and it is a fifth of the time.
Error.stackTraceLimit = 0
const gc = runInNewContext('gc') as () => void

const BATCH = 10_000
const LARGEST_CORPUS = 20_000
const LARGE = 262_144
const LONGEST = 1_024
const tally: Tally = { taken: 0, refused: 0, heavy: 0 }
const chance = createChance(seed, 'soak')
const corpus = seeds(chance)
const begun = performance.now()
let steepest = 0
let largestHeap = 0

for (let done = 0; done < inputs; done += BATCH) {
  const batch = Array.from({ length: Math.min(BATCH, inputs - done) }, () => mutate(chance, corpus))
  judgeAll(batch, tally, `inputs from ${done} of seed ${seed}`)
  const terms = batch.filter((bytes) => outcome(() => scan(bytes, { opaque: 'kept' })) === 'ok' && scan(bytes, { opaque: 'kept' }) === bytes.length && bytes[1] !== 80)
  // Inputs are put together out of these: without a bound each generation would be larger than the one before.
  for (const term of terms.filter(({ length }) => length <= LONGEST).slice(0, 20)) {
    if (corpus.length < LARGEST_CORPUS) corpus.push(term)
    else corpus[chance.int(0, LARGEST_CORPUS - 1)] = term
  }
  const parts = terms.slice(0, chance.int(1, 4))
  if (parts.length > 0) {
    const large = enlarge(parts, LARGE)
    steepest = Math.max(steepest, weigh(large, gc).real / large.length)
    judge(large, tally)
  }
  largestHeap = Math.max(largestHeap, process.memoryUsage().heapUsed)
  if ((done / BATCH) % 50 === 49) console.log(`${done + BATCH} inputs, ${Math.round((done + BATCH) / ((performance.now() - begun) / 1_000))} a second`)
}
console.log(`${inputs} inputs of seed ${seed}: ${tally.taken} taken, ${tally.refused} refused, ${tally.heavy} of those taken past four times the input in memory; most heap for an input byte ${steepest.toFixed(1)} without a bound; heap ${Math.round(largestHeap / 1_048_576)} MiB at most`)
