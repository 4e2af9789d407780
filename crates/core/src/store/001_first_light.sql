-- Schema 1 (First light). Ids are raw bytes, times Unix milliseconds. One writer (core's thread), many readers.

-- The account on this device: one row.
CREATE TABLE account(
  one          INTEGER PRIMARY KEY CHECK (one = 1),
  account      BLOB NOT NULL,            -- account_id, 32
  ed25519      BLOB NOT NULL,            -- the account's public key, 32
  mldsa_hash   BLOB NOT NULL,            -- SHA-256 of its ML-DSA-65 key
  seed         BLOB,                     -- root seed, 32: this device is the account's home; NULL: it was linked (ACC-6)
  name         TEXT NOT NULL,
  device       BLOB NOT NULL,            -- device id, 8
  device_key   BLOB NOT NULL,            -- device Ed25519 seed, 32
  device_log   BLOB NOT NULL,            -- encoded device log (DEV-*)
  restored     INTEGER NOT NULL,
  hlc          INTEGER NOT NULL DEFAULT 0, -- newest hybrid clock value seen or given
  generation   INTEGER NOT NULL DEFAULT 0, -- of the newest capsule known (CAP-4)
  revoked      INTEGER NOT NULL DEFAULT 0, -- the account lives on another device (CAP-5)
  created_at   INTEGER NOT NULL
) STRICT;

-- When the account's capsule is put next, and what it held last: one row (CAP-4).
CREATE TABLE capsule(
  one          INTEGER PRIMARY KEY CHECK (one = 1),
  changed      INTEGER NOT NULL DEFAULT 0, -- something that stands in it may have changed
  due_at       INTEGER,                  -- device clock
  put_at       INTEGER NOT NULL DEFAULT -9000000000000000, -- last one put, device clock
  day_from     INTEGER NOT NULL DEFAULT -9000000000000000, -- since then the puts are counted, device clock
  puts         INTEGER NOT NULL DEFAULT 0,
  hash         BLOB,                     -- SHA-256 of what the last one held
  hides        INTEGER NOT NULL DEFAULT 0 -- mine would hide another one of this account: none is put
) STRICT;
INSERT INTO capsule(one) VALUES (1);

-- An account that comes back from its words: one row (CAP-6).
CREATE TABLE restore(
  one          INTEGER PRIMARY KEY CHECK (one = 1),
  state        INTEGER NOT NULL,         -- 0 looking, 1 found, 2 given up, 3 nobody lives behind the door
  door         TEXT,                     -- invitation whose card names a relay, until it is known
  knock        BLOB,                     -- 16: name of the question
  found        BLOB,                     -- capsule that waits to be taken
  generation   INTEGER NOT NULL DEFAULT 0, -- of the newest one found
  due_at       INTEGER,                  -- when it is taken, device clock
  made_at      INTEGER,                  -- of the one taken
  left_out     INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Interface settings and other single values.
CREATE TABLE setting(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE relay(
  relay        BLOB PRIMARY KEY,         -- RelayId, 16
  address      TEXT NOT NULL,            -- host:port
  secret       BLOB,                     -- access secret, 16; NULL: open
  key          BLOB,                     -- static keys, 1216; NULL: fetched on first use
  own          INTEGER NOT NULL,         -- given by the user; else lent by a contact's card
  lan          INTEGER NOT NULL DEFAULT 0,
  chosen       INTEGER NOT NULL DEFAULT 0, -- named by the person: a route, or an invitation that was taken up (DRP-19)
  private      INTEGER NOT NULL DEFAULT 0, -- own: named to contacts alone, one each (REL-5)
  dealt        INTEGER NOT NULL DEFAULT 0, -- a public invitation gave it: whoever read that knows it too (PUB-5)
  brought      INTEGER NOT NULL DEFAULT 0, -- somebody else brought it into a conversation: named nowhere else (REL-2)
  removed      INTEGER NOT NULL DEFAULT 0, -- the person took it back: own no more (REL-3)
  fresh        INTEGER NOT NULL DEFAULT 1, -- has not greeted since the person added it: nobody is told of it (REL-4)
  near         INTEGER NOT NULL DEFAULT 0, -- 0 none of these, 1 a contact's near relay, 2 this device's own; its address is `near:`, or where mine runs at the moment
  watch        BLOB,                     -- an envelope of mine in a mailbox that I read there: the first 16 bytes of its id
  watch_at     INTEGER,                  -- since when it should have come back, device clock
  watch_next   INTEGER NOT NULL DEFAULT 0, -- device clock: the next one is watched from then on
  gone         INTEGER NOT NULL DEFAULT 0, -- its connection was lost, and it has not greeted since
  gone_at      INTEGER,                  -- since when, or since the program's start, slot clock
  answered_at  INTEGER,                  -- when it was connected last, as far as is known, slot clock
  withheld     INTEGER NOT NULL DEFAULT 0, -- watched ones that it called stored and did not give, one after the other
  offset_ms    INTEGER,                  -- relay clock minus device clock at the last greeting
  clock        INTEGER,                  -- relay clock at the last greeting
  greeted_at   INTEGER,                  -- slot clock then
  away_from    INTEGER,                  -- the last greeting before this device was away for more than a day, slot clock
  back_at      INTEGER,                  -- the first one after that
  added_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX relay_near ON relay(near, gone);
-- Further addresses of a relay (REL-7).
CREATE TABLE relay_way(
  relay        BLOB NOT NULL REFERENCES relay(relay) ON DELETE CASCADE,
  address      TEXT NOT NULL,
  by           BLOB,                     -- the account that said it; NULL: given by the person
  said_at      INTEGER NOT NULL,         -- slot clock
  refused      INTEGER NOT NULL DEFAULT 0, -- the person gave it up: no way, and not heard again
  PRIMARY KEY(relay, address)
) STRICT, WITHOUT ROWID;

CREATE TABLE contact(
  account      BLOB PRIMARY KEY,         -- account_id, 32
  own_name     TEXT NOT NULL,
  alias        TEXT,
  ed25519      BLOB NOT NULL,
  mldsa_hash   BLOB NOT NULL,
  device_log   BLOB NOT NULL,
  verified     INTEGER NOT NULL DEFAULT 0,
  blocked      INTEGER NOT NULL DEFAULT 0, -- nothing of theirs is shown or answered (BLK-1)
  noticed      INTEGER NOT NULL DEFAULT 0, -- what to look at in somebody new was read (FST-1)
  heard_at     INTEGER,
  added_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE chat(
  id           INTEGER PRIMARY KEY,
  contact      BLOB UNIQUE REFERENCES contact(account), -- NULL: a group, or saved messages
  saved        INTEGER NOT NULL DEFAULT 0, -- saved messages: a chat with oneself
  name         TEXT,                     -- of a group, as its head says
  hidden       INTEGER NOT NULL,         -- a claim that waits for approval here
  waiting      INTEGER NOT NULL,         -- the other side has not approved yet
  read_to      INTEGER NOT NULL,         -- position up to which it was read here
  unread       INTEGER NOT NULL DEFAULT 0,
  draft        TEXT,
  active_at    INTEGER NOT NULL,
  own          INTEGER NOT NULL DEFAULT 0 -- with another device of this account: in no list (OWN-1)
) STRICT;
CREATE UNIQUE INDEX chat_saved ON chat(saved) WHERE saved = 1;
CREATE INDEX chat_by_activity ON chat(hidden, active_at DESC);

-- Contacts of an account that came back, who have not answered yet (RCH-2).
CREATE TABLE coming_back(
  account      BLOB PRIMARY KEY REFERENCES contact(account) ON DELETE CASCADE,
  chat         INTEGER NOT NULL,
  reach        BLOB NOT NULL,            -- 32
  log_count    INTEGER NOT NULL,         -- of the device log that the capsule knew
  log_hash     BLOB NOT NULL,
  package      BLOB NOT NULL,            -- key package asked with
  signer       BLOB NOT NULL,            -- Ed25519 seed of its leaf
  request      BLOB NOT NULL,            -- SHA-256 of what was asked
  content      BLOB NOT NULL,            -- what was asked
  asked_at     INTEGER NOT NULL          -- last, device clock
) STRICT, WITHOUT ROWID;
-- Requests of contacts that came back, and what they were answered (RCH-3).
CREATE TABLE reach_answer(
  account      BLOB PRIMARY KEY REFERENCES contact(account) ON DELETE CASCADE,
  request      BLOB NOT NULL,            -- SHA-256 of it
  content      BLOB NOT NULL             -- the answer
) STRICT, WITHOUT ROWID;
-- Groups that the capsule knew, until somebody brings this account back into them (RCH-6).
CREATE TABLE lost_group(
  group_id     BLOB PRIMARY KEY,
  chat         INTEGER NOT NULL UNIQUE REFERENCES chat(id) ON DELETE CASCADE,
  state        BLOB NOT NULL             -- as the capsule has it
) STRICT, WITHOUT ROWID;

-- Who is in a group by its head, and who was: names of senders come from here where they are no contacts.
CREATE TABLE seat(
  chat         INTEGER NOT NULL REFERENCES chat(id) ON DELETE CASCADE,
  account      BLOB NOT NULL,
  name         TEXT NOT NULL,
  role         INTEGER NOT NULL,         -- 0 owner, 1 admin, 2 moderator, 3 member, 4 reader
  place        INTEGER,                  -- authority: 0 is the highest; NULL: not a member
  heard_at     INTEGER NOT NULL DEFAULT 0, -- of an owner: when it was heard here last, slot clock
  PRIMARY KEY(chat, account)
) STRICT, WITHOUT ROWID;

-- Key packages that contacts keep to add me to groups with, and theirs that I keep.
CREATE TABLE supply(
  package      BLOB PRIMARY KEY,         -- encoded
  account      BLOB NOT NULL REFERENCES contact(account) ON DELETE CASCADE,
  mine         INTEGER NOT NULL,         -- 1: they have it; 0: I have it
  last_resort  INTEGER NOT NULL,
  signer       BLOB,                     -- mine: Ed25519 seed of its leaf
  public       BLOB,                     -- mine: that leaf's public key
  made_at      INTEGER NOT NULL,         -- when it was made, or came, slot clock
  retired_at   INTEGER                   -- mine, of last resort: when another one took its place, slot clock
) STRICT, WITHOUT ROWID;
CREATE INDEX supply_of ON supply(account, mine);
CREATE INDEX supply_mine ON supply(made_at) WHERE mine = 1 AND last_resort = 1;

-- One MLS group. A chat has two where both invited each other: it writes to the smaller group id and reads both.
CREATE TABLE conversation(
  group_id     BLOB PRIMARY KEY,
  chat         INTEGER NOT NULL REFERENCES chat(id) ON DELETE CASCADE,
  root         BLOB NOT NULL,            -- epoch_id that the canonical branch is looked for from
  head         BLOB NOT NULL,            -- epoch_id written to: the end of the canonical branch
  leaf         INTEGER NOT NULL,         -- own leaf index
  seq          INTEGER NOT NULL,         -- last seq of own durable messages
  signer       BLOB NOT NULL,            -- own leaf's Ed25519 seed, 32
  reach        BLOB,                     -- of a conversation of two: how to find each other again, 32 (RCH-1)
  waiting      INTEGER NOT NULL,         -- the other side has not approved yet
  grouped      INTEGER NOT NULL DEFAULT 0, -- it has a state of its own: a group
  own          INTEGER NOT NULL DEFAULT 0, -- with another device of this account (OWN-1)
  shared       INTEGER NOT NULL DEFAULT 0, -- some account has, or had, several leaves
  welcome_number INTEGER NOT NULL DEFAULT 0, -- of the Welcome from another device of mine that led here (OWN-3)
  accounts     INTEGER NOT NULL DEFAULT 2, -- of the head
  gone         INTEGER NOT NULL DEFAULT 0, -- I am in the head no more
  leaving      INTEGER NOT NULL DEFAULT 0, -- I have said that I leave
  receipt_due  INTEGER,                  -- a standalone receipt leaves then, device clock
  receipt_quiet INTEGER NOT NULL DEFAULT 0, -- what is due answers only what shows nothing
  receipt_at   INTEGER NOT NULL DEFAULT -9000000000000000, -- last standalone receipt, device clock
  relays_due   INTEGER,                  -- what relays I bring is looked at then, device clock (REL-4)
  near_told    BLOB,                     -- the near relay of mine that those who are in it were told of (LAN-4)
  near_told_in BLOB,                     -- the head then: who came later has not heard of it
  read_told    BLOB,                     -- message id up to which "read" was told
  own_read_due INTEGER,                  -- my other devices hear then what was read here, device clock (OWN-10)
  read_awaited BLOB,                     -- message id up to which another device of mine has read; it is not here yet
  renew_at     INTEGER NOT NULL,         -- next self-update, device clock
  renew_lost   INTEGER NOT NULL DEFAULT 0, -- a self-update of mine lost to a fork: the next one before I write
  commit_at    INTEGER NOT NULL DEFAULT -9000000000000000, -- last commit made or taken in, device clock
  heard_at     INTEGER NOT NULL DEFAULT 0, -- of a group: when somebody was heard there, slot clock
  silent       INTEGER NOT NULL DEFAULT 0, -- of a group: 0 somebody was heard lately, 1 nobody was, n + 1 and n times asked to be added again
  ask_at       INTEGER NOT NULL DEFAULT 0, -- then: when to ask next, device clock
  again_at     INTEGER,                  -- of a group: when what commits did that lost is done again, device clock (FORK-7)
  want_at      INTEGER NOT NULL DEFAULT -9000000000000000, -- last want list of mine, device clock
  answer_hour  INTEGER NOT NULL DEFAULT 0, -- hours since 1970, device clock
  answers      INTEGER NOT NULL DEFAULT 0, -- answers to want lists of others in that hour
  created_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX conversation_by_chat ON conversation(chat);
CREATE INDEX conversation_renew ON conversation(renew_at);
CREATE INDEX conversation_again ON conversation(again_at) WHERE again_at IS NOT NULL;
CREATE INDEX conversation_silent ON conversation(ask_at) WHERE silent > 0;
CREATE INDEX conversation_relays_due ON conversation(relays_due) WHERE relays_due IS NOT NULL;
CREATE INDEX conversation_due ON conversation(receipt_due) WHERE receipt_due IS NOT NULL;
CREATE INDEX conversation_own_read ON conversation(own_read_due) WHERE own_read_due IS NOT NULL;

CREATE TABLE conversation_relay(
  group_id     BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  relay        BLOB NOT NULL REFERENCES relay(relay),
  by           BLOB,                     -- the account that brought it (REL-1); NULL: named at the beginning
  taken_at     INTEGER,                  -- taken back then, slot clock: read, and put to no more (REL-3)
  moved        INTEGER NOT NULL DEFAULT 0, -- mine: where it is now has not been said here (REL-7)
  heard        INTEGER NOT NULL DEFAULT 0, -- when something of somebody else's came here last: ten minutes since 1970, device clock (OUT-3)
  PRIMARY KEY(group_id, relay)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversation_relay_taken ON conversation_relay(taken_at) WHERE taken_at IS NOT NULL;
-- The last word of each account on what it brings.
CREATE TABLE relays_said(
  group_id     BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  account      BLOB NOT NULL,
  number       INTEGER NOT NULL,
  PRIMARY KEY(group_id, account)
) STRICT, WITHOUT ROWID;
-- Private relays of mine, and who was dealt which (REL-5).
CREATE TABLE entrance(
  contact      BLOB NOT NULL REFERENCES contact(account) ON DELETE CASCADE,
  relay        BLOB NOT NULL,
  dealt_at     INTEGER NOT NULL,         -- slot clock
  past         INTEGER NOT NULL DEFAULT 0, -- another one was dealt since
  PRIMARY KEY(contact, relay)
) STRICT, WITHOUT ROWID;
CREATE INDEX entrance_by_relay ON entrance(relay);

-- Other devices of this account: those linked here, or the home device. One that I do not talk to has no conversation.
CREATE TABLE own_device(
  device       BLOB PRIMARY KEY,         -- device id, 8
  name         TEXT NOT NULL,
  group_id     BLOB                      -- the conversation with it (OWN-1)
) STRICT, WITHOUT ROWID;
-- Key packages between own devices: mine that another one has, and another's that I have (OWN-2).
CREATE TABLE own_supply(
  package      BLOB PRIMARY KEY,
  device       BLOB NOT NULL,
  mine         INTEGER NOT NULL,
  signer       BLOB,                     -- mine: Ed25519 seed of its leaf
  public       BLOB                      -- mine: that leaf's public key
) STRICT, WITHOUT ROWID;
CREATE INDEX own_supply_of ON own_supply(device, mine);
-- Other devices of mine that cannot follow a conversation: each gets another leaf there (OWN-11).
CREATE TABLE own_behind(
  group_id     BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  device       BLOB NOT NULL,
  leaf         BLOB NOT NULL,            -- public key of the leaf that cannot follow
  asked_at     INTEGER NOT NULL,         -- device clock
  PRIMARY KEY(group_id, device)
) STRICT, WITHOUT ROWID;
-- Conversations that may lack a leaf of one of my devices, or have one of a revoked one (OWN-4).
CREATE TABLE spread(
  group_id     BLOB PRIMARY KEY REFERENCES conversation(group_id) ON DELETE CASCADE,
  due_at       INTEGER                   -- device clock; NULL: waits for key packages, or for the head to move
) STRICT, WITHOUT ROWID;
CREATE INDEX spread_due ON spread(due_at) WHERE due_at IS NOT NULL;
-- The link that this home device has given out last (LNK-1).
CREATE TABLE device_link(
  one          INTEGER PRIMARY KEY CHECK (one = 1),
  id           BLOB NOT NULL,            -- 16
  link         TEXT NOT NULL,
  secret       BLOB NOT NULL,            -- 20
  relay        BLOB NOT NULL,
  expires_at   INTEGER NOT NULL,         -- slot clock
  state        INTEGER NOT NULL,         -- 0 open, 1 asked, 2 granted, 3 done, 4 closed, 5 expired
  request      BLOB,                     -- SHA-256 of the one that came
  device_key   BLOB,                     -- its Ed25519 key
  seal_key     BLOB,
  name         TEXT NOT NULL DEFAULT '',
  nonce        BLOB,
  wrong        INTEGER NOT NULL DEFAULT 0, -- numbers typed that were not its
  signer       BLOB,                     -- of the key package in the grant
  home_name    TEXT NOT NULL
) STRICT;
-- This device asks to be linked, or was (LNK-2).
CREATE TABLE linking(
  one          INTEGER PRIMARY KEY CHECK (one = 1),
  id           BLOB NOT NULL,
  link         TEXT NOT NULL,
  name         TEXT NOT NULL,
  device_key   BLOB,                     -- Ed25519 seed; deleted when the account is here
  seal_private BLOB,                     -- deleted when the grant has come
  request      BLOB NOT NULL,            -- SHA-256 of what was asked
  ed25519      BLOB,                     -- of the account, once it answered
  mldsa_hash   BLOB,
  number       TEXT,                     -- to be typed on the home device
  state        INTEGER NOT NULL          -- 0 asked, 1 the number is shown, 2 linked
) STRICT;

-- The tree of epochs. An epoch is retained as long as it has keys: its exports here, its rows in epoch_row.
CREATE TABLE epoch(
  epoch_id     BLOB PRIMARY KEY,
  group_id     BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  parent       BLOB,                     -- NULL: founded or joined here
  commit_hash  BLOB,                     -- SHA-256 of the commit that made it
  author       BLOB,                     -- account of the committer; where it was joined here: of whoever added me
  leaf         INTEGER,                  -- leaf of the committer
  class        INTEGER,                  -- 0 removal or demotion, 1 other admin commit, 2 self-update
  rank         INTEGER,                  -- committer's authority in the parent: 0 is the highest
  unseats      BLOB NOT NULL DEFAULT x'', -- accounts removed or demoted by the commit, 32 bytes each
  leaf_key     BLOB,                     -- beginning of the committer's leaf key, 8
  ousts        BLOB NOT NULL DEFAULT x'', -- leaves of revoked devices that it takes out: beginnings of their keys, 8 each (DEV-4)
  log_length   INTEGER,                  -- of a commit about its author's leaves: entries of the device log that it brought (DEV-4)
  members      BLOB NOT NULL,            -- of this epoch: leaf 4 | account 32 | beginning of the leaf's key 8 each
  state        BLOB,                     -- of a group: its state, encoded
  made_at      INTEGER NOT NULL,         -- slot clock, when it became known here
  number       INTEGER NOT NULL,         -- epochs of this device in the order they became known
  left_at      INTEGER,                  -- when a relay first told the time while it was not the head
  far          INTEGER NOT NULL DEFAULT 0, -- it takes commits only (EPO-10)
  lost         INTEGER NOT NULL DEFAULT 0, -- the head has left it: what its commit did waits to be done again (FORK-7)
  placed       INTEGER NOT NULL DEFAULT 1, -- joined here; it is said that the commit that added me does not count: 0, that it does: 2 (GRP-24)
  placed_by    BLOB,                     -- by whom, where that is not whoever added me
  mailbox_root BLOB,                     -- NULL: closed
  envelope_key BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX epoch_by_group ON epoch(group_id);
CREATE INDEX epoch_by_parent ON epoch(parent);
CREATE INDEX epoch_lost ON epoch(group_id) WHERE lost = 1;

-- In which epochs an account has written, and its newest durable message: what forks are decided by.
CREATE TABLE wrote(
  group_id     BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  epoch_id     BLOB NOT NULL,
  account      BLOB NOT NULL,
  seq          INTEGER NOT NULL,         -- newest one there
  PRIMARY KEY(group_id, epoch_id, account)
) STRICT, WITHOUT ROWID;

-- Up to where the messages of somebody unseated count, by the commit that unseats them (GRP-6).
CREATE TABLE cut(
  id           INTEGER PRIMARY KEY,
  group_id     BLOB NOT NULL,
  epoch_id     BLOB NOT NULL REFERENCES epoch(epoch_id) ON DELETE CASCADE, -- that the commit makes
  account      BLOB NOT NULL,
  leaf         BLOB NOT NULL DEFAULT x'', -- beginning of one leaf's key; empty: the whole account
  said         BLOB NOT NULL,            -- the last messages that the commit's author had seen: beginnings of their ids, 8 each
  UNIQUE(group_id, account, leaf, epoch_id)
) STRICT;
CREATE INDEX cut_by_epoch ON cut(epoch_id);
-- Messages that are neither named by a cut nor before one that it names, as far as is known here.
CREATE TABLE after_cut(
  cut          INTEGER NOT NULL REFERENCES cut(id) ON DELETE CASCADE,
  message      BLOB NOT NULL,            -- message id
  PRIMARY KEY(cut, message)
) STRICT, WITHOUT ROWID;

-- Members who said that they leave, until somebody's commit removes them.
CREATE TABLE leaving(
  group_id     BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  account      BLOB NOT NULL,
  signature    BLOB NOT NULL,
  key          BLOB NOT NULL,            -- beginning of the public key of the leaf that signed
  PRIMARY KEY(group_id, account)
) STRICT, WITHOUT ROWID;

-- Who agrees that somebody becomes an owner of a group (GRP-19).
CREATE TABLE consent(
  group_id     BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  account      BLOB NOT NULL,
  candidate    BLOB NOT NULL,
  number       INTEGER NOT NULL,         -- in MLS, of the epoch it was given in
  signature    BLOB NOT NULL,
  PRIMARY KEY(group_id, account)
) STRICT, WITHOUT ROWID;

-- What a group is shown with, as its head names it (GRP-20).
CREATE TABLE picture(
  chat         INTEGER PRIMARY KEY REFERENCES chat(id) ON DELETE CASCADE,
  hash         BLOB NOT NULL,            -- SHA-256, as the state has it
  bytes        BLOB NOT NULL             -- JPEG
) STRICT;

-- Commits of mine that are on their way, and who has been heard in the epoch they make or beyond.
CREATE TABLE commit_heard(
  epoch_id     BLOB NOT NULL REFERENCES epoch(epoch_id) ON DELETE CASCADE,
  account      BLOB NOT NULL,
  PRIMARY KEY(epoch_id, account)
) STRICT, WITHOUT ROWID;

-- OpenMLS state: rows of epoch objects (group, object = epoch_id, key), and loose rows of no group.
CREATE TABLE epoch_row(
  group_id BLOB NOT NULL, object BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY(group_id, object, key)
) STRICT, WITHOUT ROWID;
-- Pieces of the groups' trees, which the rows of an epoch name by their numbers (MLS-11). Public: every member has them.
CREATE TABLE tree_piece(
  id       INTEGER PRIMARY KEY,
  group_id BLOB NOT NULL,
  hash     BLOB NOT NULL,                -- SHA-256 of the bytes
  bytes    BLOB NOT NULL,
  UNIQUE(group_id, hash)
) STRICT;
CREATE TABLE loose_row(key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Tags that are read, and how far.
CREATE TABLE listening(
  tag          BLOB NOT NULL,
  relay        BLOB NOT NULL,
  purpose      INTEGER NOT NULL,         -- 0 app lane, 1 claims of an invite, 2 answer to a claim, 3 commit lane, 4 capsule, 5 requests of a contact that came back, 6 answer to mine, 7 what Welcomes have in common, 20 to 23 linking a device
  about        BLOB NOT NULL,            -- epoch_id, invite id, acceptance id, "capsule", group id, account
  slot         INTEGER NOT NULL,         -- week; 0 where there is none
  cursor       INTEGER NOT NULL,         -- last one taken in; 0: none
  k            INTEGER NOT NULL DEFAULT 0, -- of a lane: how many mailboxes before this one may be full (MBX-6)
  got          INTEGER NOT NULL DEFAULT 0, -- bytes that came out of it
  PRIMARY KEY(tag, relay)
) STRICT, WITHOUT ROWID;
CREATE INDEX listening_by_about ON listening(about);
-- Lanes whose mailbox is full, or may be (MBX-6).
CREATE TABLE overflow(
  epoch_id     BLOB NOT NULL,
  lane         INTEGER NOT NULL,         -- 0 app, 1 commit
  slot         INTEGER NOT NULL,         -- week; 0 in the commit lane
  writes       INTEGER NOT NULL,         -- k that is put into
  reads        INTEGER NOT NULL,         -- highest k that is read
  PRIMARY KEY(epoch_id, lane, slot)
) STRICT, WITHOUT ROWID;

-- Envelopes taken in or made here: the same one comes back from several relays.
CREATE TABLE envelope_seen(id BLOB PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Parts of contents that need several envelopes, until all are here.
CREATE TABLE part(
  tag BLOB NOT NULL, hash BLOB NOT NULL, number INTEGER NOT NULL, count INTEGER NOT NULL, bytes BLOB NOT NULL,
  PRIMARY KEY(tag, hash, number)
) STRICT;

CREATE TABLE message(
  rowid        INTEGER PRIMARY KEY,
  id           BLOB NOT NULL UNIQUE,     -- 16
  chat         INTEGER REFERENCES chat(id) ON DELETE CASCADE, -- NULL: nothing to show (key packages, Welcomes)
  position     INTEGER NOT NULL,         -- order shown: (hlc - 2025-01-01) * 4096 + tie
  group_id     BLOB NOT NULL,
  epoch_id     BLOB NOT NULL,
  leaf         INTEGER NOT NULL,
  came_epoch   BLOB,                     -- where and under which leaf it was encrypted again, if it came so (MSG-8)
  came_leaf    INTEGER,
  seq          INTEGER NOT NULL,         -- 0: a line by the app
  hlc          INTEGER NOT NULL,
  sender       BLOB NOT NULL,            -- account_id
  mine         INTEGER NOT NULL,
  kind         INTEGER NOT NULL,         -- 0 text, 1 unknown, 2 began, 3 deleted, 4 nothing to show, 5 a new device, 6 timer, 10 an introduction
  text         TEXT NOT NULL,            -- as it is shown: after the newest edit
  spans        BLOB,                     -- what is marked in it, as it is shown (CON-16)
  original     TEXT,                     -- as it came, where an edit stands in its place
  original_spans BLOB,
  edited_at    INTEGER,
  reply_to     BLOB,                     -- message id
  body         BLOB,                     -- of an unknown kind, kept as it came
  sent_at      INTEGER NOT NULL,
  received_at  INTEGER NOT NULL,
  state        INTEGER NOT NULL,         -- 0 queued, 1 carried, 2 delivered, 3 read, 4 received
  complete     INTEGER NOT NULL,         -- all ancestors are here
  acked        INTEGER NOT NULL,         -- enough others 0 may not have it, 1 have it and its ancestors, 2 have read them
  late         INTEGER NOT NULL DEFAULT 0, -- written after its sender was removed or lost the right to
  client_id    TEXT,
  timer_s      INTEGER,                  -- it goes so many seconds after it was read; of kind 5: what it sets, 0 none
  vanish_from  INTEGER,                  -- when that began to count, slot clock
  vanish_at    INTEGER,                  -- when it goes, slot clock
  back_at      INTEGER,                  -- when it goes as long as the slot clock is behind vanish_from
  mentions     INTEGER NOT NULL DEFAULT 0, -- I am meant in it, as it came
  pinned       INTEGER,                  -- by a pin of this HLC
  poll         BLOB,                     -- what is to choose from, encoded
  forwarded    TEXT,                     -- who wrote it, if that is said; empty: not said
  card         BLOB,                     -- somebody whom its sender knows, encoded (CON-25)
  place        BLOB,                     -- where somebody or something is, encoded (CON-26)
  UNIQUE(chat, position)
) STRICT;
CREATE UNIQUE INDEX message_by_client ON message(chat, client_id) WHERE client_id IS NOT NULL;
CREATE INDEX message_by_sender ON message(group_id, sender, epoch_id);
CREATE INDEX message_again ON message(came_epoch, sender) WHERE came_epoch IS NOT NULL;
CREATE INDEX message_late ON message(group_id) WHERE late = 1;
CREATE INDEX message_by_clock ON message(chat, sender, hlc) WHERE chat IS NOT NULL;
CREATE INDEX message_open ON message(chat, state) WHERE mine = 1 AND state < 3;
CREATE INDEX message_unread ON message(chat, position) WHERE state = 4;
CREATE INDEX message_read ON message(group_id, position) WHERE mine = 0 AND state = 3 AND complete = 1;
CREATE INDEX message_by_quote ON message(reply_to) WHERE reply_to IS NOT NULL;
CREATE INDEX message_timer ON message(chat, position) WHERE kind = 6;
CREATE INDEX message_vanishing ON message(vanish_at) WHERE vanish_at IS NOT NULL;
CREATE INDEX message_counting ON message(vanish_from, back_at, timer_s) WHERE vanish_from IS NOT NULL;
CREATE INDEX message_back ON message(back_at, vanish_from) WHERE back_at IS NOT NULL;
CREATE INDEX message_mention ON message(chat, position) WHERE state = 4 AND mentions = 1;
CREATE INDEX message_pinned ON message(chat, pinned, id) WHERE pinned IS NOT NULL;
CREATE INDEX message_incomplete ON message(group_id) WHERE complete = 0;

-- What messages do to messages: emojis, other texts, deletions, pins, votes. Each is a message that is nothing to show.
CREATE TABLE act(
  id           BLOB PRIMARY KEY,         -- message id
  chat         INTEGER NOT NULL REFERENCES chat(id) ON DELETE CASCADE,
  target       BLOB NOT NULL,            -- message id; it may not be here yet
  sender       BLOB NOT NULL,
  kind         INTEGER NOT NULL,         -- 0 reaction, 1 edit, 2 deletion, 3 pin, 4 vote, 5 end of a poll
  hlc          INTEGER NOT NULL,
  content      TEXT NOT NULL,            -- emojis, or numbers of choices, with a space between; the text; 1 pinned, 0 not
  spans        BLOB,                     -- of an edit: what is marked in it
  waiting      INTEGER NOT NULL,         -- the target is not here
  late         INTEGER NOT NULL          -- as its message: it does nothing
) STRICT, WITHOUT ROWID;
CREATE INDEX act_on ON act(target, kind, sender, hlc, id);
CREATE INDEX act_waiting ON act(chat, sender, hlc, id) WHERE waiting = 1;

-- What is heard or seen beside a text, checked.
CREATE TABLE attachment(
  rowid        INTEGER PRIMARY KEY,
  message      BLOB NOT NULL UNIQUE REFERENCES message(id) ON DELETE CASCADE,
  kind         INTEGER NOT NULL,         -- 0 voice, 1 photo
  duration_ms  INTEGER,
  width        INTEGER,
  height       INTEGER,
  preview      BLOB,
  bytes        BLOB NOT NULL
) STRICT;

-- Edges of the causal graph: parents are known by the first 8 bytes of their id.
CREATE TABLE message_parent(
  group_id BLOB NOT NULL, child BLOB NOT NULL, parent BLOB NOT NULL,
  PRIMARY KEY(group_id, child, parent)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_parent_by_parent ON message_parent(group_id, parent);

-- In groups: who has a message and its ancestors (1) or has read them (2), until enough have.
CREATE TABLE message_ack(
  message BLOB NOT NULL, account BLOB NOT NULL, level INTEGER NOT NULL,
  PRIMARY KEY(message, account)
) STRICT, WITHOUT ROWID;

-- Complete messages that no complete message descends from.
CREATE TABLE message_head(
  group_id BLOB NOT NULL, id BLOB NOT NULL, PRIMARY KEY(group_id, id)
) STRICT, WITHOUT ROWID;

-- Messages that others name and that are not here: asked for by a want list (WNT-2).
CREATE TABLE want(
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  short    BLOB NOT NULL,                -- first 8 bytes of the message id
  times    INTEGER NOT NULL,             -- asked for so often at most
  asked    INTEGER NOT NULL,             -- so often until now
  due_at   INTEGER,                      -- device clock; NULL: often enough
  PRIMARY KEY(group_id, short)
) STRICT, WITHOUT ROWID;
CREATE INDEX want_due ON want(due_at) WHERE due_at IS NOT NULL;
-- When the last want list of each account was heard, device clock.
CREATE TABLE want_heard(
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  account  BLOB NOT NULL,
  at       INTEGER NOT NULL,
  PRIMARY KEY(group_id, account)
) STRICT, WITHOUT ROWID;

-- When an account was told last in a group that it is not in the head (GRP-24), device clock.
CREATE TABLE outside(
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  account  BLOB NOT NULL,
  said_at  INTEGER NOT NULL,
  PRIMARY KEY(group_id, account)
) STRICT, WITHOUT ROWID;

-- MLS messages as they came, in conversations of more than two, to be put again for who lacks one (WNT-5).
CREATE TABLE original(
  number   INTEGER PRIMARY KEY,
  message  BLOB NOT NULL UNIQUE,         -- its id; of a commit: the epoch that it makes
  lane     INTEGER NOT NULL,             -- 0 messages, 1 commits
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  epoch_id BLOB NOT NULL,                -- that it is encrypted in
  kept_at  INTEGER NOT NULL,             -- slot clock
  put_at   INTEGER,                      -- of a commit: when I last put it for somebody else, device clock
  content  BLOB NOT NULL                 -- the MLS message: its key is used up here
) STRICT;
CREATE INDEX original_by_group ON original(group_id, number) WHERE lane = 0;
CREATE INDEX original_by_epoch ON original(epoch_id);
-- What a member asked for, until it is my turn to put it again, or it has come.
CREATE TABLE answer(
  message  BLOB PRIMARY KEY,             -- as in original
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  due_at   INTEGER NOT NULL,             -- device clock
  behind   BLOB                          -- of a commit: the account that is behind it
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_by_group ON answer(group_id);
CREATE INDEX answer_due ON answer(due_at);

-- Where other Welcomes led into a group, beside conversation.root (FORK-9).
CREATE TABLE root(
  number   INTEGER PRIMARY KEY,
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  epoch_id BLOB NOT NULL,
  leaf     INTEGER NOT NULL,             -- my leaf there
  signer   BLOB NOT NULL                 -- its key
) STRICT;
CREATE INDEX root_by_group ON root(group_id);

-- In which epoch of a group each account was heard last, by whatever it said.
CREATE TABLE standing(
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  account  BLOB NOT NULL,
  epoch_id BLOB NOT NULL,
  PRIMARY KEY(group_id, account)
) STRICT, WITHOUT ROWID;

-- Members who asked to be added again (GRP-12), and who was lately.
CREATE TABLE behind(
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  account  BLOB NOT NULL,
  leaf     BLOB NOT NULL,                -- public key of the leaf that cannot follow
  epoch_id BLOB NOT NULL,                -- where it stands
  number   INTEGER NOT NULL,             -- of that epoch in MLS
  due_at   INTEGER,                      -- when it is my turn, device clock; NULL: done
  asked_at INTEGER NOT NULL,             -- device clock
  lost     INTEGER NOT NULL DEFAULT 0,   -- its device was: it cannot come back by itself (RCH-6)
  PRIMARY KEY(group_id, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX behind_due ON behind(due_at) WHERE due_at IS NOT NULL;

-- People whom a link has let in, until they stand in the group it leads into (GLK-3).
CREATE TABLE newcomer(
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  account  BLOB NOT NULL,
  due_at   INTEGER,                      -- device clock; NULL: no key package of theirs is here
  tries    INTEGER NOT NULL DEFAULT 0,   -- so often it could not be done
  PRIMARY KEY(group_id, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX newcomer_by_account ON newcomer(account) WHERE due_at IS NULL;
CREATE INDEX newcomer_due ON newcomer(due_at) WHERE due_at IS NOT NULL;

-- What the Welcomes of a commit of mine have in common and is too long for each, until all who were added were heard (GRP-15).
CREATE TABLE apart(
  hash     BLOB PRIMARY KEY,             -- SHA-256 of it
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  secret   BLOB NOT NULL,                -- mailbox and key come from it
  content  BLOB NOT NULL,
  made_at  INTEGER NOT NULL,             -- slot clock
  put_at   INTEGER NOT NULL              -- device clock
) STRICT;
CREATE INDEX apart_of ON apart(group_id);
-- Who was added by that commit and was not heard yet.
CREATE TABLE apart_for(
  account  BLOB NOT NULL,
  hash     BLOB NOT NULL REFERENCES apart(hash) ON DELETE CASCADE,
  key      BLOB NOT NULL,                -- the beginning of the leaf's key that it got
  PRIMARY KEY(account, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX apart_for_of ON apart_for(hash);

-- Invitations into groups whose common part has not come yet.
CREATE TABLE awaited(
  tag      BLOB NOT NULL,                -- where it is read
  hash     BLOB NOT NULL,                -- of the part
  account  BLOB NOT NULL,                -- who invites
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE, -- of two, where that was said
  body     BLOB NOT NULL,                -- the invitation
  ask_at   INTEGER NOT NULL,             -- device clock
  asked    INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(tag, account)
) STRICT;
CREATE INDEX awaited_due ON awaited(ask_at);
CREATE INDEX awaited_of ON awaited(account);

-- What a person is told about a conversation's keys (ALM-*): at most one of each kind for each account.
CREATE TABLE alarm(
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  kind     INTEGER NOT NULL,             -- 0 two commits by one member on one epoch, 1 a commit by my leaf that I did not make, 2 two device logs of one account, 3 an account changes its keys all the time
  account  BLOB NOT NULL,
  at       INTEGER NOT NULL,             -- slot clock
  by       BLOB NOT NULL,                -- what it was noticed by: the same raises no second one
  PRIMARY KEY(group_id, kind, account)
) STRICT, WITHOUT ROWID;

-- Self-updates of others, counted for ALM-3.
CREATE TABLE renewals(
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  account  BLOB NOT NULL,
  since    INTEGER NOT NULL,             -- when the first of these came, slot clock
  room     INTEGER NOT NULL,             -- so many more are no flood within the day
  newest   INTEGER NOT NULL,             -- when the newest came, slot clock
  PRIMARY KEY(group_id, account)
) STRICT, WITHOUT ROWID;

-- What stands in the capsule: a change of it is noted once.
CREATE TRIGGER capsule_account AFTER UPDATE OF name, device_log ON account BEGIN
  UPDATE capsule SET changed = 1 WHERE changed = 0;
END;
CREATE TRIGGER capsule_relay_add AFTER INSERT ON relay BEGIN UPDATE capsule SET changed = 1 WHERE changed = 0; END;
CREATE TRIGGER capsule_relay AFTER UPDATE OF own, address, secret ON relay BEGIN
  UPDATE capsule SET changed = 1 WHERE changed = 0;
END;
CREATE TRIGGER capsule_contact AFTER UPDATE OF own_name, alias, verified, device_log ON contact BEGIN
  UPDATE capsule SET changed = 1 WHERE changed = 0;
END;
CREATE TRIGGER capsule_chat AFTER UPDATE OF hidden, waiting ON chat BEGIN
  UPDATE capsule SET changed = 1 WHERE changed = 0;
END;
CREATE TRIGGER capsule_chat_drop AFTER DELETE ON chat BEGIN UPDATE capsule SET changed = 1 WHERE changed = 0; END;
CREATE TRIGGER capsule_conversation_add AFTER INSERT ON conversation BEGIN
  UPDATE capsule SET changed = 1 WHERE changed = 0;
END;
CREATE TRIGGER capsule_conversation AFTER UPDATE OF gone, waiting, grouped ON conversation BEGIN
  UPDATE capsule SET changed = 1 WHERE changed = 0;
END;
CREATE TRIGGER capsule_group AFTER UPDATE OF head ON conversation WHEN new.grouped = 1 BEGIN
  UPDATE capsule SET changed = 1 WHERE changed = 0;
END;

CREATE VIRTUAL TABLE message_fts USING fts5(
  text, content='message', content_rowid='rowid', tokenize='unicode61 remove_diacritics 2'
);
INSERT INTO message_fts(message_fts, rank) VALUES('secure-delete', 1);
CREATE TRIGGER message_fts_add AFTER INSERT ON message WHEN new.text <> '' BEGIN
  INSERT INTO message_fts(rowid, text) VALUES(new.rowid, new.text);
END;
CREATE TRIGGER message_fts_change AFTER UPDATE OF text ON message WHEN old.text <> new.text BEGIN
  INSERT INTO message_fts(message_fts, rowid, text) SELECT 'delete', old.rowid, old.text WHERE old.text <> '';
  INSERT INTO message_fts(rowid, text) SELECT new.rowid, new.text WHERE new.text <> '';
END;
CREATE TRIGGER message_fts_drop AFTER DELETE ON message WHEN old.text <> '' BEGIN
  INSERT INTO message_fts(message_fts, rowid, text) VALUES('delete', old.rowid, old.text);
END;

-- What is to leave and has not been confirmed by a recipient.
CREATE TABLE outbox(
  id           INTEGER PRIMARY KEY,
  purpose      INTEGER NOT NULL,         -- 0 message (until confirmed), 1 receipt (until stored), 2 claim (until answered), 3 answer (until stored), 4 commit (until others were heard in its epoch), 5 want list or what one asked for (until stored), 6 the same of a commit, 7 capsule (until the next one), 8 what Welcomes have in common (until stored)
  about        BLOB NOT NULL,            -- message id, group id, acceptance id, claim id, epoch id that a commit makes (want list: group id)
  group_id     BLOB REFERENCES conversation(group_id) ON DELETE CASCADE,
  content      BLOB NOT NULL,            -- what is inside: sealed anew each time it is put again
  plain        BLOB,                     -- header and body of a message, to encrypt it again
  tries        INTEGER NOT NULL DEFAULT 0, -- how often it was sealed anew
  part         INTEGER NOT NULL DEFAULT 0, -- of a content that needs several envelopes; all of it stands in part 0
  epoch_id     BLOB,                     -- purpose 0, 1 and 4: whose mailbox and key
  slot         INTEGER NOT NULL,
  envelope     BLOB NOT NULL,
  envelope_id  BLOB NOT NULL,            -- SHA-256 of it
  token        BLOB NOT NULL,
  sealed_at    INTEGER NOT NULL,           -- device clock
  wide_at      INTEGER                     -- purpose 0: goes to other relays too then, device clock (OUT-11)
) STRICT;
CREATE INDEX outbox_wide ON outbox(wide_at) WHERE wide_at IS NOT NULL;
CREATE INDEX outbox_by_envelope ON outbox(envelope_id);
CREATE INDEX outbox_by_about ON outbox(about);
CREATE INDEX outbox_by_age ON outbox(sealed_at);
CREATE INDEX outbox_commit ON outbox(group_id) WHERE purpose = 4;
CREATE TABLE outbox_relay(
  outbox       INTEGER NOT NULL REFERENCES outbox(id) ON DELETE CASCADE,
  relay        BLOB NOT NULL,
  stored       INTEGER NOT NULL,
  PRIMARY KEY(outbox, relay)
) STRICT, WITHOUT ROWID;

-- Own messages of groups of more than eight that three others confirmed (OUT-9).
CREATE TABLE kept(
  id       BLOB PRIMARY KEY,             -- message id
  group_id BLOB NOT NULL REFERENCES conversation(group_id) ON DELETE CASCADE,
  epoch_id BLOB NOT NULL,                -- where it was encrypted last
  plain    BLOB NOT NULL,                -- header and body
  kept_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX kept_by_epoch ON kept(epoch_id);
CREATE INDEX kept_by_age ON kept(group_id, kept_at);

CREATE TABLE invite(
  id           BLOB PRIMARY KEY,         -- 16
  secret       BLOB NOT NULL,            -- 20
  who          INTEGER NOT NULL,         -- 0 family, 1 one, 2 whoever has the link, into a group
  how          INTEGER NOT NULL,         -- 0 in person, 1 spoken, 2 plain
  words        TEXT,
  relay        BLOB NOT NULL,
  link         TEXT NOT NULL,
  code         TEXT NOT NULL,
  reach        INTEGER NOT NULL,         -- 0 this computer, 1 local network, 2 internet
  seal_private BLOB,                     -- deleted when it closes
  key_package  BLOB,                     -- its last-resort key package (encoded); private half deleted when it closes
  signer       BLOB,                     -- Ed25519 seed of that key package's leaf; deleted when it closes
  card         BLOB NOT NULL,            -- sealed, as the door answers it
  card_hash    BLOB NOT NULL,
  state        INTEGER NOT NULL,         -- as api::InviteState
  approved     INTEGER NOT NULL DEFAULT 0,
  unopened     INTEGER NOT NULL DEFAULT 0,
  used_twice   INTEGER NOT NULL DEFAULT 0,
  used_at      INTEGER,
  group_id     BLOB,                     -- the group it leads into (GLK-1)
  most         INTEGER,                  -- people it lets into the group at most
  approval     INTEGER,                  -- each of them waits for approval
  bound        BLOB,                     -- the only account that it lets in (INT-5)
  door_key     BLOB NOT NULL,            -- 16: what replaces its door and takes it down
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Every step asks both; the rows are 16 kB each.
CREATE INDEX invite_open ON invite(expires_at, state) WHERE state <= 1;
CREATE INDEX invite_group ON invite(group_id) WHERE group_id IS NOT NULL AND state <= 1;
CREATE INDEX invite_door ON invite(state, used_at) WHERE length(card) > 0;

-- Introductions that I make: two contacts of mine are asked whether they want to meet (INT-1).
CREATE TABLE introducing(
  id           BLOB PRIMARY KEY,         -- 16
  taker        BLOB NOT NULL REFERENCES contact(account) ON DELETE CASCADE, -- takes the link up
  maker        BLOB NOT NULL REFERENCES contact(account) ON DELETE CASCADE, -- makes it
  taker_ask    BLOB NOT NULL,            -- message that asks
  maker_ask    BLOB NOT NULL,
  taker_said   INTEGER,                  -- NULL: nothing yet; 1 yes, 0 no
  maker_said   INTEGER,
  linked       INTEGER NOT NULL DEFAULT 0, -- the link was passed on
  at           INTEGER NOT NULL          -- slot clock
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX introducing_taker ON introducing(taker_ask);
CREATE UNIQUE INDEX introducing_maker ON introducing(maker_ask);
-- Introductions that I am asked about. What is said of one may come before the question (another device of mine answered).
CREATE TABLE introduced(
  via          BLOB NOT NULL REFERENCES contact(account) ON DELETE CASCADE, -- who introduces
  id           BLOB NOT NULL,            -- 16
  ask          BLOB,                     -- message that asks; NULL: not here yet
  account      BLOB,                     -- whom I shall meet
  body         BLOB,                     -- the question, encoded
  said         INTEGER,                  -- NULL: nothing yet; 1 yes, 0 no
  both         INTEGER NOT NULL DEFAULT 0, -- both want to: I make the invitation
  link         TEXT,                     -- the other's invitation
  done         INTEGER NOT NULL DEFAULT 0, -- 1: made, taken up, or not needed; 2: the link was another account's
  at           INTEGER NOT NULL,         -- slot clock
  PRIMARY KEY(via, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX introduced_ask ON introduced(ask) WHERE ask IS NOT NULL;
CREATE INDEX introduced_account ON introduced(account, at) WHERE account IS NOT NULL;
CREATE INDEX introduced_open ON introduced(said, done) WHERE done = 0;

CREATE TABLE claim(
  id           BLOB PRIMARY KEY,         -- SHA-256 of the claim
  invite       BLOB NOT NULL REFERENCES invite(id),
  account      BLOB,                     -- who, where it opened
  card         BLOB,                     -- that person's card, until approved or declined
  group_id     BLOB,                     -- the conversation joined
  answer       INTEGER NOT NULL,         -- last answer given: the code of wire's Verdict
  received_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX claim_by_invite ON claim(invite);

-- Public invitations: doors with decks (PUB-4).
CREATE TABLE public_invite(
  id           BLOB PRIMARY KEY,         -- 16
  secret       BLOB NOT NULL,            -- 20
  door_key     BLOB NOT NULL,            -- 16
  relays       BLOB NOT NULL,            -- where its door stands, 16 each
  link         TEXT NOT NULL,
  code         TEXT NOT NULL,
  reach        INTEGER NOT NULL,         -- as of invite
  a_day        INTEGER NOT NULL,         -- hands a day
  deck         BLOB NOT NULL DEFAULT x'',-- all days; empty once it is closed
  state        INTEGER NOT NULL,         -- as api::InviteState
  created_at   INTEGER NOT NULL,         -- and the first day's beginning
  expires_at   INTEGER NOT NULL,
  begun_on     INTEGER NOT NULL,         -- when it was made, device clock
  said_at      INTEGER                   -- when its doors were asked for last, slot clock; NULL: all days are over
) STRICT, WITHOUT ROWID;
CREATE INDEX public_invite_open ON public_invite(expires_at, state) WHERE state <= 1;
CREATE INDEX public_invite_said ON public_invite(said_at) WHERE said_at IS NOT NULL;
CREATE INDEX public_invite_over ON public_invite(expires_at) WHERE state = 3;

-- What is dealt by them: hand by hand, by address.
CREATE TABLE public_hand(
  invite       BLOB NOT NULL REFERENCES public_invite,
  number       INTEGER NOT NULL,         -- from 0, in the order of the days
  first        TEXT NOT NULL,
  second       TEXT NOT NULL,
  PRIMARY KEY (invite, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE acceptance(
  id           BLOB PRIMARY KEY,         -- 16
  link         TEXT NOT NULL,
  secret       BLOB NOT NULL,
  words        TEXT,
  state        INTEGER NOT NULL,         -- as api::AcceptanceState
  name         TEXT,
  chat         INTEGER,
  group_id     BLOB,                     -- the conversation that the claim brings
  account      BLOB,                     -- the inviter
  into_group   TEXT,                     -- what the group is called that it leads into (GLK-1)
  card         BLOB,                     -- opened card, kept until answered
  offer        BLOB,                     -- what the claim says (own card, Welcome), to seal it anew with other words
  claim        BLOB,                     -- SHA-256 of the claim sent
  relay        BLOB,
  wrong        INTEGER NOT NULL DEFAULT 0, -- doors that gave something else than what the link names (MEET-4)
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
