//! The relay's service: what it answers, to whom, and when. Sans-IO: no sockets, clock or dice.
//!
//! In: frames of connections, requests to doors, and the time. Out: frames to send and connections to close. Frames
//! are taken with [`Service::handle`]; what they did is made durable, answered and pushed by [`Service::settle`], so
//! any number of them shares one sync. Sockets are `listen`'s job, keeping is the store's.
//! Specified in `docs/protocol/03-relay.md` (RLY).
//! Invariant: nothing is answered `stored`, and nothing is pushed or read, before it is synced (RLY-22).

use std::collections::VecDeque;
use std::sync::Arc;

use stonechat_wire::frame::{FromRelay, PutItem, Refusal, ToRelay, VERSION};
use stonechat_wire::ids::{DoorPath, EnvelopeId, Tag, Timestamp};
use stonechat_wire::invite::proof_hash;
use subtle::ConstantTimeEq;

use crate::limits::{
    BUSY_RETRY_MS, EXPIRE_EVERY_MS, Limits, NEW_MAILBOX_PERCENT_MAX, PUT_PERCENT_MAX, TTL_S_MAX, UNSYNCED_PAUSE_MS,
};
use crate::store::{Appended, Door, EXPIRE_BATCH, MailboxStore, NewEnvelope, StoreError};

mod batch;
mod readers;

use batch::{Answer, Batch, PutAnswer};
use readers::Readers;

/// Names one connection for as long as it lives; never used twice in one run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(pub u64);

/// Who may use the relay (RLY-20).
#[derive(Clone, PartialEq, Eq)]
pub enum Access {
    /// Whoever knows this secret.
    Secret([u8; 16]),
    /// Everybody.
    Open,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret(..)",
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
    outputs: VecDeque<Output>,
    expire_at: Timestamp,
    /// Until when nothing new is taken, because the store failed.
    paused_until: Timestamp,
}

impl<S: MailboxStore> Service<S> {
    /// A service without connections.
    pub fn new(store: S, access: Access, limits: Limits) -> Self {
        let readers = Readers::new(limits);
        let (batch, outputs) = (Batch::default(), VecDeque::new());
        let (expire_at, paused_until) = (Timestamp::default(), Timestamp::default());
        Self {
            store,
            access,
            limits,
            readers,
            batch,
            outputs,
            expire_at,
            paused_until,
        }
    }

