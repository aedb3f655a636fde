/*
 * Links in made-up worlds: see world.ts. Each failure prints the seed that repeats it.
 *   node test/links/worlds.ts --seeds 10000              so many worlds, from seed 1
 *   node test/links/worlds.ts --seeds 1 --from 42        one of them
 */
import { parseArgs } from 'node:util'
import { playWorld } from './world.ts'

const { values } = parseArgs({ options: { seeds: { type: 'string', default: '1000' }, from: { type: 'string', default: '1' } } })
const first = Number(values.from)
let failed = 0
for (let seed = first; seed < first + Number(values.seeds); seed++) {
  const { breach, ...rest } = await playWorld(seed)
  if (breach === undefined) continue
  failed++
  console.log(`seed ${seed}: ${breach}`, rest)
}
console.log(`${values.seeds} worlds, ${failed} of them broke a promise`)
process.exitCode = failed > 0 ? 1 : 0
