//! The relay's service: what it answers, to whom, and when. Sans-IO: no sockets, clock or dice.
//!
//! In: frames of connections, requests to doors, and the time. Out: frames to send and connections to close. Frames
//! are taken with [`Service::handle`]; what they did is made durable, answered and pushed by [`Service::settle`], so
//! any number of them shares one sync. Sockets are `listen`'s job, keeping is the store's.
//! Specified in `docs/protocol/03-relay.md` (RLY).
//! Invariant: nothing is answered `stored`, and nothing is pushed or read, before it is synced (RLY-22).

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use stonechat_wire::card::CARD_BUCKET;
use stonechat_wire::frame::forward::{ForwardAsk, ForwardTell};
use stonechat_wire::frame::{FromRelay, KEEPS_BLOBS, KNOWS_CREDITS, PutItem, Refusal, ToRelay, VERSION};
use stonechat_wire::hand::Deck;
use stonechat_wire::ids::{DoorKey, DoorPath, EnvelopeId, Tag, Timestamp};
use stonechat_wire::invite::proof_hash;
use subtle::ConstantTimeEq;

use crate::limits::{
    BUSY_RETRY_MS, DAY_S, EXPIRE_EVERY_MS, Limits, NEW_MAILBOX_PERCENT_MAX, PUT_PERCENT_MAX, SECRETS_MAX, TTL_S_MAX,
    UNSYNCED_PAUSE_MS,
};
use crate::operate::metrics::{Snapshot, Tally};
use crate::store::{Appended, Door, MailboxStore, NewEnvelope, StoreError};

mod batch;
mod blobs;
pub(crate) mod buckets;
mod readers;

use batch::{Answer, Batch, PutAnswer};
pub use buckets::Source;
use buckets::{Buckets, Rate};
use readers::Readers;

/// Names one connection for as long as it lives; never used twice in one run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(pub u64);

/// Who may use the relay (RLY-20).
#[derive(Clone, PartialEq, Eq)]
pub enum Access {
    /// Whoever knows one of these secrets; at most [`crate::limits::SECRETS_MAX`].
    Secrets(Vec<[u8; 16]>),
    /// Everybody.
    Open,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Secrets(_) => "Secrets(..)",
            Self::Open => "Open",
        })
    }
}

/// What the service wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this frame; tell [`Service::drained`] its [`crate::limits::weight`] once it is written.
    Send {
        /// To whom.
        to: ConnectionId,
        /// What.
        frame: FromRelay,
    },
    /// Send what was said before, then close. The service has forgotten the connection.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why, for the log.
        why: Closed,
    },
}

/// Why the service closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// Something else came before the hello (RLY-20).
    #[error("a frame before the hello")]
    NoHello,
    /// The hello's secret is missing or wrong (RLY-20).
    #[error("the access secret is missing or wrong")]
    Secret,
    /// A hello of a version before the first.
    #[error("protocol version 0")]
    Version,
    /// It does not take its answers (RLY-26).
    #[error("it does not take its answers")]
    TooSlow,
    /// The relay goes down (RLY-38).
    #[error("the relay is going down")]
    GoingDown,
    /// The store could not be read for it; it may come again.
    #[error("the store could not be read")]
    Store,
}

/// The service over a store.
#[derive(Debug)]
pub struct Service<S> {
    store: S,
    access: Access,
    limits: Limits,
    readers: Readers,
    batch: Batch,
    by_source: Buckets<Source>,
    /// By the number of the secret; an open relay has one.
    by_secret: Buckets<u16>,
    outputs: VecDeque<Output>,
    tally: Tally,
    /// What the relay knows besides, for its hello.
    announced: u32,
    expire_at: Timestamp,
    has_more_to_tidy: bool,
    /// Until when nothing new is taken, because the store failed.
    paused_until: Timestamp,
    doors_changed: bool,
}

