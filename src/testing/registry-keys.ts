import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import type { KeyRow, KeyTable, NewKey } from '../core/registry.ts'
import type { OpenedRegistry } from './registry-notices.ts'
import { within } from './patience.ts'

/** Domains as a listener knows them. */
interface DomainView {
  /** How often each domain was told of. */
  readonly told: Map<string, number>
  /** Those that have a row, in one order. */
  owned(): string[]
  shows(condition: (owned: string[]) => boolean, ms: number): Promise<void>
}

/** The part of the registry's contract that is about API keys. */
export function registryKeysContract(open: (t: TestContext) => Promise<OpenedRegistry>, patience: number): void {
  test('every domain that has a key is told at the start, active or not, and then each change of its row, before that settles', async (t) => {
    const { registry } = await open(t)
    await registry.addKey(hashed('there'))
    await registry.addKey({ ...hashed('idle'), active: false })
    const view = await watchDomains(registry)
    assert.deepEqual(view.owned(), ['idle', 'there'])
    await registry.addKey(hashed('new'))
    assert.deepEqual(view.owned(), ['idle', 'new', 'there'])
    for (const change of [{ active: false }, { sha256: digest('other') }, { sha256: digest('third'), active: true }]) {
      view.told.clear()
      assert.equal(await registry.changeKey('new', change), true)
      assert.ok(view.told.has('new'), `${Object.keys(change).join(' and ')}: the change was not told`)
      assert.deepEqual(view.owned(), ['idle', 'new', 'there'])
    }
    assert.equal(await registry.removeKey('new'), true)
    assert.deepEqual(view.owned(), ['idle', 'there'])
  })

  test('what is changed of the keys elsewhere is told here', async (t) => {
    const { registry, another } = await open(t)
    const elsewhere = await another()
    const view = await watchDomains(registry)
    await elsewhere.addKey(hashed('a'))
    await view.shows((owned) => owned.includes('a'), patience)
    view.told.clear()
    await elsewhere.changeKey('a', { active: false })
    await view.shows(() => view.told.has('a'), patience)
    assert.deepEqual(view.owned(), ['a'])
    await elsewhere.removeKey('a')
    await view.shows((owned) => owned.length === 0, patience)
  })

  test('registrations and keys are told to those who asked for them', async (t) => {
    const { registry } = await open(t)
    const changes: unknown[] = []
    await registry.start((some) => void changes.push(some))
    await registry.addKey(hashed('a'))
    assert.deepEqual(changes, [])
    assert.deepEqual((await watchDomains(registry)).owned(), ['a'])
  })

  test('a row is kept as it came, by the hash of its key or with the key itself', async (t) => {
    const { registry, another } = await open(t)
    const rows = [
      { domain: 'hashed', username: 'u', apikey: undefined, sha256: digest('k'), insertedAt: 1_700_000_000_123, active: true },
      { domain: 'plain', username: '', apikey: 'f47ac10b-58cc-4372-a567-0e02b2c3d479', sha256: undefined, insertedAt: 951_782_400_000, active: false },
    ]
    for (const row of rows) assert.equal(await registry.addKey(row), true)
    const kept = await (await another()).keysOf(['plain', 'hashed'])
    assert.deepEqual(withoutIds(kept), rows)
    const [plain] = await registry.addKey({ domain: 'x', username: 'u', apikey: 'y', sha256: undefined }).then(() => registry.keysOf(['x']))
    assert.equal(plain?.active, true)
    assert.ok(Number.isInteger(plain?.insertedAt) && (plain?.insertedAt as number) > 1_700_000_000_000)
  })

  test('a domain has one key, and a key one domain: what is taken is refused, and nothing changes', async (t) => {
    const { registry, another } = await open(t)
    await registry.addKey({ domain: 'a', username: 'u', apikey: 'plain', sha256: undefined })
    await registry.addKey(hashed('b'))
    const view = await watchDomains(registry)
    const before = await registry.keysAfter(0, 10)
    for (const taken of [hashed('a'), hashed('b', 'other'), { ...hashed('c'), sha256: digest('b') }, { domain: 'd', username: 'u', apikey: 'plain', sha256: undefined }]) assert.equal(await registry.addKey(taken), false, taken.domain)
    assert.deepEqual(await registry.keysAfter(0, 10), before)
    assert.deepEqual(view.owned(), ['a', 'b'])
    const both = [registry, await another()]
    const made = await Promise.all(Array.from({ length: 10 }, (_, i) => (both[i % 2] as KeyTable).addKey(hashed('e', `key ${i}`))))
    assert.equal(made.filter(Boolean).length, 1)
  })

  test('a change of the hash takes the key as it was away, and a change of one thing leaves the other', async (t) => {
    const { registry } = await open(t)
    await registry.addKey({ domain: 'a', username: 'u', apikey: 'plain', sha256: undefined, insertedAt: 1_000 })
    await registry.addKey(hashed('b'))
    const row = async (): Promise<unknown> => withoutIds(await registry.keysOf(['a']))[0]
    assert.equal(await registry.changeKey('a', { active: false }), true)
    assert.deepEqual(await row(), { domain: 'a', username: 'u', apikey: 'plain', sha256: undefined, insertedAt: 1_000, active: false })
    assert.equal(await registry.changeKey('a', { sha256: digest('new') }), true)
    assert.deepEqual(await row(), { domain: 'a', username: 'u', apikey: undefined, sha256: digest('new'), insertedAt: 1_000, active: false })
    assert.equal(await registry.changeKey('a', { active: true }), true)
    assert.deepEqual(await row(), { domain: 'a', username: 'u', apikey: undefined, sha256: digest('new'), insertedAt: 1_000, active: true })
    assert.equal(await registry.changeKey('a', { sha256: digest('b') }), false, 'it is the key of another domain')
    assert.deepEqual(await row(), { domain: 'a', username: 'u', apikey: undefined, sha256: digest('new'), insertedAt: 1_000, active: true })
    assert.equal(await registry.changeKey('c', { active: true }), false)
  })

  test('a key that was removed is gone, and its domain is free again', async (t) => {
    const { registry } = await open(t)
    await registry.addKey(hashed('a'))
    const [first] = await registry.keysOf(['a'])
    assert.equal(await registry.removeKey('A'), false)
    assert.equal(await registry.removeKey('a'), true)
    assert.equal(await registry.removeKey('a'), false)
    assert.deepEqual(await registry.keysOf(['a']), [])
    assert.equal(await registry.addKey(hashed('a')), true)
    assert.notEqual((await registry.keysOf(['a']))[0]?.id, first?.id)
  })

  test('many domains are asked for at once, and the whole table page by page', async (t) => {
    const { registry } = await open(t)
    const all = Array.from({ length: 60 }, (_, i) => `domain ${i}`)
    await Promise.all(all.map((domain) => registry.addKey(hashed(domain))))
    assert.deepEqual(await registry.keysOf([]), [])
    assert.deepEqual((await registry.keysOf([...all.slice(20), 'unknown', ...Array.from({ length: 400 }, (_, i) => `none ${i}`)])).map((row) => row.domain).sort(), all.slice(20).sort())
    const paged: KeyRow[] = []
    for (let page: readonly KeyRow[]; (page = await registry.keysAfter(paged.at(-1)?.id ?? 0, 25)).length > 0;) {
      assert.ok(page.length <= 25)
      paged.push(...page)
    }
    assert.deepEqual(paged.map((row) => row.domain).sort(), all.sort())
    assert.ok(paged.every((row, i) => i === 0 || row.id > (paged[i - 1] as KeyRow).id))
  })

  test('any text is a domain, a user name and a key, and letter case tells them apart', async (t) => {
    const { registry } = await open(t)
    const texts = ["'; DROP TABLE apikeys; --", '"a"', 'acme', 'ACME', 'Acme', '', ' ', 'a/b', '%', '_', '{a,b}', '\\', 'NULL', 'ü', 'u\u0308', '😀'.repeat(15), 'ı', 'a\nb\t', '$1', '?', 'x'.repeat(36)]
    for (const text of texts) assert.equal(await registry.addKey({ domain: text, username: text, apikey: text, sha256: undefined }), true, JSON.stringify(text))
    assert.equal(await registry.addKey({ domain: 'd'.repeat(64), username: 'u'.repeat(254), apikey: 'k'.repeat(36), sha256: undefined }), true)
    const view = await watchDomains(registry)
    assert.deepEqual(view.owned(), [...texts, 'd'.repeat(64)].sort())
    for (const text of texts) {
      assert.deepEqual((await registry.keysOf([text])).map(({ domain, username, apikey }) => [domain, username, apikey]), [[text, text, text]])
    }
    assert.equal(await registry.changeKey('acme', { active: false }), true)
    assert.deepEqual((await registry.keysOf(texts)).filter((row) => !row.active).map((row) => row.domain), ['acme'])
    assert.equal(await registry.removeKey('%'), true)
    assert.equal((await registry.keysOf(texts)).length, texts.length - 1)
  })
}