    /// Takes a new connection. Out: false when there are too many; then close it.
    pub fn connect(&mut self, connection: ConnectionId) -> bool {
        self.readers.connect(connection)
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
            (Some(_), ToRelay::Hello { version, secret, .. }) => self.hello(from, version, secret, now),
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
            for fresh in &batch.fresh {
                self.readers.offer(fresh, &mut self.outputs);
            }
        }
        self.readers.pump(&self.store, &mut self.outputs);
    }

    /// What to do next; drain it after every [`Service::settle`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// So many bytes of what was sent to a connection are written; more of its backlog may follow (RLY-26).
    pub fn drained(&mut self, connection: ConnectionId, bytes: usize) {
        self.readers.drained(connection, bytes);
    }

    /// A request to a door: its card if it stands and the proof fits, else nothing (RLY-30).
    pub fn knock(&mut self, path: &DoorPath, proof: &[u8; 16], now: Timestamp) -> Option<Arc<[u8]>> {
        // The hash first: a path without a door costs the same work.
        let hash = proof_hash(proof);
        let mut door = self.store.door(path).unwrap_or_default()?;
        let fits: bool = hash.ct_eq(&door.proof_hash).into();
        if !fits || door.expires_at <= now || door.uses >= self.limits.door_uses {
            return None;
        }
        door.uses += 1;
        // Counting must not cost the caller the card: a full disk still answers.
        if let Err(error) = self.store.count_use(path) {
            self.batch.fail(error);
        }
        Some(door.card)
    }

    /// Whether enough waits for a sync that it is time for [`Service::settle`].
    pub const fn wants_settling(&self) -> bool {
        self.batch.bytes >= self.limits.batch_bytes / 2
    }

    /// Whether [`Service::settle`] has more to do at once: so many were behind that it left some for later.
    pub fn has_backlog(&self) -> bool {
        self.readers.has_backlog()
    }

    /// The store, for looking into it.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Ends the service and hands its store back.
    pub fn into_store(self) -> S {
        self.store
    }

    fn hello(&mut self, from: ConnectionId, version: u8, secret: Option<[u8; 16]>, now: Timestamp) {
        if version == 0 {
            return self.close(from, Closed::Version);
        }
        if !self.admits(secret) {
            self.send(
                from,
                FromRelay::Refused {
                    request: 0,
                    why: Refusal::Secret,
                },
            );
            return self.close(from, Closed::Secret);
        }
        self.readers.greet(from);
        let hello = FromRelay::Hello {
            version: version.min(VERSION),
            features: 0,
            time_ms: now.0,
        };
        self.send(from, hello);
    }

    fn admits(&self, secret: Option<[u8; 16]>) -> bool {
        match &self.access {
            Access::Open => true,
            Access::Secret(ours) => ours.ct_eq(&secret.unwrap_or_default()).into(),
        }
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
                expires_s,
                card,
            } => {
                let expires_at = Timestamp::from_seconds(expires_s.min(now.seconds().saturating_add(TTL_S_MAX)));
                let door = Door {
                    proof_hash,
                    expires_at,
                    uses: 0,
                    card: card.into(),
                };
                let done = self.set_door(path, door, now);
                self.answer_about_door(from, request, done);
            }
            ToRelay::CloseDoor { request, path } => {
                let done = self.close_door(&path);
                self.answer_about_door(from, request, done);
            }
            ToRelay::Ephemeral { token, envelope } => {
                self.readers
                    .pass_on(from, token.tag(), envelope.bytes(), &mut self.outputs);
            }
            ToRelay::Quota { request } => self.quota(from, request),
        }
    }

    fn answer_about_door(&mut self, to: ConnectionId, request: u32, done: Result<(), Refusal>) {
        self.batch.answers.push(Answer::Door {
            to,
            request,
            refused: done.err(),
        });
    }

    fn quota(&mut self, from: ConnectionId, request: u32) {
        let (used_bytes, limit_bytes) = (self.store.total().bytes, self.limits.total_bytes);
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
        self.batch.bytes = self.batch.bytes.saturating_add(size);
        let mut answer = PutAnswer::new(from, request);
        for item in items {
            let id = item.envelope.id();
            match self.put_one(from, id, item, now) {
                Ok(Kept::Yes) => answer.stored.push(id),
                Ok(Kept::Full) => answer.full.push(id),
                Err(why) => answer.refused = Some(why),
            }
        }
        self.batch.answers.push(Answer::Put(answer));
    }

    fn put_one(&mut self, from: ConnectionId, id: EnvelopeId, item: PutItem, now: Timestamp) -> Result<Kept, Refusal> {
        let tag = item.token.tag();
        let life_ms = u64::from(item.ttl_s).clamp(1, TTL_S_MAX).saturating_mul(1000);
        let new = NewEnvelope {
            tag,
            id,
            expires_at: now.plus_ms(life_ms),
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
            Appended::Known => {}
        }
        Ok(Kept::Yes)
    }

    /// Whether another envelope of `size` bytes fits this mailbox and this relay (RLY-27, RLY-28).
    fn room(&self, tag: &Tag, size: u64, now: Timestamp) -> Result<Kept, Refusal> {
        // A pause that lies further ahead than it can be is a clock that went back.
        if (1..=UNSYNCED_PAUSE_MS).contains(&self.paused_until.since_ms(now)) {
            return Err(Refusal::NoRoom);
        }
        let (mailbox, total) = (self.store.mailbox(tag), self.store.total());
        let percent = if mailbox.envelopes == 0 {
            NEW_MAILBOX_PERCENT_MAX
        } else {
            PUT_PERCENT_MAX
        };
        let opens_too_many = mailbox.envelopes == 0 && total.mailboxes >= self.limits.mailboxes;
        if opens_too_many || !self.is_below(percent, size) {
            return Err(Refusal::NoRoom);
        }
        let bytes = mailbox.bytes.saturating_add(size);
        let is_full = mailbox.envelopes >= self.limits.mailbox_envelopes || bytes > self.limits.mailbox_bytes;
        Ok(if is_full { Kept::Full } else { Kept::Yes })
    }

    fn is_below(&self, percent: u64, size: u64) -> bool {
        let used = self.store.total().bytes.saturating_add(size);
        used <= self.limits.total_bytes.saturating_mul(percent) / 100
    }

    fn holds(&mut self, tag: &Tag, id: &EnvelopeId) -> Result<bool, Refusal> {
        self.changed(|store| store.holds(tag, id))
    }

    fn set_door(&mut self, path: DoorPath, door: Door, now: Timestamp) -> Result<(), Refusal> {
        let old = self.changed(|store| store.door(&path))?;
        match old.filter(|old| old.expires_at > now) {
            Some(old) if old.proof_hash != door.proof_hash => return Err(Refusal::DoorTaken),
            Some(old) => return self.changed(|store| store.set_door(path, &Door { uses: old.uses, ..door })),
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

    fn close_door(&mut self, path: &DoorPath) -> Result<(), Refusal> {
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
        match self.store.expire(now) {
            Ok(count) if count >= EXPIRE_BATCH => self.expire_at = now,
            Ok(_) => self.expire_at = now.plus_ms(EXPIRE_EVERY_MS),
            Err(error) => {
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
            self.paused_until = now.plus_ms(UNSYNCED_PAUSE_MS);
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

/// What became of one put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Yes,
    Full,
}

#[cfg(test)]
mod tests;