impl<S: MailboxStore> Service<S> {
    /// A service without connections.
    pub fn new(store: S, access: Access, limits: Limits) -> Self {
        let readers = Readers::new(limits);
        let (batch, outputs) = (Batch::default(), VecDeque::new());
        let (expire_at, paused_until) = (Timestamp::default(), Timestamp::default());
        let source_rate = Rate {
            bytes_per_s: limits.source_bytes_per_s,
            bytes_max: limits.source_bytes_max,
        };
        let secret_rate = Rate {
            bytes_per_s: limits.secret_bytes_per_day / DAY_S,
            bytes_max: limits.secret_bytes_per_day,
        };
        Self {
            store,
            access,
            limits,
            readers,
            batch,
            by_source: Buckets::new(source_rate, limits.sources),
            by_secret: Buckets::new(secret_rate, SECRETS_MAX),
            outputs,
            tally: Tally::default(),
            announced: 0,
            expire_at,
            has_more_to_tidy: false,
            doors_changed: false,
            paused_until,
        }
    }

    /// Says in every hello that the relay knows this too.
    pub const fn announce(&mut self, feature: u32) {
        self.announced |= feature;
    }

    /// Takes a new connection. Out: false when there are too many; then close it.
    pub fn connect(&mut self, connection: ConnectionId, source: Source) -> bool {
        self.readers.connect(connection, source)
    }