async function watchDomains(table: KeyTable): Promise<DomainView> {
  const there = new Set<string>()
  let look = (): void => {}
  const view: DomainView = {
    told: new Map(),
    owned: () => [...there].sort(),
    async shows(condition, ms) {
      const seen = new Promise<void>((resolve) => {
        look = () => {
          if (condition(view.owned())) resolve()
        }
        look()
      })
      await within(seen, 'the change of a key', ms)
    },
  }
  await table.watchDomains(({ all, domains }) => {
    if (all) there.clear()
    for (const [domain, isThere] of domains) {
      view.told.set(domain, (view.told.get(domain) ?? 0) + 1)
      if (isThere) there.add(domain)
      else there.delete(domain)
    }
    look()
  })
  return view
}

function hashed(domain: string, key = domain): NewKey {
  return { domain, username: 'somebody', apikey: undefined, sha256: digest(key) }
}

function digest(key: string): Buffer {
  return hash('sha256', key, 'buffer')
}

/** In one order. The hash is a `Buffer`, whatever the driver gives. */
function withoutIds(rows: readonly KeyRow[]): Omit<KeyRow, 'id'>[] {
  const plain = rows.map((row) => {
    const { id: _, ...rest } = row
    return rest
  })
  return plain.toSorted((a, b) => (a.domain < b.domain ? -1 : 1))
}
