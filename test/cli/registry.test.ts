import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { registry } from '../../src/cli/registry.ts'
import type { Registry, Stored } from '../../src/core/registry.ts'
import { topicFromBytes, topicFromText } from '../../src/core/topic.ts'
import { createSqliteRegistry } from '../../src/registry/sqlite/registry.ts'
import { realClock } from '../../src/server/real-world.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { runCommand, type Ran } from '../support/command.ts'
import { waystation } from '../support/process.ts'

const BYTES = topicFromBytes(Buffer.from([0x61, 0xff]))
const LATER = Date.now() + 3_600_000
const THINGS: readonly Stored[] = [
  { type: 'registration', url: 'http://one.example/', kind: 'exact', target: BYTES, recovery: 'http://recovery/"' },
  { type: 'registration', url: 'http://one.example/', kind: 'glob', target: topicFromText('ü/*\n'), recovery: undefined },
  { type: 'notice', url: 'http://one.example/', kind: 'exact', target: BYTES, topic: BYTES, attempts: 2, dueAt: 1_234 },
  { type: 'key', domain: 'acme', username: "o'hara", apikey: undefined, sha256: Buffer.alloc(32, 1), insertedAt: 1_700_000_000_123, active: true },
  { type: 'key', domain: 'test', username: '', apikey: 'f47ac10b', sha256: undefined, insertedAt: 0, active: false },
  { type: 'hubSecret', secret: Buffer.alloc(64, 2) },
  { type: 'signature', code: Buffer.alloc(16, 3), expiresAt: LATER },
]

/** A folder with the database `from.db`, which has these things. */
async function folder(t: TestContext, things: readonly Stored[] = THINGS): Promise<{ cwd: string; from: string; to: string; run: (args: string[], input?: Iterable<string | Uint8Array>) => Promise<Ran> }> {
  const cwd = temporaryFolder(t)
  const [from, to] = [join(cwd, 'from.db'), join(cwd, 'to.db')]
  if (things.length > 0) await using(from, (one) => one.restore(things))
  return { cwd, from, to, run: (args, input) => runCommand(registry, args, { cwd, ...(input === undefined ? {} : { input }) }) }
}

async function using<T>(file: string, use: (one: Registry) => Promise<T>): Promise<T> {
  const one = createSqliteRegistry({ file, clock: realClock })
  try {
    return await use(one)
  } finally {
    await one.close()
  }
}

function everything(file: string): Promise<string[]> {
  return using(file, async (one) => (await Array.fromAsync(one.everything())).map((thing) => JSON.stringify(thing)).sort())
}

test('what was exported into a file is imported as it was, and once more changes nothing', async (t) => {
  const { cwd, from, to, run } = await folder(t)
  const exported = await run(['export', '--database', from, '--out', 'all.jsonl'])
  const counts = '7 things (1 hub secret, 2 registrations, 1 notice, 2 API keys, 1 used signature)'
  assert.deepEqual(exported, { status: 0, out: '', err: `exported ${counts} to ${join(cwd, 'all.jsonl')}\n` })
  assert.equal(statSync(join(cwd, 'all.jsonl')).mode & 0o777, 0o600)
  const lines = readFileSync(join(cwd, 'all.jsonl'), 'utf8').split('\n')
  assert.deepEqual([lines[0], lines.at(-2), lines.at(-1)], ['{"waystation":"registry","version":1}', '{"end":true,"count":7}', ''])
  assert.deepEqual(await run(['import', 'all.jsonl', '--database', to]), { status: 0, out: `read ${counts}; all of it was put in\n`, err: '' })
  assert.deepEqual(await everything(to), await everything(from))
  assert.equal((await run(['import', 'all.jsonl', '--database', to])).out, `read ${counts}; 0 were put in, and 7 were there already, or have run out\n`)
  assert.deepEqual(await everything(to), await everything(from))
})

test('standard output and standard input do as well as a file', async (t) => {
  const { from, to, run } = await folder(t)
  const { out, err } = await run(['export', '--database', from])
  assert.match(err, /^exported 7 things \([^)]*\)\n$/)
  // In pieces that cut lines and letters.
  const bytes = Buffer.from(out)
  const pieces = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, i) => bytes.subarray(7 * i, 7 * i + 7))
  assert.equal((await run(['import', '-', '--database', to], pieces)).status, 0)
  assert.deepEqual(await everything(to), await everything(from))
})

