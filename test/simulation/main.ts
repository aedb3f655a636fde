/*
 * Whole hubs in made-up worlds: a clock, a network and clients that come out the same again from the same seed.
 *   npm run simulate -- --seeds 10000              so many worlds, from seed 1
 *   npm run simulate -- --seeds 10000 --from 5000  from another seed
 *   npm run simulate -- --seed 42                  one world, with everything that happens in it
 *   npm run simulate -- --fault 'NAME'             with a planted fault, until it is caught; a wrong name gives the list
 */
import { parseArgs } from 'node:util'
import { FAULTS, isFault } from './faults.ts'
import * as sound from './parts.ts'
import { partsWith } from './planting.ts'
import { report, simulate } from './simulate.ts'
import type { Parts } from './world.ts'

/** Failures that are printed in full; of the others the seed. */
const PRINTED = 3

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { seeds: { type: 'string' }, from: { type: 'string' }, seed: { type: 'string' }, fault: { type: 'string' } },
  })
  const parts = await partsFor(values.fault)
  const options = values.fault === undefined ? '' : ` --fault '${values.fault}'`
  if (values.seed !== undefined) return one(whole('seed', values.seed), parts, options)
  const first = whole('from', values.from ?? '1')
  return many(first, first + whole('seeds', values.seeds ?? '1000'), parts, options)
}

async function partsFor(name: string | undefined): Promise<Parts> {
  if (name === undefined) return sound
  if (isFault(name)) return partsWith(name, FAULTS[name])
  throw new Error(`there is no fault "${name}". The faults are:\n${Object.keys(FAULTS).map((fault) => `  ${fault}`).join('\n')}`)
}

async function one(seed: number, parts: Parts, options: string): Promise<number> {
  const outcome = await simulate(seed, parts)
  for (const line of outcome.trace) console.log(line)
  console.log(`${report(outcome, options)}\ntrace ${outcome.hash}`)
  return outcome.breach === undefined ? 0 : 1
}

async function many(first: number, end: number, parts: Parts, options: string): Promise<number> {
  const start = performance.now()
  const failed: number[] = []
  let published = 0
  let heard = 0
  let seed = first
  for (; seed < end && !(failed.length > 0 && parts !== sound); seed++) {
    const outcome = await simulate(seed, parts)
    published += outcome.published
    heard += outcome.heard
    if (outcome.breach !== undefined && failed.push(seed) <= PRINTED) console.log(report(outcome, options))
  }
  const seconds = ((performance.now() - start) / 1_000).toFixed(1)
  console.log(`${seed - first} worlds from seed ${first} in ${seconds} s: ${published} published, ${heard} heard, ${failed.length} failed`)
  if (failed.length > PRINTED) console.log(`seeds that failed: ${failed.slice(0, 100).join(' ')}${failed.length > 100 ? ' …' : ''}`)
  return failed.length === 0 ? 0 : 1
}

function whole(option: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--${option} takes a whole number, not "${text}"`)
  return Number(text)
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
