-- The table of API keys for an empty PostgreSQL database: that of wspubsub, with a place for the hash of a key.
-- A hub makes it by itself where it may. Keys by hand: state "active", which is false when it is left out.
--   INSERT INTO apikeys (domain, username, apikey, active) VALUES ('test', 'hello@world.com', gen_random_uuid(), true);

CREATE SEQUENCE apikeys_id_seq AS integer;
CREATE TABLE apikeys (
  id            integer PRIMARY KEY DEFAULT nextval('apikeys_id_seq'),
  domain        varchar(64) NOT NULL UNIQUE,
  username      varchar(254) NOT NULL,
  apikey        varchar(36) UNIQUE,
  insert_ts     timestamp NOT NULL DEFAULT now(),
  active        boolean NOT NULL DEFAULT false,
  apikey_sha256 bytea UNIQUE
);
ALTER SEQUENCE apikeys_id_seq OWNED BY apikeys.id;