test('one database goes into another without a file', async (t) => {
  const { from, to, run } = await folder(t)
  const { status, out } = await run(['migrate', '--from', from, '--to', to])
  assert.equal(status, 0)
  assert.match(out, /^read 7 things .* of \S+from\.db; all of it was put into \S+to\.db\n$/)
  assert.deepEqual(await everything(to), await everything(from))
})

test('of many things it is told how far it is, every 10,000', async (t) => {
  const { from, to, run } = await folder(t, Array.from({ length: 21_000 }, (_, i) => ({ type: 'registration', url: 'http://one.example/', kind: 'exact', target: topicFromText(`a/${i}`), recovery: undefined })))
  const { err } = await run(['migrate', '--from', from, '--to', to])
  assert.match(err, /^10000 so far\n20000 so far\n$/)
  assert.equal((await everything(to)).length, 21_000)
})

test('an export never takes the place of a file, and leaves none behind when it fails', async (t) => {
  const { cwd, from, run } = await folder(t)
  writeFileSync(join(cwd, 'notes'), 'mine')
  const taken = await run(['export', '--database', from, '--out', 'notes'])
  assert.equal(taken.status, 1)
  assert.match(taken.err, /is there already; choose another --out/)
  assert.equal(readFileSync(join(cwd, 'notes'), 'utf8'), 'mine')
  const broken = await run(['export', '--database', join(cwd, 'notes'), '--out', 'new'])
  assert.equal(broken.status, 1)
  assert.match(broken.err, /no SQLite database/)
  assert.equal(existsSync(join(cwd, 'new')), false)
})

test('a database that is not there is not taken for an empty one', async (t) => {
  const { cwd, to, run } = await folder(t, [])
  for (const args of [['export', '--database', 'slip.db'], ['migrate', '--from', 'slip.db', '--to', to]]) {
    const { status, out, err } = await run(args)
    assert.deepEqual([status, out, err], [1, '', 'waystation registry: slip.db: there is no such database\n'])
  }
  assert.equal(existsSync(to), false)
  assert.match((await run(['import', 'slip.jsonl', '--database', to])).err, /ENOENT.*slip\.jsonl/)
  assert.equal(cwd.length > 0, true)
})

const HEAD = '{"waystation":"registry","version":1}\n'
const ONE = '{"type":"registration","url":"http://one.example/","kind":"exact","target":"a"}\n'
const wrong: [string, string | Uint8Array, RegExp][] = [
  ['nothing', '', /it is empty/],
  ['another file', 'these are my notes\n', /line 1: it does not begin as a file/],
  ['JSON of somebody else', '{"a":1}\n', /line 1: it does not begin as a file/],
  ['a newer version', '{"waystation":"registry","version":2}\n', /line 1: it is of another version than 1/],
  ['a cut file', HEAD + ONE, /it is cut off behind line 2/],
  ['a file that is cut in a line', HEAD + ONE + ONE.slice(0, 30), /line 3: it is no JSON/],
  ['a file with a line lost', `${HEAD}${ONE}{"end":true,"count":2}\n`, /line 3: it says that there are 2 before it, and there are 1/],
  ['more behind the end', `${HEAD}${ONE}{"end":true,"count":1}\n${ONE}`, /line 4: it stands behind the end/],
  ['an unknown type', `${HEAD}{"type":"other"}\n`, /line 2: its type is none/],
  ['an array', `${HEAD}[]\n`, /line 2: it is no JSON object/],
  ['no UTF-8', Buffer.from([...Buffer.from(HEAD), 0x22, 0xff, 0x22, 0x0a]), /line 2: it is no UTF-8/],
  ['an unknown kind', `${HEAD}${ONE.replace('exact', 'regex')}`, /line 2: kind must be/],
  ['no url', `${HEAD}${ONE.replace('"http://one.example/"', '7')}`, /line 2: url must be a text/],
  ['half a letter', `${HEAD}${ONE.replace('"a"', '"\\ud800"')}`, /line 2: target must be/],
  ['bytes that are no Base64', `${HEAD}${ONE.replace('"a"', '{"base64":"!"}')}`, /line 2: target must be/],
  ['a hash that is too short', `${HEAD}{"type":"key","domain":"secret domain","username":"u","sha256":"QUJD","insertedAt":0,"active":true}\n`, /line 2: sha256 must be 32 bytes in Base64/],
  ['a time that is none', `${HEAD}{"type":"signature","code":"QUJD","expiresAt":"1"}\n`, /line 2: expiresAt must be a whole number/],
  ['a flag that is none', `${HEAD}{"type":"key","domain":"d","username":"u","apikey":"secret key","insertedAt":0,"active":1}\n`, /line 2: active must be true or false/],
  ['a line without an end', HEAD + '{'.repeat(5 << 20), /a line of more than 4194304 bytes/],
]

