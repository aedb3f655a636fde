import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLogger, openLogFile, rememberLines } from '../../src/server/log.ts'
import { temporaryFolder } from '../support/certificates.ts'

test('the last lines of the log are remembered beside being written, so many and so long', () => {
  const written: string[] = []
  const lines = rememberLines({ write: (line) => void written.push(line) })
  const logger = createLogger('info', lines)
  for (let i = 0; i < 300; i++) logger.info({ i }, 'x'.repeat(i === 299 ? 100_000 : 10))
  logger.debug('not at this level')
  assert.equal(written.length, 300)
  const all = lines.last(1_000)
  assert.equal(all.length, 200)
  assert.match(all[0] as string, /"i":100,/)
  assert.equal((all.at(-1) as string).length, 2_001)
  assert.deepEqual(lines.last(2), all.slice(-2))
})

test('a log file is its owner\'s alone, is added to, and goes on in a new one when it is reopened', (t) => {
  const file = join(temporaryFolder(t), 'hub.log')
  const first = openLogFile(file)
  first.write('one\n')
  first.close()
  const log = openLogFile(file)
  log.write('two\n')
  assert.equal(statSync(file).mode & 0o777, 0o600)
  renameSync(file, `${file}.1`)
  log.write('three\n')
  log.reopen()
  log.write('four\n')
  assert.deepEqual([readFileSync(`${file}.1`, 'utf8'), readFileSync(file, 'utf8')], ['one\ntwo\nthree\n', 'four\n'])

  rmSync(file)
  mkdirSync(file)
  assert.throws(() => log.reopen(), /EISDIR/)
  rmSync(file, { recursive: true })
  log.write('into the old one, which nobody sees\n')
  log.close()
  log.close()
  log.write('after the end\n')
  assert.ok(!existsSync(file))
})

test('a pipe is no log file, and nothing waits for its reader', (t) => {
  const pipe = join(temporaryFolder(t), 'pipe')
  execFileSync('mkfifo', [pipe])
  assert.throws(() => openLogFile(pipe), /it is no file/)
})

test('a disk that is full costs lines, and not the hub', { skip: existsSync('/dev/full') ? false : 'there is no /dev/full here' }, () => {
  const log = openLogFile('/dev/full')
  log.write('lost\n')
  log.close()
})
