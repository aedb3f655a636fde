import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readDatabase, withoutPassword } from '../../src/server/database.ts'
import { effective, fromProgram } from '../../src/server/config.ts'

test('a path is SQLite, whatever is in it', () => {
  for (const file of ['a.db', './a.db', '/var/lib/a b.db', ':memory:', 'postgres', 'C:\\a.db']) assert.deepEqual(readDatabase(file), { kind: 'sqlite', file })
})

test('postgres:// and postgresql:// are PostgreSQL, as libpq writes them', () => {
  for (const url of ['postgres://h/d', 'postgresql://u:p%40w@h:5433/d?sslmode=require', 'POSTGRES://h/d', 'postgres:///d?host=/run/postgresql']) assert.deepEqual(readDatabase(url), { kind: 'postgres', url })
})

test('rqlite:// is one node or several; whoever is stated for the first is stated for all', () => {
  const nodes = (text: string): unknown => (readDatabase(text) as { nodes?: unknown }).nodes
  assert.deepEqual(nodes('rqlite://h'), ['http://h:4001'])
  assert.deepEqual(nodes('rqlite://a:1,b:2,[::1]:3/'), ['http://a:1', 'http://b:2', 'http://[::1]:3'])
  assert.deepEqual(nodes('rqlites://u:p@a,b:5'), ['https://u:p@a:4001', 'https://u:p@b:5'])
})

test('what cannot be a database is refused with a sentence that does not repeat it', () => {
  for (const text of ['mysql://u:secret@h/d', 'file:///secret.db', 'rqlite://', 'rqlite://u:secret@', 'rqlite://a:1,,b:2', 'rqlite://a:1/secret', 'rqlite://a:secret', 'postgres://u:sec/ret@h:x/d']) {
    const read = readDatabase(text)
    assert.equal(typeof read, 'string', text)
    assert.doesNotMatch(read as string, /secret|sec\/ret/)
  }
  assert.throws(() => effective([fromProgram({ database: 'mysql://u:secret@h/d' })]), (error: Error) => /database begins with mysql:\/\/, which is none of/.test(error.message) && !error.message.includes('secret'))
})

test('a password is left out of what is shown', () => {
  assert.equal(withoutPassword('postgres://user:secret@h:1/d'), 'postgres://user:***@h:1/d')
  assert.equal(withoutPassword('rqlite://user:secret@a:1,b:2'), 'rqlite://user:***@a:1,b:2')
  assert.equal(withoutPassword('postgres://h/d?password=secret&x=1'), 'postgres://h/d?password=***&x=1')
  for (const text of ['', 'a.db', 'postgres://h/d', 'postgres://user@h/d', '/a:b@c.db']) assert.equal(withoutPassword(text), text)
  for (const text of ['postgres://u:a:secret@h/d', 'postgres://u:1/secret@h/d', 'rqlite://u:1?secret@a:1', 'postgres://u:a@secret@h/d']) assert.doesNotMatch(withoutPassword(text), /secret/)
})
