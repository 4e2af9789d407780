-- One table of envelopes. `cursor` is AUTOINCREMENT so that a number once given out never comes back (RLY-24).
CREATE TABLE envelope (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT,
    tag BLOB NOT NULL,
    id BLOB NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX envelope_by_id ON envelope (tag, id);
CREATE INDEX envelope_by_tag ON envelope (tag);
CREATE INDEX envelope_by_expiry ON envelope (expires_at_ms);

CREATE TABLE door (
    path BLOB PRIMARY KEY,
    proof_hash BLOB NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    card BLOB NOT NULL
) STRICT;

PRAGMA user_version = 1;
