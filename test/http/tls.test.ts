import assert from 'node:assert/strict'
import { renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { readTlsPair, watchTls, type TlsPair } from '../../src/http/tls.ts'
import { selfSigned, temporaryFolder } from '../support/certificates.ts'
import { createInbox } from '../support/events.ts'

function setUp(t: TestContext) {
  const folder = temporaryFolder(t)
  const [one, two] = [selfSigned(folder, 'one'), selfSigned(folder, 'two')]
  const files = { cert: join(folder, 'live.pem'), key: join(folder, 'live.key') }
  const write = (pair: TlsPair): void => {
    writeFileSync(files.cert, pair.cert)
    writeFileSync(files.key, pair.key)
  }
  write(one)
  return { folder, one, two, files, write }
}

test('a certificate and its key are read as they stand', async (t) => {
  const { files, one } = setUp(t)
  assert.deepEqual(await readTlsPair(files), one)
})

test('a chain is taken whole', async (t) => {
  const { files, one, two } = setUp(t)
  writeFileSync(files.cert, one.cert + two.cert)
  assert.equal((await readTlsPair(files)).cert, one.cert + two.cert)
})

test('whatever is wrong with a pair is said in a sentence that names the file at fault', async (t) => {
  const { files, one, two, write } = setUp(t)
  const faults: [spoil: () => void, says: RegExp][] = [
    [() => unlinkSync(files.cert), /live\.pem cannot be read/],
    [() => unlinkSync(files.key), /live\.key cannot be read/],
    [() => writeFileSync(files.cert, 'nonsense'), /live\.pem holds no PEM certificate/],
    [() => writeFileSync(files.cert, ''), /live\.pem holds no PEM certificate/],
    [() => writeFileSync(files.cert, one.key), /live\.pem holds no PEM certificate/],
    [() => writeFileSync(files.key, 'nonsense'), /live\.key holds no usable private key/],
    [() => writeFileSync(files.key, one.cert), /live\.key holds no usable private key/],
    [() => writeFileSync(files.key, two.key), /live\.key is not the key of .*live\.pem/],
  ]
  for (const [spoil, says] of faults) {
    write(one)
    spoil()
    await assert.rejects(readTlsPair(files), says)
  }
})

/** A second passes when the test says so. */
function watch(t: TestContext) {
  const world = setUp(t)
  t.mock.timers.enable({ apis: ['setInterval'] })
  const seen = createInbox<TlsPair | Error>('pair or error')
  const watched = watchTls(world.files, world.one, { pair: seen.push, error: seen.push })
  t.after(() => watched.stop())
  return { ...world, seen, watched }
}

test('a new pair is handed over once; the same again is not', async (t) => {
  const { seen, watched, two, write } = watch(t)
  await watched.reload()
  assert.deepEqual(seen.taken(), [])
  write(two)
  await watched.reload()
  await watched.reload()
  assert.deepEqual(seen.taken(), [two])
})

test('a pair that cannot be used is told and not handed over, and the next good one is', async (t) => {
  const { seen, watched, files, one, two, write } = watch(t)
  writeFileSync(files.cert, two.cert)
  await watched.reload()
  const [told] = seen.taken()
  assert.ok(told instanceof Error)
  assert.match(told.message, /is not the key of/)
  await watched.reload()
  assert.deepEqual(seen.taken(), [], 'it is told once, not every second')
  write(one)
  await watched.reload()
  assert.deepEqual(seen.taken(), [], 'the old pair is back, and was never gone')
  write(two)
  await watched.reload()
  write(one)
  await watched.reload()
  assert.deepEqual(seen.taken(), [two, one])
})

test('files that are away for a while are told once each time, and taken when they are back', async (t) => {
  const { seen, watched, files, two, write } = watch(t)
  for (let round = 0; round < 2; round++) {
    unlinkSync(files.key)
    await watched.reload()
    await watched.reload()
    const told = seen.taken()
    assert.equal(told.length, 1)
    assert.match((told[0] as Error).message, /live\.key cannot be read/)
    write(two)
    await watched.reload()
    assert.deepEqual(seen.taken(), round === 0 ? [two] : [])
  }
})

test('once stopped it looks no more', async (t) => {
  const { seen, watched, two, write, files } = watch(t)
  watched.stop()
  write(two)
  t.mock.timers.tick(10_000)
  // Whatever it had begun to read would be read by then.
  for (let i = 0; i < 3; i++) await readTlsPair(files)
  assert.deepEqual(seen.taken(), [])
})

test('what changes while the files are being read is read again', async (t) => {
  const { seen, watched, two, write } = watch(t)
  const reading = watched.reload()
  write(two)
  await Promise.all([reading, watched.reload(), watched.reload()])
  assert.deepEqual(seen.taken().filter((one) => !(one instanceof Error)), [two])
})

test('a change is noticed within a second without being told: a file written over, and a link that points elsewhere', async (t) => {
  const { folder, seen, two, one, files, write } = watch(t)
  write(two)
  t.mock.timers.tick(1_000)
  assert.deepEqual(await seen.next(), two)
  for (const [name, live] of [['one.pem', files.cert], ['one.key', files.key]] as const) {
    symlinkSync(join(folder, name), `${live}.new`)
    renameSync(`${live}.new`, live)
  }
  t.mock.timers.tick(1_000)
  assert.deepEqual(await seen.next(), one)
})
