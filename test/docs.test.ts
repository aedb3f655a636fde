import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { TABLES, tablesIn, withTables } from '../scripts/tables.ts'
import { ERRORS } from '../src/core/errors.ts'
import { LIMITS } from '../src/core/limits.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const documents = new Map([...globSync('docs/**/*.md', { cwd: root }), ...globSync('*.md', { cwd: root })].map((file) => [file, readFileSync(join(root, file), 'utf8')]))

for (const [file, text] of documents) {
  test(`${file} says what the tables say`, () => {
    assert.equal(text, withTables(text), 'run: npm run docs')
  })
}

test('every table stands in a document', () => {
  const shown = new Set([...documents.values()].flatMap(tablesIn))
  assert.deepEqual([...shown].sort(), Object.keys(TABLES).sort())
})

test('a changed default, a row too few and an unknown table are noticed', () => {
  const text = `<!-- table: limits -->\n${(TABLES['limits'] as () => string)()}\n<!-- end -->`
  assert.equal(withTables(text), text)
  const changed = text.replace(LIMITS.maxPathLength.default.toLocaleString('en'), '257')
  assert.notEqual(withTables(changed), changed)
  const lines = text.split('\n')
  const fewer = lines.toSpliced(4, 1).join('\n')
  assert.notEqual(withTables(fewer), fewer)
  assert.throws(() => withTables('<!-- table: nothing -->\n<!-- end -->'), /no table "nothing"/)
})

test('every error code stands in the source where it is raised', () => {
  const source = globSync('src/**/*.ts', { cwd: root }).map((file) => readFileSync(join(root, file), 'utf8')).join('\n')
  for (const code of Object.keys(ERRORS)) {
    const uses = source.split(`'${code}'`).length - 1
    assert.ok(uses > 0, `nothing raises ${code}`)
  }
})

test('every link between the documents leads somewhere', () => {
  for (const [file, text] of documents) {
    for (const [, target] of text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)) {
      const path = join(root, dirname(file), target as string)
      assert.ok(globSync(path).length > 0, `${file} links to ${target}, which is not there`)
    }
  }
})