test('a file with something wrong in it is refused by the number of the line, without a word of what it holds', async (t) => {
  const { to, run } = await folder(t, [])
  for (const [name, text, expected] of wrong) {
    const { status, out, err } = await run(['import', '--database', to], [text])
    assert.deepEqual([status, out], [1, ''], name)
    assert.match(err, expected, name)
    assert.match(err, /standard input: .*; nothing was put in\n$/, name)
    assert.doesNotMatch(err, /secret/, name)
  }
  assert.equal(existsSync(to), false, 'something was put in')
})

test('of a long file that is cut, what was put in before is said, and the whole file may follow', async (t) => {
  const { to, run } = await folder(t, [])
  const lines = Array.from({ length: 2_500 }, (_, i) => ONE.replace('"a"', `"${i}"`))
  const cut = await run(['import', '--database', to], [HEAD + lines.join('')])
  assert.equal(cut.status, 1)
  assert.match(cut.err, /cut off behind line 2501: .*; 2000 were put in before that; it may be imported again/)
  const whole = await run(['import', '--database', to], [`${HEAD}${lines.join('')}{"end":true,"count":2500}`])
  assert.match(whole.out, /^read 2500 things \(2500 registrations\); 500 were put in, and 2000 were there already/)
})

test('a signal ends it with 130', async (t) => {
  const { cwd, from, to } = await folder(t)
  for (const args of [['export', '--database', from], ['migrate', '--from', from, '--to', to], ['import', '--database', to]]) {
    const { status, err } = await runCommand(registry, args, { cwd, stop: AbortSignal.abort(), input: [HEAD, ONE] })
    assert.deepEqual([status, err], [130, 'waystation registry: it was stopped before the end; it may be done again\n'], args.join(' '))
  }
})

test('the program itself reads its input and writes its output, and a signal ends it though nothing more comes', async (t) => {
  const { cwd, from, to } = await folder(t)
  const exported = waystation(t, ['registry', 'export', '--database', from], { cwd })
  assert.deepEqual(await exported.exited, { code: 0, signal: null })
  const importing = waystation(t, ['registry', 'import', '--database', to], { cwd })
  importing.child.stdin?.end(exported.stdout())
  await importing.says('all of it was put in')
  assert.deepEqual(await importing.exited, { code: 0, signal: null })
  const endless = waystation(t, ['registry', 'import', '--database', to], { cwd })
  const lines = Array.from({ length: 10_000 }, (_, i) => `${JSON.stringify({ type: 'key', domain: `${i}`, username: '', insertedAt: 0, active: true })}\n`)
  endless.child.stdin?.write(HEAD + lines.join(''))
  await endless.says('10000 so far')
  endless.child.kill('SIGTERM')
  assert.deepEqual(await endless.exited, { code: 130, signal: null })
  assert.equal((await everything(to)).length, THINGS.length + 10_000)
})

const refused: [string, string[], RegExp][] = [
  ['an unknown word', ['exprot'], /did you mean export\?/],
  ['a word too many', ['import', 'a', 'b'], /"b" is one word too many/],
  ['no source', ['migrate', '--to', 'x'], /--from FILE\|URL/],
  ['no target', ['migrate', '--from', 'x'], /--to FILE\|URL/],
  ['the same database twice', ['migrate', '--from', 'x', '--to', './x'], /the same database/],
  ['a scheme that is none', ['migrate', '--from', 'x', '--to', 'mysql://user:secret@host/x'], /--to begins with mysql:\/\//],
  ['a flag of another word', ['import', '--out', 'x'], /--out is no option of import/],
]

test('what cannot be meant is refused with 2, and no password is shown', async (t) => {
  const { cwd } = await folder(t, [])
  for (const [name, args, expected] of refused) {
    const { status, err } = await runCommand(registry, args, { cwd })
    assert.equal(status, 2, name)
    assert.match(err, expected, name)
    assert.doesNotMatch(err, /secret/, name)
  }
})
