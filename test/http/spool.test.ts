import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { createSpool, SpoolFull, type SpooledBody } from '../../src/http/spool.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { run } from '../support/process.ts'

const SPOOL = pathToFileURL(join(import.meta.dirname, '../../src/http/spool.ts')).href

async function read(body: SpooledBody): Promise<Buffer> {
  // Copied: a piece is valid only until the next is asked for.
  const pieces: Buffer[] = []
  for await (const piece of body.read()) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}

test('what is written is read, in the same order, as often as it is asked for', async (t) => {
  const spool = createSpool(temporaryFolder(t), 10_000_000)
  const file = await spool.create()
  const pieces = [1, 0, 70_000, 131_072, 131_073, 400_000].map((size) => randomBytes(size))
  for (const piece of pieces) await file.write(piece)
  const whole = Buffer.concat(pieces)
  assert.equal(file.size, whole.length)
  const body = file.finish()
  assert.equal(body.size, whole.length)
  assert.ok((await read(body)).equals(whole))
  const [one, other] = await Promise.all([read(body), read(body)])
  assert.ok(one.equals(whole) && other.equals(whole))
  body.letGo()
  assert.equal(spool.bytes, 0)
})

test('an empty body is a body', async (t) => {
  const spool = createSpool(temporaryFolder(t), 0)
  const body = (await spool.create()).finish()
  assert.deepEqual([body.size, (await buffer(Readable.from(body.read()))).length], [0, 0])
  body.letGo()
})

test('what lies on disk counts until the last has let go, and a discarded file not at all', async (t) => {
  const spool = createSpool(temporaryFolder(t), 1_000)
  const first = await spool.create()
  await first.write(Buffer.alloc(300))
  const second = await spool.create()
  await second.write(Buffer.alloc(400))
  assert.equal(spool.bytes, 700)
  second.discard()
  second.discard()
  assert.equal(spool.bytes, 300)
  const body = first.finish()
  first.discard()
  body.hold()
  body.letGo()
  assert.equal(spool.bytes, 300)
  assert.equal((await read(body)).length, 300)
  body.letGo()
  assert.equal(spool.bytes, 0)
})

test('no more is taken than all bodies together may have, to the byte; room that comes back is used', async (t) => {
  const spool = createSpool(temporaryFolder(t), 1_000)
  const [one, other] = [await spool.create(), await spool.create()]
  await one.write(Buffer.alloc(600))
  await assert.rejects(other.write(Buffer.alloc(401)), SpoolFull)
  assert.equal(spool.bytes, 600)
  await other.write(Buffer.alloc(400))
  one.discard()
  await other.write(Buffer.alloc(600))
  other.discard()
  assert.equal(spool.bytes, 0)
})

test('writes that are on their way count, so that two together do not pass the bound', async (t) => {
  const spool = createSpool(temporaryFolder(t), 1_000)
  const [one, other] = [await spool.create(), await spool.create()]
  const both = await Promise.allSettled([one.write(Buffer.alloc(600)), other.write(Buffer.alloc(600))])
  assert.deepEqual(both.map(({ status }) => status), ['fulfilled', 'rejected'])
  one.discard()
  other.discard()
})

test('the folder is made when it is first needed, for its owner alone, and holds no name', async (t) => {
  const folder = join(temporaryFolder(t), 'deep', 'spool')
  const spool = createSpool(folder, 1_000)
  assert.equal(existsSync(folder), false)
  const file = await spool.create()
  await file.write(Buffer.alloc(100))
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  if (process.platform === 'linux') assert.deepEqual(readdirSync(folder), [])
  file.discard()
})

test('where the folder cannot be made it says so as a full disk, and works once it can', async (t) => {
  const folder = join(temporaryFolder(t), 'spool')
  writeFileSync(folder, 'in the way')
  const spool = createSpool(folder, 1_000)
  await assert.rejects(spool.create(), SpoolFull)
  await rm(folder)
  const file = await spool.create()
  await file.write(Buffer.alloc(10))
  file.discard()
})

test('where the folder is gone later it says so as a full disk', async (t) => {
  const folder = join(temporaryFolder(t), 'spool')
  const spool = createSpool(folder, 1_000)
  ;(await spool.create()).discard()
  await rm(folder, { recursive: true })
  await assert.rejects(spool.create(), (error) => error instanceof SpoolFull && (error.cause as NodeJS.ErrnoException).code === 'ENOENT')
})

test('leftovers of processes that are gone are removed at the start, and nothing else is', async (t) => {
  const folder = temporaryFolder(t)
  const gone = run(t, process.execPath, ['-e', ''])
  await gone.exited
  const kept = [`${process.pid}-99.body`, 'notes.txt', 'x-1.body', `${gone.child.pid}-1.body.bak`]
  for (const name of [...kept, `${gone.child.pid}-1.body`, `${gone.child.pid}-22.body`]) writeFileSync(join(folder, name), 'x')
  const spool = createSpool(folder, 1_000)
  ;(await spool.create()).discard()
  await until(() => readdirSync(folder).length === kept.length, 'an end of the leftovers')
  assert.deepEqual(readdirSync(folder).sort(), kept.toSorted())
})

test('a process that is killed in the middle of writing leaves nothing: on Linux at once, elsewhere after the next start', async (t) => {
  const folder = temporaryFolder(t)
  const script = `
    const { createSpool } = await import(${JSON.stringify(SPOOL)})
    const spool = createSpool(${JSON.stringify(folder)}, 1e9)
    const file = await spool.create()
    for (let i = 0; ; i++) {
      await file.write(Buffer.alloc(100_000))
      if (i === 5) console.log('writing')
      if (i > 100) await new Promise((resolve) => setTimeout(resolve, 1e6))
    }`
  const writer = run(t, process.execPath, ['--input-type=module', '-e', script])
  await writer.says('writing')
  writer.child.kill('SIGKILL')
  await writer.exited
  if (process.platform === 'linux') assert.deepEqual(readdirSync(folder), [])
  const spool = createSpool(folder, 1_000)
  ;(await spool.create()).discard()
  await until(() => readdirSync(folder).length === 0, 'an empty folder')
})

test('a body that nobody lets go of does not end the process when it is collected', async (t) => {
  const script = `
    import { setFlagsFromString } from 'node:v8'
    import { runInNewContext } from 'node:vm'
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc')
    const { createSpool } = await import(${JSON.stringify(SPOOL)})
    await (async () => {
      const file = await createSpool(${JSON.stringify(temporaryFolder(t))}, 1e9).create()
      await file.write(Buffer.alloc(10))
      file.finish()
    })()
    for (let i = 0; i < 10; i++) {
      collect()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    console.log('still here')`
  const child = run(t, process.execPath, ['--input-type=module', '-e', script])
  assert.deepEqual(await child.exited, { code: 0, signal: null }, child.stderr())
})
