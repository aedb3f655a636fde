import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The measuring tools in C, built for this run. What is not there is undefined, and the notes say why. */
export interface Tools extends Disposable {
  /** Makes the load. */
  readonly wsload: string | undefined
  /** What the kernel alone costs: a broadcaster in C. */
  readonly floor: string | undefined
  readonly notes: readonly string[]
}

/** Beside the folder of the clone. */
const DEFAULT = fileURLToPath(new URL('../../shared/bench/', import.meta.url))

/**
 * Builds the tools into a folder of their own, which is gone afterwards.
 * @param from the folder with `wsload.c` and `floor.c`
 */
export function buildTools(from = DEFAULT): Tools {
  const source = resolve(from)
  const without = (why: string): Tools => ({
    wsload: undefined, floor: undefined, [Symbol.dispose]() {},
    notes: [`The bench's own generator made the load, because ${why}; without the tools in C there is no floor either, and ratios are to the ws loop.`],
  })
  if (!existsSync(join(source, 'wsload.c'))) return without('there is no wsload.c in the folder of the tools (--tools DIR)')
  if (spawnSync('gcc', ['--version']).status !== 0) return without('there is no gcc here')
  const into = mkdtempSync(join(tmpdir(), 'waystation-bench-tools-'))
  const remove = (): void => rmSync(into, { recursive: true, force: true })
  const wsload = build(source, into, 'wsload')
  if ('problem' in wsload) {
    remove()
    return without(`gcc does not build wsload.c: ${wsload.problem}`)
  }
  const floor = existsSync(join(source, 'floor.c')) ? build(source, into, 'floor', ['-luring']) : { problem: 'there is no floor.c in the folder of the tools' }
  const notes = ['wsload, in C, made the load of WebSockets.']
  if ('problem' in floor) notes.push(`There is no floor, and ratios are to the ws loop: ${floor.problem.includes('liburing') || floor.problem.includes('luring') ? 'liburing is not here' : floor.problem}.`)
  return { wsload: wsload.file, floor: 'file' in floor ? floor.file : undefined, notes, [Symbol.dispose]: remove }
}

function build(source: string, into: string, name: string, libraries: readonly string[] = []): { file: string } | { problem: string } {
  const file = join(into, name)
  const { status, stderr } = spawnSync('gcc', ['-O2', join(source, `${name}.c`), '-o', file, ...libraries], { encoding: 'utf8' })
  if (status === 0) return { file }
  const error = stderr.split('\n').find((line) => /error|cannot find/.test(line))
  return { problem: error?.replaceAll(`${source}/`, '') ?? `gcc ended with ${status}` }
}
