import { readFileSync, statSync } from 'node:fs'
import { WaystationError } from '../core/errors.ts'
import { compress, decompress, type Dictionary } from '../protocol/lonelyps/zstd.ts'

const FORM = 'ID:LEVEL:FILE'
const [FIRST, LAST] = [2, 65_535]
/** Levels of zstd; 0 would be a default that the two sides need not share, and what is below it node:zlib does not know. */
const [LEAST_LEVEL, MOST_LEVEL] = [1, 22]
/** Of a file. All of it stands in memory, and in the way of each message that is compressed with it. */
const MOST_BYTES = 1_048_576
/** Long enough that its tables are used. */
const TRIAL = Buffer.from('what is compressed is to come out again as it was; '.repeat(4))

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
    const stated = readOne(text)
    if (typeof stated === 'string') throw new Error(`must be ${FORM}, and in ${JSON.stringify(text)} ${stated}`)
    if (seen.has(stated.id)) throw new Error(`states dictionary ${stated.id} twice`)
    seen.add(stated.id)
    return stated
  })
}

/** What is wrong with it, where something is. */
function readOne(text: string): Stated | string {
  const [id = '', level, ...rest] = text.split(':')
  // A name may have colons in it.
  const file = rest.join(':')
  if (!isBetween(id, FIRST, LAST)) return `the number ${id === '' ? 'is missing' : `is ${JSON.stringify(id)}`}: it must be from ${FIRST} to ${LAST}`
  if (level === undefined || level === '') return `the level is missing: it must be from ${LEAST_LEVEL} to ${MOST_LEVEL}`
  if (!isBetween(level, LEAST_LEVEL, MOST_LEVEL)) return `the level is ${JSON.stringify(level)}: it must be from ${LEAST_LEVEL} to ${MOST_LEVEL}`
  if (file === '') return 'the file is missing'
  return { id: Number(id), level: Number(level), file }
}

function isBetween(text: string, least: number, most: number): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= least && Number(text) <= most
}

/**
 * The same with the bytes, each tried once.
 * @throws {WaystationError} `config_invalid` when a file cannot be read, is empty or too long, or zstd cannot use it
 */
export function dictionariesOf(texts: readonly string[]): ReadonlyMap<number, Dictionary> {
  return new Map(readDictionaries(texts).map(({ id, level, file }) => {
    try {
      return [id, { bytes: tried(contentOf(file), level), level }]
    } catch (error) {
      throw new WaystationError('config_invalid', `cannot be used: dictionary ${id}, ${file}: ${(error as Error).message}`, error)
    }
  }))
}

function contentOf(file: string): Buffer {
  const { size } = statSync(file)
  if (size > MOST_BYTES) throw new Error(`it has ${size} bytes; ${MOST_BYTES} at most`)
  const bytes = readFileSync(file)
  if (bytes.length === 0) throw new Error('it is empty')
  return bytes
}

/** A trained dictionary may be damaged behind its first bytes: zstd says so only when it is used. */
function tried(bytes: Buffer, level: number): Buffer {
  let frame: Buffer
  try {
    frame = compress(TRIAL, level, bytes)
  } catch (error) {
    throw new Error('it is damaged: zstd cannot use it', { cause: error })
  }
  if (decompress(frame, TRIAL.length, 0, bytes)?.equals(TRIAL) !== true) throw new Error('it is damaged: what is compressed with it does not come out again')
  return bytes
}
