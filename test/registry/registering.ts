/*
 * A process of its own that registers one topic after the other, eight at a time, and says of each that it was answered:
 *   node registering.ts <file> <how many> <what to do then: close | leave | fill>
 * `fill` asks for more than fits under the limit that it was started with, and says what became of it.
 */
import { createSqliteRegistry } from '../../src/registry/sqlite/registry.ts'
import { realClock } from '../../src/server/real-world.ts'
import { topicFromText } from '../../src/core/topic.ts'

const [file, count, then] = process.argv.slice(2) as [string, string, string]
const registry = createSqliteRegistry({ file, clock: realClock })
let next = 0
await registry.start(() => {})

async function register(): Promise<void> {
  while (next < Number(count)) {
    const target = topicFromText(`topic/${next++}`)
    await registry.add('http://one.example/', { kind: 'exact', target, recovery: undefined })
    process.stdout.write(`answered ${target}\n`)
  }
}

await Promise.all(Array.from({ length: 8 }, register))
if (then === 'fill') {
  const wanted = Array.from({ length: 20_000 }, (_, i) => ({ kind: 'glob', target: topicFromText(`too/much/${i}/*`), recovery: undefined }) as const)
  const refused = await registry.set('http://too.much/', wanted).then(() => 'nothing', (error: { code: string; message: string }) => `${error.code}: ${error.message}`)
  const left = (await registry.list('http://too.much/')).length
  const after = await registry.add('http://one.example/', { kind: 'exact', target: topicFromText('after'), recovery: undefined })
  process.stdout.write(`${JSON.stringify({ refused, left, after })}\n`)
}
if (then !== 'leave') await registry.close()
process.stdout.write('done\n')
