/* Writes the tables of the documents anew; with --check, only says which are not as the tables are. */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { withTables } from './tables.ts'

const check = process.argv.includes('--check')
let stale = 0
for (const file of [...globSync('docs/**/*.md'), ...globSync('*.md')]) {
  const before = readFileSync(file, 'utf8')
  const after = withTables(before)
  if (before === after) continue
  stale++
  if (check) console.error(`${file} is not as the tables are; run: npm run docs`)
  else writeFileSync(file, after)
}
process.exitCode = check && stale > 0 ? 1 : 0
