import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { Client } from 'pg'
import type { Command } from '../../src/cli/command.ts'
import { keys } from '../../src/cli/keys.ts'
import { registry } from '../../src/cli/registry.ts'
import { setup } from '../../src/cli/setup.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { runCommand } from '../support/command.ts'
import { startPostgres } from '../support/postgres.ts'
import { blocks } from '../support/readme.ts'
import { startRqlite } from '../support/rqlite.ts'

/* The guide to databases, and the SQL of the reference, as they are written. */

const GUIDE = new URL('../../docs/databases.md', import.meta.url)
const REFERENCE = readFileSync(new URL('../../docs/reference/registry.md', import.meta.url), 'utf8')
const postgres = await startPostgres(after)

/** The statements in the reference under one heading. */
function statements(heading: string): string[] {
  const [section = ''] = (REFERENCE.split(`\n## ${heading}\n`)[1] ?? '').split('\n## ')
  return [...section.matchAll(/```sql\n([^]*?)```/g)].flatMap(([, sql]) => (sql as string).trim().split('\n'))
}

async function ask(t: TestContext, url: string): Promise<(sql: string) => Promise<Record<string, unknown>[]>> {
  const client = new Client({ connectionString: url })
  await client.connect()
  t.after(() => client.end())
  return async (sql) => (await client.query(sql)).rows as Record<string, unknown>[]
}

/** Runs the words of a command, the name first. */
async function typed(line: string, cwd: string): Promise<string> {
  const [name, ...args] = line.replace(/^waystation /, '').split(' ')
  const { status, out, err } = await runCommand([setup, keys, registry].find((one) => one.name === name) as Command, args, { cwd })
  assert.equal(status, 0, `${line}: ${err}`)
  return out
}

test('the guide\'s role and database are made as it says, and its commands set up a hub and move everything, with both servers', async (t) => {
  const rqlite = await startRqlite(t, 1)
  const [made] = blocks(GUIDE, 'sql') as [string]
  const owner = await ask(t, postgres.url)
  for (const sql of made.trim().split('\n')) await owner(sql)
  const [ours, theirs] = [`postgres://waystation:secret@127.0.0.1:${postgres.port}/waystation`, (rqlite.nodes[0] as string).replace('http', 'rqlite')]
  const cwd = temporaryFolder(t)
  const file = join(cwd, 'waystation.db')
  const urls = { 'waystation.db': file, 'postgres://waystation:secret@db.example.com/waystation': ours, 'rqlite://10.0.0.1:4001,10.0.0.2:4001,10.0.0.3:4001': theirs, 'postgres://…': ours }
  const [setups, moves] = blocks(GUIDE, 'sh').map((block) => block.trim().split('\n').map((line) => Object.entries(urls).reduce((text, [from, to]) => text.replace(from, to), line))) as [string[], string[]]
  for (const [i, line] of setups.entries()) {
    await typed(`${line} --dir hub${i}`, cwd)
    const [, database] = /database: "(.*)"/.exec(readFileSync(join(cwd, `hub${i}`, 'waystation.config.ts'), 'utf8')) ?? []
    assert.equal(database, [ours, theirs][i])
    const key = JSON.parse(await typed(`keys add --domain acme --username me --json --config hub${i}/waystation.config.ts`, cwd)) as { apikey: string }
    assert.match(key.apikey, /^ws_/)
  }
  await typed(`keys add --domain moved --database ${file}`, cwd)
  const said: string[] = []
  for (const line of moves) said.push(await typed(line, cwd))
  assert.deepEqual(said.map((text) => /; (.*?put)/.exec(text)?.[1]), [undefined, 'all of it was put', '0 were put'])
  assert.match(await typed(`keys list --database ${ours}`, cwd), /^moved /m)
})

test('the reference\'s SQL for PostgreSQL does what it says, in the tables that it names', async (t) => {
  const url = await postgres.createDatabase()
  await typed(`keys add --domain test --database ${url}`, temporaryFolder(t))
  const sql = await ask(t, url)
  const [insert, select, revoke, ...more] = statements('On PostgreSQL') as [string, string, string, ...string[]]
  assert.deepEqual(more, [])
  await sql(insert)
  const rows = await sql(select)
  assert.deepEqual(rows.map(({ kind, target, url: to, since }) => [kind, target, to, (since as Date).getFullYear() > 2024]), [['exact', 'news/eu', 'http://127.0.0.1:8080/receive', true]])
  await sql(revoke)
  assert.deepEqual(await sql('SELECT domain, active FROM apikeys'), [{ domain: 'test', active: false }])
  const ours = await sql("SELECT relname AS name FROM pg_class WHERE relnamespace = 'waystation'::regnamespace AND relkind = 'r'")
  for (const { name } of ours) assert.ok(REFERENCE.includes(`\`${String(name)}\``), `${String(name)} is not in the reference`)
  assert.deepEqual(await sql('SELECT version::int FROM waystation.schema_version'), [{ version: Number(/one row with the number of the schema, (\d+) at present/.exec(REFERENCE)?.[1]) }])
})

test('the reference\'s SQL for rqlite does what it says, in the tables that it names', async (t) => {
  const rqlite = await startRqlite(t, 1)
  const database = (rqlite.nodes[0] as string).replace('http', 'rqlite')
  await typed(`keys add --domain test --database ${database}`, temporaryFolder(t))
  for (const one of statements('On rqlite')) await rqlite.sql([one])
  assert.deepEqual(await rqlite.sql(['SELECT kind, CAST(target AS TEXT), url, created_at FROM waystation_subscriptions']), [['exact', 'news/eu', 'http://127.0.0.1:8080/receive', 1_767_225_600_000]])
  assert.deepEqual(await rqlite.sql(['SELECT active FROM apikeys']), [[false]])
  const names = await rqlite.sql(["SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"])
  for (const [name] of names) assert.ok(REFERENCE.includes(`\`${String(name)}\``), `${String(name)} is not in the reference`)
  assert.deepEqual(await rqlite.sql(['SELECT max(version) FROM waystation_schema']), [[Number(/the highest `version` is its number, (\d+) at present/.exec(REFERENCE)?.[1])]])
})
