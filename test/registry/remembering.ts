/*
 * A process of its own that remembers one signature after the other, and says of each that it was answered:
 *   node remembering.ts <file>
 * Every third is dated a minute ahead. It goes on until it is killed.
 */
import { createSqliteRegistry } from '../../src/registry/sqlite/registry.ts'
import { realClock } from '../../src/server/real-world.ts'

const registry = createSqliteRegistry({ file: process.argv[2] as string, clock: realClock })
for (let i = 0; ; i++) {
  const signedAt = realClock.now() + (i % 3 === 0 ? 60_000 : 0)
  if (await registry.remember(Buffer.from(`signature ${i}`), signedAt + 240_000, signedAt)) process.stdout.write(`${i} ${signedAt}\n`)
}
