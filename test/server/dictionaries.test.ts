import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { effective, fromEnvironment, fromFlags, fromProgram, type Source } from '../../src/server/config.ts'
import { dictionariesOf, readDictionaries } from '../../src/server/dictionaries.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { rawContent, trained } from '../support/zstd-vectors.ts'

function fileOf(t: TestContext, bytes: Buffer): string {
  const file = join(temporaryFolder(t), 'a:dict')
  writeFileSync(file, bytes)
  return file
}

function problemOf(source: Source): string {
  try {
    effective([source])
    return 'none'
  } catch (error) {
    assert.ok(error instanceof WaystationError && error.code === 'config_invalid')
    return error.detail.trim()
  }
}

test('a trained dictionary and raw content are taken as they are', (t) => {
  const [a, b] = [fileOf(t, trained), fileOf(t, rawContent)]
  assert.deepEqual([...dictionariesOf([`2:1:${a}`, `65535:22:${b}`])], [[2, { bytes: trained, level: 1 }], [65_535, { bytes: rawContent, level: 22 }]])
})

const wrong: readonly [stated: string, says: RegExp][] = [
  ['', /must be ID:LEVEL:FILE, and in "" the number is missing/],
  ['2', /in "2" the level is missing: it must be from 1 to 22/],
  ['2:3', /in "2:3" the file is missing/],
  ['2:3:', /in "2:3:" the file is missing/],
  ['2::x', /the level is missing/],
  ['a:3:x', /in "a:3:x" the number is "a": it must be from 2 to 65535/],
  ['1:3:x', /the number is "1"/],
  ['65536:3:x', /the number is "65536"/],
  ['2:0:x', /the level is "0": it must be from 1 to 22/],
  ['2:23:x', /the level is "23"/],
  ['2:-3:x', /the level is "-3"/],
  ['orders.dict', /the number is "orders.dict"/],
]
for (const [stated, says] of wrong) {
  test(`${JSON.stringify(stated)} is refused with what is wrong with it`, () => {
    assert.throws(() => readDictionaries([stated]), says)
  })
}

test('a number that stands twice is refused', () => {
  assert.throws(() => readDictionaries(['2:3:x', '2:4:y']), /states dictionary 2 twice/)
})

test('a file that is not there, empty, too long or damaged is refused before the hub starts, by the option and where it was stated', (t) => {
  const folder = temporaryFolder(t)
  mkdirSync(join(folder, 'folder'))
  const files: readonly [name: string, bytes: Buffer | undefined, says: string][] = [
    ['none', undefined, 'ENOENT'],
    ['folder', undefined, 'EISDIR'],
    ['empty', Buffer.alloc(0), 'it is empty'],
    ['long', Buffer.alloc(1_048_577, 'x'), 'it has 1048577 bytes; 1048576 at most'],
    ['damaged', Buffer.concat([trained.subarray(0, 8), Buffer.alloc(100, 0xff)]), 'it is damaged'],
    ['cut', trained.subarray(0, 12), 'it is damaged'],
  ]
  for (const [name, bytes, says] of files) {
    const file = join(folder, name)
    if (bytes !== undefined) writeFileSync(file, bytes)
    const stated = `2:3:${file}`
    for (const [source, where] of [
      [fromFlags({ compressionDictionaries: [stated] }), 'command line: --compression-dictionaries'],
      [fromEnvironment({ WAYSTATION_COMPRESSION_DICTIONARIES: stated }), 'environment: WAYSTATION_COMPRESSION_DICTIONARIES'],
      [fromProgram({ compressionDictionaries: [stated] }), 'options: compressionDictionaries'],
    ] as const) {
      const problem = problemOf(source)
      assert.ok(problem.startsWith(`${where} cannot be used: dictionary 2, ${file}: ${says}`), problem)
    }
    assert.equal(problemOf(fromProgram({ lonelyps: false, compressionDictionaries: [stated] })), 'none')
  }
})