    /// Forgets a connection that is gone.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        self.readers.disconnect(connection);
    }

    /// Takes one frame. What it asks for happens with the next [`Service::settle`].
    ///
    /// A frame of a connection that is not known is dropped.
    pub fn handle(&mut self, from: ConnectionId, frame: ToRelay, now: Timestamp) {
        match (self.readers.is_greeted(from), frame) {
            (None, _) => {}
            (
                Some(_),
                ToRelay::Hello {
                    version,
                    features,
                    secret,
                },
            ) => self.hello(from, (version, features), secret, now),
            (Some(false), _) => self.close(from, Closed::NoHello),
            (Some(true), frame) => self.greeted(from, frame, now),
        }
    }

    /// Makes everything since the last call durable, then answers and pushes. Call it after every handful of inputs.
    pub fn settle(&mut self, now: Timestamp) {
        self.expire(now);
        let batch = std::mem::take(&mut self.batch);
        let synced = self.sync(batch.failed.clone(), now);
        for answer in batch.answers {
            self.answer(answer, synced.is_ok());
        }
        if synced.is_ok() {
            self.tally.stored += batch.fresh.len() as u64;
            for fresh in &batch.fresh {
                self.readers.offer(fresh, &mut self.outputs);
            }
        }
        self.readers.pump(&self.store, &mut self.outputs);
    }

    /// What to do next; drain it after every [`Service::settle`].
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if let Some(Output::Send { frame, .. }) = &output {
            self.tally.count(frame);
        }
        if output.is_none() {
            // What was in it is still there: freed, it is wiped.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// So many bytes of what was sent to a connection are written; more of its backlog may follow (RLY-26).
    pub fn drained(&mut self, connection: ConnectionId, bytes: usize) {
        self.readers.drained(connection, bytes);
    }

    /// Where doors stand, open or not.
    pub fn door_paths(&self) -> HashSet<DoorPath> {
        self.store.door_paths()
    }

    /// Whether that may have changed since this was asked last.
    pub const fn take_doors_changed(&mut self) -> bool {
        std::mem::replace(&mut self.doors_changed, false)
    }

    /// A request to a door: its card, or a hand of its deck, if it stands and the proof fits, else nothing (RLY-30, PUB-3).
    pub fn knock(&mut self, path: &DoorPath, proof: &[u8; 16], source: Source, now: Timestamp) -> Option<Arc<[u8]>> {
        // The hash first: a path without a door costs the same work.
        let hash = proof_hash(proof);
        let door = self.store.door(path).unwrap_or_default();
        let opens = |door: &Door| {
            let fits: bool = hash.ct_eq(&door.proof_hash).into();
            fits && door.expires_at > now
        };
        let door = door.filter(opens);
        let Some((answer, is_counted)) = door.and_then(|door| self.answer_of(door, source, now)) else {
            self.tally.knocks_missed += 1;
            return None;
        };
        self.tally.knocks_answered += 1;
        // Counting must not cost the caller the card: a full disk still answers.
        if let Err(error) = if is_counted { self.store.count_use(path) } else { Ok(()) } {
            self.batch.fail(error);
        }
        Some(answer)
    }

    /// What a door answers, and whether that use is still counted. A card is used up (RLY-29), a deck is not.
    fn answer_of(&self, door: Door, source: Source, now: Timestamp) -> Option<(Arc<[u8]>, bool)> {
        let is_counted = door.uses < self.limits.door_uses;
        if door.card.len() == CARD_BUCKET {
            return is_counted.then_some((door.card, true));
        }
        let deck = Deck::decode(&door.card).ok()?;
        let hand = deck.dealt(now.seconds(), source.as_bytes())?;
        Some((hand.into(), is_counted))
    }

    /// Whether enough waits for a sync that it is time for [`Service::settle`].
    pub const fn wants_settling(&self) -> bool {
        self.batch.bytes >= self.limits.batch_bytes / 2
    }

    /// Whether [`Service::settle`] has more to do at once: so many were behind, or so much expired,
    /// that it left some for later.
    pub fn has_backlog(&self) -> bool {
        self.has_more_to_tidy || self.readers.has_backlog()
    }

    /// The relay goes down: everybody is told when to come back, each at another time. `dice` make the times.
    pub fn part(&mut self, dice: [u8; 8]) {
        self.readers.part(u64::from_be_bytes(dice), &mut self.outputs);
    }

    /// What is so at this moment, as numbers.
    pub fn snapshot(&self) -> Snapshot {
        let (connections, subscriptions) = self.readers.counts();
        Snapshot {
            tally: self.tally,
            total: self.store.total(),
            connections,
            subscriptions,
            damaged: self.store.damaged(),
        }
    }

    /// The store, for looking into it.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Ends the service and hands its store back.
    pub fn into_store(self) -> S {
        self.store
    }

    fn hello(&mut self, from: ConnectionId, (version, features): (u8, u32), secret: Option<[u8; 16]>, now: Timestamp) {
        if version == 0 {
            return self.close(from, Closed::Version);
        }
        let Some(secret) = self.admitted_by(secret) else {
            self.send(
                from,
                FromRelay::Refused {
                    request: 0,
                    why: Refusal::Secret,
                },
            );
            return self.close(from, Closed::Secret);
        };
        self.readers.greet(from, secret, features);
        let blobs = if self.limits.blob_bytes > 0 { KEEPS_BLOBS } else { 0 };
        let hello = FromRelay::Hello {
            version: version.min(VERSION),
            features: KNOWS_CREDITS | blobs | self.announced,
            time_ms: now.0,
        };
        self.send(from, hello);
    }

    /// The number of the secret that lets somebody in. All are compared, so that the time tells nothing.
    fn admitted_by(&self, secret: Option<[u8; 16]>) -> Option<u16> {
        let Access::Secrets(ours) = &self.access else {
            return Some(0);
        };
        let shown = secret.unwrap_or_default();
        let mut found = None;
        for (number, ours) in (0..).zip(ours.iter().take(SECRETS_MAX)) {
            if ours.ct_eq(&shown).into() {
                found = Some(number);
            }
        }
        found.filter(|_| secret.is_some())
    }

    fn greeted(&mut self, from: ConnectionId, frame: ToRelay, now: Timestamp) {
        match frame {
            ToRelay::Hello { .. } => {} // answered above
            ToRelay::Put { request, items } => self.put(from, request, items, now),
            ToRelay::Subscribe { add, drop } => self.subscribe(from, &add, &drop),
            ToRelay::Fetch {
                request,
                tag,
                cursor,
                limit,
            } => {
                let cursor = self.known_cursor(cursor);
                self.batch.answers.push(Answer::Fetch {
                    to: from,
                    request,
                    tag,
                    cursor,
                    limit,
                });
            }
            ToRelay::Door {
                request,
                path,
                proof_hash,
                key,
                expires_s,
                card,
            } => {
                let expires_at = Timestamp::from_seconds(expires_s.min(now.seconds().saturating_add(TTL_S_MAX)));
                let door = Door {
                    proof_hash,
                    key_hash: key.hash(),
                    expires_at,
                    uses: 0,
                    card: card.into(),
                };
                let done = match self.may_put(from, door.card.len() as u64, now) {
                    Ok(()) => self.set_door(path, door, now),
                    // It is asked for again, as where there is no room.
                    Err(_wait) => Err(Refusal::NoRoom),
                };
                self.answer_about_door(from, request, done);
            }
            ToRelay::CloseDoor { request, path, key } => {
                let done = self.close_door(&path, &key);
                self.answer_about_door(from, request, done);
            }
            ToRelay::Ephemeral { token, envelope } => {
                self.readers
                    .pass_on(from, token.tag(), envelope.bytes(), &mut self.outputs);
            }
            ToRelay::Quota { request } => self.quota(from, request, now),
            ToRelay::Blob(ask) => self.blob(from, ask, now),
            ToRelay::Credit { bytes } => self.readers.credit(from, bytes),
            ToRelay::Forward(ask) => self.not_forwarded(from, &ask),
        }
    }

    fn answer_about_door(&mut self, to: ConnectionId, request: u32, done: Result<(), Refusal>) {
        self.batch.answers.push(Answer::Door {
            to,
            request,
            refused: done.err(),
        });
    }

    /// Channels are the connection's own affair; what comes here came before it had heard the hello (FWD-1).
    fn not_forwarded(&mut self, from: ConnectionId, ask: &ForwardAsk) {
        if let ForwardAsk::Open { channel, .. } = ask {
            let (channel, why) = (*channel, Refusal::NotHere);
            self.send(from, FromRelay::Forward(ForwardTell::Shut { channel, why }));
        }
    }

    fn quota(&mut self, from: ConnectionId, request: u32, now: Timestamp) {
        let Some((_, secret)) = self.readers.who(from) else {
            return;
        };
        let (left, limit_bytes) = self.by_secret.left(&secret, now);
        let used_bytes = limit_bytes.saturating_sub(left);
        self.send(
            from,
            FromRelay::Quota {
                request,
                used_bytes,
                limit_bytes,
            },
        );
    }

    fn put(&mut self, from: ConnectionId, request: u32, items: Vec<PutItem>, now: Timestamp) {
        let size: usize = items.iter().map(PutItem::encoded_len).sum();
        if self.batch.bytes > 0 && self.batch.bytes.saturating_add(size) > self.limits.batch_bytes {
            return self.send(
                from,
                FromRelay::Busy {
                    retry_after_ms: BUSY_RETRY_MS,
                },
            );
        }
        match self.may_put(from, size as u64, now) {
            Ok(()) => {}
            Err(Wait::Busy(retry_after_ms)) => return self.send(from, FromRelay::Busy { retry_after_ms }),
            Err(Wait::Quota) => {
                let why = Refusal::Quota;
                return self.send(from, FromRelay::Refused { request, why });
            }
        }
        self.batch.bytes = self.batch.bytes.saturating_add(size);
        let mut answer = PutAnswer::new(from, request);
        for item in items {
            let id = item.envelope.id();
            match self.put_one(from, id, item, now) {
                Ok(Kept::Yes) => answer.stored.push(id),
                Ok(Kept::Full) => {
                    self.tally.full += 1;
                    answer.full.push(id);
                }
                Err(why) => {
                    self.tally.refused += 1;
                    answer.refused = Some(why);
                }
            }
        }
        self.batch.answers.push(Answer::Put(answer));
    }

    /// Takes what is to be put out of the buckets of its source and its secret (RLY-37).
    fn may_put(&mut self, from: ConnectionId, bytes: u64, now: Timestamp) -> Result<(), Wait> {
        let Some((source, secret)) = self.readers.who(from) else {
            return Ok(());
        };
        let wait = |ms: u64| Wait::Busy(u32::try_from(ms).unwrap_or(u32::MAX).max(BUSY_RETRY_MS));
        self.by_source.take(source, bytes, now).map_err(wait)?;
        self.by_secret.take(secret, bytes, now).map_err(|_| {
            self.by_source.give_back(source, bytes);
            Wait::Quota
        })
    }

    fn put_one(&mut self, from: ConnectionId, id: EnvelopeId, item: PutItem, now: Timestamp) -> Result<Kept, Refusal> {
        let tag = item.token.tag();
        let life_s = u64::from(item.ttl_s).clamp(1, TTL_S_MAX);
        let new = NewEnvelope {
            tag,
            id,
            expires_at: rounded_expiry(now, life_s),
            bytes: item.envelope.into_bytes().into(),
        };
        let room = self.room(&tag, new.bytes.len() as u64, now);
        if room != Ok(Kept::Yes) && !self.holds(&tag, &id)? {
            return room;
        }
        if room.is_err() {
            // It has it. How long it keeps it stays as it is: without room nothing is written.
            return Ok(Kept::Yes);
        }
        if self.store.high_water() == 0 {
            self.store.start_at(now.0);
        }
        match self.changed(|store| store.append(&new))? {
            Appended::New(cursor) => self.batch.add(from, cursor, new),
            Appended::Known => self.tally.known += 1,
        }
        Ok(Kept::Yes)
    }

    /// Whether another envelope of `size` bytes fits this mailbox and this relay (RLY-27, RLY-28).
    fn room(&self, tag: &Tag, size: u64, now: Timestamp) -> Result<Kept, Refusal> {
        if self.is_paused(now) {
            return Err(Refusal::NoRoom);
        }
        let (mailbox, total) = (self.store.mailbox(tag), self.store.total());
        let percent = if mailbox.envelopes == 0 {
            NEW_MAILBOX_PERCENT_MAX
        } else {
            PUT_PERCENT_MAX
        };
        let opens_too_many = mailbox.envelopes == 0 && total.mailboxes >= self.limits.mailboxes;
        let opens_too_many = opens_too_many || total.envelopes >= self.limits.envelopes;
        if opens_too_many || !self.is_below(percent, size) {
            return Err(Refusal::NoRoom);
        }
        let bytes = mailbox.bytes.saturating_add(size);
        let is_full = mailbox.envelopes >= self.limits.mailbox_envelopes || bytes > self.limits.mailbox_bytes;
        Ok(if is_full { Kept::Full } else { Kept::Yes })
    }

    /// Whether the store failed a moment ago. A pause that lies further ahead than it can be is a clock that went back.
    fn is_paused(&self, now: Timestamp) -> bool {
        (1..=UNSYNCED_PAUSE_MS).contains(&self.paused_until.since_ms(now))
    }

    fn is_below(&self, percent: u64, size: u64) -> bool {
        let used = self.store.total().disk_bytes.saturating_add(size);
        used <= self.limits.total_bytes.saturating_mul(percent) / 100
    }

    fn holds(&mut self, tag: &Tag, id: &EnvelopeId) -> Result<bool, Refusal> {
        self.changed(|store| store.holds(tag, id))
    }

    fn set_door(&mut self, path: DoorPath, door: Door, now: Timestamp) -> Result<(), Refusal> {
        self.doors_changed = true;
        let old = self.changed(|store| store.door(&path))?;
        match old.filter(|old| old.expires_at > now) {
            Some(old) if (old.proof_hash, old.key_hash) != (door.proof_hash, door.key_hash) => {
                return Err(Refusal::DoorTaken);
            }
            Some(old) => {
                let more = door.card.len().saturating_sub(old.card.len()) as u64;
                if more > 0 && !self.is_below(PUT_PERCENT_MAX, more) {
                    return Err(Refusal::NoRoom);
                }
                return self.changed(|store| store.set_door(path, &Door { uses: old.uses, ..door }));
            }
            None => {}
        }
        if self.store.total().doors >= self.limits.doors {
            return Err(Refusal::Limit);
        }
        if !self.is_below(NEW_MAILBOX_PERCENT_MAX, door.card.len() as u64) {
            return Err(Refusal::NoRoom);
        }
        self.changed(|store| store.set_door(path, &door))
    }

    fn close_door(&mut self, path: &DoorPath, key: &DoorKey) -> Result<(), Refusal> {
        let hash = key.hash();
        let is_its = |door: &Door| bool::from(hash.ct_eq(&door.key_hash));
        if !self.changed(|store| store.door(path))?.as_ref().is_none_or(is_its) {
            return Err(Refusal::Wrong);
        }
        self.doors_changed = true;
        self.changed(|store| store.close_door(path))
    }

    /// One call of the store inside the batch. After an error the whole batch is lost, and says so.
    fn changed<T>(&mut self, call: impl FnOnce(&mut S) -> Result<T, StoreError>) -> Result<T, Refusal> {
        if self.batch.failed.is_some() {
            return Err(Refusal::NoRoom);
        }
        call(&mut self.store).map_err(|error| {
            self.batch.fail(error);
            Refusal::NoRoom
        })
    }

    fn subscribe(&mut self, from: ConnectionId, add: &[(Tag, u64)], drop: &[Tag]) {
        self.readers.unsubscribe(from, drop);
        self.subscribe_to(from, add);
        self.readers.shrink(from);
    }

    fn subscribe_to(&mut self, from: ConnectionId, add: &[(Tag, u64)]) {
        for (tag, cursor) in add {
            let cursor = self.known_cursor(*cursor);
            if !self.readers.subscribe(from, *tag, cursor) {
                return self.send(
                    from,
                    FromRelay::Refused {
                        request: 0,
                        why: Refusal::Limit,
                    },
                );
            }
        }
    }

    /// A cursor that this relay never gave out counts as the start: better twice than never (RLY-25).
    fn known_cursor(&self, cursor: u64) -> u64 {
        if cursor > self.store.high_water() { 0 } else { cursor }
    }

    fn expire(&mut self, now: Timestamp) {
        // Also when the clock went back by more than a round.
        let due = now >= self.expire_at || self.expire_at.since_ms(now) > EXPIRE_EVERY_MS;
        if !due || self.batch.failed.is_some() {
            return;
        }
        self.by_source.forget_full(now);
        let doors = self.store.total().doors;
        match self.store.expire(now) {
            Ok(expired) => {
                self.doors_changed |= self.store.total().doors != doors;
                self.tally.expired += expired.envelopes as u64;
                self.has_more_to_tidy = expired.has_more;
                self.expire_at = if expired.has_more {
                    now
                } else {
                    now.plus_ms(EXPIRE_EVERY_MS)
                };
            }
            Err(error) => {
                self.has_more_to_tidy = false;
                self.expire_at = now.plus_ms(EXPIRE_EVERY_MS);
                self.batch.fail(error);
            }
        }
    }

    fn sync(&mut self, failed: Option<StoreError>, now: Timestamp) -> Result<(), StoreError> {
        let done = match failed {
            Some(error) => {
                self.store.abandon();
                Err(error)
            }
            None => self.store.sync(),
        };
        if let Err(error) = &done {
            tracing::error!(%error, "a batch was not stored; its puts are refused");
            self.tally.failed_batches += 1;
            self.doors_changed = true;
            self.paused_until = now.plus_ms(UNSYNCED_PAUSE_MS);
            // Tidying waits too: it would only ask the disk again and again.
            self.has_more_to_tidy = false;
            self.expire_at = self.expire_at.max(self.paused_until);
        }
        done
    }

    fn answer(&mut self, answer: Answer, synced: bool) {
        match answer {
            Answer::Put(put) => put
                .frames(synced)
                .into_iter()
                .for_each(|(to, frame)| self.send(to, frame)),
            Answer::Door { to, request, refused } => {
                let refused = refused.or_else(|| (!synced).then_some(Refusal::NoRoom));
                let done = FromRelay::DoorOpen { request };
                self.send(to, refused.map_or(done, |why| FromRelay::Refused { request, why }));
            }
            Answer::Blob(answer) => self.answer_about_blob(&answer, synced),
            Answer::Fetch {
                to,
                request,
                tag,
                cursor,
                limit,
            } => {
                self.readers
                    .fetch(&self.store, to, (request, tag, cursor, limit), &mut self.outputs);
            }
        }
    }

    fn send(&mut self, to: ConnectionId, frame: FromRelay) {
        self.readers.send(to, frame, &mut self.outputs);
    }

    fn close(&mut self, connection: ConnectionId, why: Closed) {
        self.readers.close(connection, why, &mut self.outputs);
    }
}

/// Why a put is not taken at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Its source put too much; come again after so many ms.
    Busy(u32),
    /// Its secret's day is used up.
    Quota,
}

/// When an envelope goes: after its life, and then at the next full minute, hour (if it lives for a day) or day (if for a
/// week). A seized disk must not tell the moment at which each of them came (RLY-32).
fn rounded_expiry(now: Timestamp, life_s: u64) -> Timestamp {
    let grain = match life_s / DAY_S {
        0 => 60,
        1..7 => 3600,
        _ => DAY_S,
    };
    let end_ms = now.plus_ms(life_s.saturating_mul(1000)).0;
    Timestamp::from_seconds(end_ms.div_ceil(grain * 1000).saturating_mul(grain))
}

/// What became of one put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Yes,
    Full,
}

#[cfg(test)]
mod tests;
