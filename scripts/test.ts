/*
 * The test command: every test file, in parallel, and as the last line `N passed, N failed`.
 *   npm test                     all
 *   npm test -- core http        only files whose path contains one of the words
 */
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const words = process.argv.slice(2)
const files = globSync('test/**/*.test.ts', { cwd: root })
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort()

if (files.length === 0) {
  console.error(`no test file has ${words.join(' or ')} in its path`)
  process.exit(2)
}

// Each of some two hundred processes would compile the same sources again. Gone when all is done.
const compiled = mkdtempSync(join(tmpdir(), 'waystation-compiled-'))
process.env['NODE_COMPILE_CACHE'] = compiled
process.on('exit', () => rmSync(compiled, { recursive: true, force: true }))

/** Folders of many small files that change nothing of their process: one process for all of them saves the time of starting the others. */
const TOGETHER = ['cli', 'core', 'hostile', 'http', 'journeys', 'links', 'protocol', 'server', 'services', 'subscriber', 'transports/calls', 'transports/lonelyps', 'transports/pinghub', 'transports/sse', 'transports/wspubsub', 'webhooks', 'zones']

/** What must have its process for itself: files that measure its memory or keep a database until their end. */
const ALONE = /\/memory\.ts'|memoryUsage|\(after\)|\{ after \}/

function folderOf(file: string): string {
  const folder = TOGETHER.find((one) => file.startsWith(`test/${one}/`)) ?? ''
  return folder === '' || ALONE.test(readFileSync(join(root, file), 'utf8')) ? '' : folder
}

/** The files as they are run, those first that take long: of some folders all by one file that imports them. */
const started = Object.entries(Object.groupBy(files, folderOf)).flatMap(([folder, some = []]) => {
  if (folder === '' || some.length < 2) return some
  const all = join(compiled, `${folder.replace('/', '-')}.test.mjs`)
  writeFileSync(all, some.map((file) => `import ${JSON.stringify(pathToFileURL(join(root, file)).href)}\n`).join(''))
  return [all]
}).sort((a, b) => Number(b.startsWith(compiled)) - Number(a.startsWith(compiled)))

const counts = { passed: 0, failed: 0, skipped: 0 }

/** ms without a word from any file after which those that have not ended never will. The runner itself waits for a process that hangs, whatever its timeout. */
const PATIENCE = 240_000
const hung = new AbortController()
const unended = new Set<string>(started.map((file) => resolve(root, file)))

// Two more than there are cores: many tests wait for something.
const stream = run({ cwd: root, files: started, concurrency: availableParallelism() + 2, timeout: PATIENCE, signal: hung.signal })
const watchdog = setTimeout(giveUp, PATIENCE)
stream.on('data', () => watchdog.refresh())
stream.on('test:summary', ({ file }) => void (file !== undefined && unended.delete(file)))

function giveUp(): void {
  counts.failed++
  for (const file of unended) console.error(`${relative(root, file)} has not ended: something in it is still open`)
  hung.abort()
  // The processes are told to end; one that will not is left behind.
  setTimeout(end, 5_000)
}

function end(): void {
  const skipped = counts.skipped === 0 ? '' : `, ${counts.skipped} skipped`
  process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed${skipped}\n`)
  process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0)
}

stream.on('test:pass', ({ details, skip, todo }) => {
  if (details?.type === 'suite') return
  if (skip !== undefined || todo !== undefined) counts.skipped++
  else counts.passed++
})
stream.on('test:fail', ({ details }) => {
  // A suite fails because one of its tests did, which has been counted.
  const { failureType } = details.error as { failureType?: string }
  if (details.type !== 'suite' || failureType !== 'subtestsFailed') counts.failed++
})
stream.compose(new spec()).pipe(process.stdout, { end: false })
stream.on('end', () => void setImmediate(end))
