import { readFileSync } from 'node:fs'
import { WaystationError } from '../core/errors.ts'
import type { Dictionary } from '../protocol/lonelyps/zstd.ts'

/** An ID, a level and a file. Levels of zstd; 0 would be a default that the two sides need not share. */
const FORM = /^(\d{1,5}):(-?\d{1,3}):(.+)$/
const [LEAST_LEVEL, MOST_LEVEL] = [1, 22]
const [FIRST, LAST] = [2, 65_535]

interface Stated {
  readonly id: number
  readonly level: number
  readonly file: string
}

/**
 * Dictionaries as the option states them; the files are not read.
 * @throws {Error} when one is not of the form, or a number stands twice
 */
export function readDictionaries(texts: readonly string[]): Stated[] {
  const seen = new Set<number>()
  return texts.map((text) => {
    const [, id, level, file] = FORM.exec(text) ?? []
    const stated = { id: Number(id), level: Number(level), file: file ?? '' }
    if (!(stated.id >= FIRST && stated.id <= LAST)) throw new Error(`must be ID:LEVEL:FILE with a number from ${FIRST} to ${LAST}, not ${JSON.stringify(text)}`)
    if (stated.level < LEAST_LEVEL || stated.level > MOST_LEVEL) throw new Error(`${JSON.stringify(text)}: the level must be from ${LEAST_LEVEL} to ${MOST_LEVEL}`)
    if (seen.has(stated.id)) throw new Error(`states dictionary ${stated.id} twice`)
    seen.add(stated.id)
    return stated
  })
}

/**
 * The same with the bytes.
 * @throws {WaystationError} `config_invalid` when a file cannot be read
 */
export function dictionariesOf(texts: readonly string[]): ReadonlyMap<number, Dictionary> {
  return new Map(readDictionaries(texts).map(({ id, level, file }) => {
    try {
      return [id, { bytes: readFileSync(file), level }]
    } catch (error) {
      throw new WaystationError('config_invalid', `dictionary ${id}: ${(error as Error).message}`, error)
    }
  }))
}
