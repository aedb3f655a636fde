import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { Client } from 'pg'
import { APIKEYS_TABLE } from '../../src/registry/postgres/schema.ts'
import { keys } from '../../src/cli/keys.ts'
import { registry } from '../../src/cli/registry.ts'
import { setup } from '../../src/cli/setup.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { runCommand } from '../support/command.ts'
import { surviveOutage } from '../support/database-outage.ts'
import { startPostgres } from '../support/postgres.ts'
import { waystation } from '../support/process.ts'
import { startServer } from '../support/server.ts'
import { registerAndNotify, TIMES } from '../support/two-hubs.ts'
import { connect } from '../support/websocket.ts'

/* Hubs on one PostgreSQL, as a team runs them. */

/** As the original documents it (wspubsub, section 7), with the sequence made first and the constraint's index left to it. */
const ORIGINAL = `
  CREATE SEQUENCE apikeys_id_seq;
  CREATE TABLE apikeys (
    id integer PRIMARY KEY DEFAULT nextval('apikeys_id_seq'),
    domain varchar(64) NOT NULL UNIQUE,
    username varchar(254) NOT NULL,
    apikey varchar(36) NOT NULL UNIQUE,
    insert_ts timestamp NOT NULL DEFAULT now(),
    active boolean NOT NULL DEFAULT false
  );
  INSERT INTO apikeys (domain, username, apikey, active) VALUES ('test', 'hello@world.com', 'f47ac10b-58cc-4372-a567-0e02b2c3d479', true);
  INSERT INTO apikeys (domain, username, apikey) VALUES ('idle', 'hello@world.com', 'f47ac10b-58cc-4372-a567-0e02b2c3d470');`
const postgres = await startPostgres(after)
const COMMANDS = { keys, registry, setup } as const
const KEY = 'f47ac10b-58cc-4372-a567-0e02b2c3d479'

suite('hubs that share a PostgreSQL', () => {
  test('the table of the original, as it is, lets its publisher in at every hub, and a key that is no longer active sends it away', async (t) => {
    const database = await postgres.createDatabase()
    const client = new Client(database)
    await client.connect()
    t.after(() => client.end())
    await client.query(ORIGINAL)
    const hubs = [await startServer(t, { database }), await startServer(t, { database })]
    const publishers = await Promise.all(hubs.map(({ ws }) => connect(t, `${ws}/ws/pub/${KEY}/test/prices`)))
    for (const [i, { ws }] of hubs.entries()) {
      const listener = await connect(t, `${ws}/ws/sub/test/prices`)
      publishers[i]?.send('1.25')
      assert.equal(await listener.next(), '1.25')
      await assert.rejects(connect(t, `${ws}/ws/pub/${KEY}/nontest/prices`), /403/)
      await assert.rejects(connect(t, `${ws}/ws/pub/${KEY}/idle/prices`), /403/)
      await assert.rejects(connect(t, `${ws}/ws/pub/f47ac10b-58cc-4372-a567-0e02b2c3d470/idle/prices`), /403/)
    }
    const ends = Promise.all(publishers.map(({ closed }) => closed))
    const began = performance.now()
    await client.query("UPDATE apikeys SET active = false WHERE domain = 'test'")
    await ends
    t.diagnostic(`a key that is revoked in SQL ends its publishers at both hubs after ${Math.round(performance.now() - began)} ms`)
    for (const { ws } of hubs) await assert.rejects(connect(t, `${ws}/ws/pub/${KEY}/test/more`), /403/)
  })

  test('the table that the documentation gives loads as it is, and is the one that a hub makes', async (t) => {
    const text = readFileSync(new URL('../../docs/reference/apikeys.sql', import.meta.url), 'utf8')
    assert.ok(text.endsWith(APIKEYS_TABLE))
    const database = await postgres.createDatabase()
    const client = new Client(database)
    await client.connect()
    t.after(() => client.end())
    await client.query(text)
    await client.query(/^-- {3}(INSERT .*)$/m.exec(text)?.[1] ?? 'none')
    const [row] = (await client.query<{ apikey: string }>('SELECT apikey FROM apikeys')).rows
    const { ws } = await startServer(t, { database })
    await connect(t, `${ws}/ws/pub/${row?.apikey}/test/prices`)
  })

  test(`a registration that one hub has answered is honoured by every notify that reaches the other, ${TIMES} times`, async (t) => {
    const database = await postgres.createDatabase()
    t.diagnostic(await registerAndNotify(t, [database, database], TIMES))
  })

  test('a hub outlives its database, and nothing that was answered is lost', async (t) => {
    t.diagnostic(await surviveOutage(t, { database: await postgres.createDatabase(), stop: () => postgres.kill(), start: () => postgres.restart() }))
  })

  test('what setup writes for PostgreSQL runs, and a registry moves there from SQLite and back', async (t) => {
    const [database, folder] = [await postgres.createDatabase(), temporaryFolder(t)]
    const [old, later] = [join(folder, 'old.db'), join(folder, 'later.db')]
    const command = async (name: keyof typeof COMMANDS, ...args: string[]): Promise<string> => {
      const { status, out, err } = await runCommand(COMMANDS[name], args, { cwd: folder })
      assert.equal(status, 0, err)
      return out
    }
    const key = (JSON.parse(await command('keys', 'add', '--domain', 'acme', '--username', 'me', '--json', '--database', old)) as { apikey: string }).apikey
    await command('registry', 'migrate', '--from', old, '--to', database)
    await command('setup', '--db', 'postgres', '--database', database, '--to-broadcasters-auth', 'none')
    const hub = waystation(t, ['serve', '--addr', '127.0.0.1:0'], { cwd: folder })
    await hub.says(/listens on/)
    await connect(t, `${/ws:\/\/\S+/.exec(hub.stdout().replace('http:', 'ws:'))?.[0]}/ws/pub/${key}/acme/prices`)
    await command('registry', 'migrate', '--from', database, '--to', later)
    assert.deepEqual(JSON.parse(await command('keys', 'list', '--json', '--database', later)), JSON.parse(await command('keys', 'list', '--json', '--database', old)))
  })
})
