/** The names of the registry's tables. rqlite has one database for all that use the cluster, so ours say whose they are. */
export interface Tables {
  readonly prefix: string
  readonly schema: string
  readonly batches: string
  readonly subscriptions: string
  readonly missed: string
  readonly signatures: string
  readonly hubSecret: string
  readonly changes: string
  readonly apikeys: string
  readonly keyChanges: string
}

/** @throws {RangeError} when the prefix is not of letters, digits and `_` */
export function tablesOf(prefix: string): Tables {
  if (!/^(?:[A-Za-z_][A-Za-z0-9_]{0,62})?$/.test(prefix)) throw new RangeError('a prefix of tables is of letters, digits and _')
  const ours = `${prefix}waystation_`
  return {
    prefix: ours,
    schema: `${ours}schema`,
    batches: `${ours}batches`,
    subscriptions: `${ours}subscriptions`,
    missed: `${ours}missed`,
    signatures: `${ours}signatures`,
    hubSecret: `${ours}hub_secret`,
    changes: `${ours}changes`,
    apikeys: `${prefix}apikeys`,
    keyChanges: `${ours}key_changes`,
  }
}

/**
 * The schema in numbered steps, each a list of statements that are one transaction: the nth makes version n out of
 * version n - 1. A step that was released is never edited; what is to change is a new step at the end.
 *
 * As on SQLite, but: no default is a clock, which each node would read for itself; and foreign keys are off in rqlite
 * unless a flag says otherwise, so a trigger clears `missed`. The trigger before an insert names what
 * `INSERT OR REPLACE` takes away.
 */
export function migrationsOf(t: Tables): readonly (readonly string[])[] {
  return [[
    `CREATE TABLE ${t.batches} (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      id  TEXT NOT NULL UNIQUE
    ) STRICT`,
    `CREATE TABLE ${t.subscriptions} (
      id         INTEGER PRIMARY KEY AUTOINCREMENT,
      kind       TEXT NOT NULL CHECK (kind IN ('exact', 'glob')),
      target     BLOB NOT NULL,
      url        TEXT NOT NULL,
      recovery   TEXT,
      created_at INTEGER NOT NULL DEFAULT 0,
      UNIQUE (target, kind, url)
    ) STRICT`,
    `CREATE INDEX ${t.subscriptions}_by_url ON ${t.subscriptions} (url)`,
    `CREATE TABLE ${t.missed} (
      subscription_id INTEGER PRIMARY KEY,
      kind            TEXT NOT NULL,
      topic           BLOB NOT NULL,
      attempts        INTEGER NOT NULL,
      due_at          INTEGER NOT NULL,
      lock            TEXT,
      locked_until    INTEGER
    ) STRICT`,
    `CREATE INDEX ${t.missed}_by_kind_and_due_at ON ${t.missed} (kind, due_at)`,
    `CREATE INDEX ${t.missed}_by_lock ON ${t.missed} (lock) WHERE lock IS NOT NULL`,
    `CREATE TABLE ${t.signatures} (
      code       BLOB PRIMARY KEY,
      expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID`,
    `CREATE INDEX ${t.signatures}_by_expires_at ON ${t.signatures} (expires_at)`,
    `CREATE TABLE ${t.hubSecret} (
      only   INTEGER PRIMARY KEY CHECK (only = 1),
      secret BLOB NOT NULL
    ) STRICT`,
    `CREATE TABLE ${t.changes} (
      seq             INTEGER PRIMARY KEY AUTOINCREMENT,
      subscription_id INTEGER NOT NULL
    ) STRICT`,
    `CREATE TRIGGER ${t.subscriptions}_replaced BEFORE INSERT ON ${t.subscriptions} BEGIN
      INSERT INTO ${t.changes} (subscription_id)
        SELECT id FROM ${t.subscriptions} WHERE target = NEW.target AND kind = NEW.kind AND url = NEW.url;
    END`,
    `CREATE TRIGGER ${t.subscriptions}_inserted AFTER INSERT ON ${t.subscriptions} BEGIN
      INSERT INTO ${t.changes} (subscription_id) VALUES (NEW.id);
    END`,
    `CREATE TRIGGER ${t.subscriptions}_updated AFTER UPDATE OF id, kind, target, url, recovery ON ${t.subscriptions} BEGIN
      UPDATE ${t.missed} SET kind = NEW.kind WHERE subscription_id = NEW.id AND kind <> NEW.kind;
      INSERT INTO ${t.changes} (subscription_id) VALUES (OLD.id);
      INSERT INTO ${t.changes} (subscription_id) SELECT NEW.id WHERE NEW.id <> OLD.id;
    END`,
    `CREATE TRIGGER ${t.subscriptions}_deleted AFTER DELETE ON ${t.subscriptions} BEGIN
      DELETE FROM ${t.missed} WHERE subscription_id = OLD.id;
      INSERT INTO ${t.changes} (subscription_id) VALUES (OLD.id);
    END`,
    `CREATE TABLE ${t.apikeys} (
      id            INTEGER PRIMARY KEY AUTOINCREMENT,
      domain        VARCHAR(64) NOT NULL UNIQUE,
      username      VARCHAR(254) NOT NULL,
      apikey        VARCHAR(36) UNIQUE,
      insert_ts     TIMESTAMP NOT NULL DEFAULT '1970-01-01 00:00:00',
      active        BOOLEAN NOT NULL DEFAULT FALSE,
      apikey_sha256 BLOB UNIQUE
    )`,
    `CREATE TABLE ${t.keyChanges} (
      seq    INTEGER PRIMARY KEY AUTOINCREMENT,
      domain TEXT NOT NULL
    ) STRICT`,
    `CREATE TRIGGER ${t.keyChanges}_replaced BEFORE INSERT ON ${t.apikeys} BEGIN
      INSERT INTO ${t.keyChanges} (domain)
        SELECT domain FROM ${t.apikeys} WHERE domain = NEW.domain OR apikey = NEW.apikey OR apikey_sha256 = NEW.apikey_sha256;
    END`,
    `CREATE TRIGGER ${t.keyChanges}_replaced_by_update BEFORE UPDATE ON ${t.apikeys} BEGIN
      INSERT INTO ${t.keyChanges} (domain)
        SELECT domain FROM ${t.apikeys} WHERE id <> OLD.id AND (domain = NEW.domain OR apikey = NEW.apikey OR apikey_sha256 = NEW.apikey_sha256);
    END`,
    `CREATE TRIGGER ${t.keyChanges}_inserted AFTER INSERT ON ${t.apikeys} BEGIN
      INSERT INTO ${t.keyChanges} (domain) VALUES (NEW.domain);
    END`,
    `CREATE TRIGGER ${t.keyChanges}_updated AFTER UPDATE ON ${t.apikeys} BEGIN
      INSERT INTO ${t.keyChanges} (domain) VALUES (OLD.domain);
      INSERT INTO ${t.keyChanges} (domain) SELECT NEW.domain WHERE NEW.domain <> OLD.domain;
    END`,
    `CREATE TRIGGER ${t.keyChanges}_deleted AFTER DELETE ON ${t.apikeys} BEGIN
      INSERT INTO ${t.keyChanges} (domain) VALUES (OLD.domain);
    END`,
  ]]
}
