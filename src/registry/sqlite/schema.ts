/**
 * The schema of the registry, in numbered steps: the nth migration makes version n out of version n - 1, and
 * `PRAGMA user_version` says how far a database has come. A step that was released is never edited; what is to change is
 * a new step at the end. `docs/reference/registry.md` says what others may rely on.
 *
 * Older SQLite must be able to read and write it too (3.37 of 2021, the first with STRICT).
 *
 * Triggers fill `changes`, so that what somebody does by hand with an SQL tool is noticed like what a hub does. The one
 * before an insert names a row that `INSERT OR REPLACE` takes away, for which SQLite calls no delete trigger; the one
 * after a delete clears `missed` for tools that leave foreign keys off, as the sqlite3 shell does.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE subscriptions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL CHECK (kind IN ('exact', 'glob')),
    target     BLOB NOT NULL,
    url        TEXT NOT NULL,
    recovery   TEXT,
    created_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER) * 1000),
    UNIQUE (target, kind, url)
  ) STRICT;
  CREATE INDEX subscriptions_by_url ON subscriptions (url);

  CREATE TABLE missed (
    subscription_id INTEGER PRIMARY KEY REFERENCES subscriptions ON DELETE CASCADE,
    topic           BLOB NOT NULL,
    attempts        INTEGER NOT NULL,
    due_at          INTEGER NOT NULL,
    lock            TEXT,
    locked_until    INTEGER
  ) STRICT;
  CREATE INDEX missed_by_due_at ON missed (due_at);

  CREATE TABLE signatures (
    code       BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX signatures_by_expires_at ON signatures (expires_at);

  CREATE TABLE changes (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription_id INTEGER NOT NULL
  ) STRICT;
  CREATE TRIGGER subscriptions_replaced BEFORE INSERT ON subscriptions BEGIN
    INSERT INTO changes (subscription_id)
      SELECT id FROM subscriptions WHERE target = NEW.target AND kind = NEW.kind AND url = NEW.url;
  END;
  CREATE TRIGGER subscriptions_inserted AFTER INSERT ON subscriptions BEGIN
    INSERT INTO changes (subscription_id) VALUES (NEW.id);
  END;
  CREATE TRIGGER subscriptions_updated AFTER UPDATE OF id, kind, target, url, recovery ON subscriptions BEGIN
    INSERT INTO changes (subscription_id) VALUES (OLD.id);
    INSERT INTO changes (subscription_id) SELECT NEW.id WHERE NEW.id <> OLD.id;
  END;
  CREATE TRIGGER subscriptions_deleted AFTER DELETE ON subscriptions BEGIN
    DELETE FROM missed WHERE subscription_id = OLD.id;
    INSERT INTO changes (subscription_id) VALUES (OLD.id);
  END;
  `,
  // Exact registrations are told first: without their kind in the index, each claim would sort all that is due.
  `
  ALTER TABLE missed ADD COLUMN kind TEXT NOT NULL DEFAULT 'exact';
  UPDATE missed SET kind = 'glob' WHERE subscription_id IN (SELECT id FROM subscriptions WHERE kind = 'glob');
  DROP INDEX missed_by_due_at;
  CREATE INDEX missed_by_kind_and_due_at ON missed (kind, due_at);
  CREATE TRIGGER subscriptions_kind_updated AFTER UPDATE OF kind ON subscriptions BEGIN
    UPDATE missed SET kind = NEW.kind WHERE subscription_id = NEW.id;
  END;
  `,
  // Which file of signatures belongs to this database, and since when.
  `
  CREATE TABLE signature_file (
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    id      TEXT NOT NULL,
    made_at INTEGER NOT NULL
  ) STRICT;
  `,
  // How hubs on this database know each other.
  `
  CREATE TABLE hub_secret (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    secret BLOB NOT NULL
  ) STRICT;
  `,
  // API keys: the columns of wspubsub, and a hash for keys that are ours. `key_changes` is filled like `changes`.
  `
  CREATE TABLE apikeys (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    domain        TEXT NOT NULL UNIQUE,
    username      TEXT NOT NULL,
    apikey        TEXT UNIQUE,
    insert_ts     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    active        INTEGER NOT NULL DEFAULT 0 CHECK (active IN (0, 1)),
    apikey_sha256 BLOB UNIQUE
  ) STRICT;

  CREATE TABLE key_changes (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    domain TEXT NOT NULL
  ) STRICT;
  CREATE TRIGGER apikeys_replaced BEFORE INSERT ON apikeys BEGIN
    INSERT INTO key_changes (domain)
      SELECT domain FROM apikeys WHERE domain = NEW.domain OR apikey = NEW.apikey OR apikey_sha256 = NEW.apikey_sha256;
  END;
  CREATE TRIGGER apikeys_replaced_by_update BEFORE UPDATE ON apikeys BEGIN
    INSERT INTO key_changes (domain)
      SELECT domain FROM apikeys WHERE id <> OLD.id AND (domain = NEW.domain OR apikey = NEW.apikey OR apikey_sha256 = NEW.apikey_sha256);
  END;
  CREATE TRIGGER apikeys_inserted AFTER INSERT ON apikeys BEGIN
    INSERT INTO key_changes (domain) VALUES (NEW.domain);
  END;
  CREATE TRIGGER apikeys_updated AFTER UPDATE ON apikeys BEGIN
    INSERT INTO key_changes (domain) VALUES (OLD.domain);
    INSERT INTO key_changes (domain) SELECT NEW.domain WHERE NEW.domain <> OLD.domain;
  END;
  CREATE TRIGGER apikeys_deleted AFTER DELETE ON apikeys BEGIN
    INSERT INTO key_changes (domain) VALUES (OLD.domain);
  END;
  `,
]

/** What of it the signatures of a database in memory need. */
export const SIGNATURE_TABLES = `
  CREATE TABLE signatures (
    code       BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE signature_file (
    only    INTEGER PRIMARY KEY,
    id      TEXT NOT NULL,
    made_at INTEGER NOT NULL
  ) STRICT;
`

/** The schema of the file of signatures, in steps as above. */
export const SIGNATURE_MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE signatures (
    code       BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE about (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    id    TEXT NOT NULL,
    since INTEGER
  ) STRICT;
  `,
]
