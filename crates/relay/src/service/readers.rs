//! Who reads which mailbox, how far each has come, and how much it may be sent.
//!
//! A subscription is either at the end of its mailbox, and gets what is new at once; or behind, and is served from
//! the store as its connection takes what it was sent (RLY-25, RLY-26). So a slow reader costs no memory but its
//! place in the list. One that knows credits is pushed to only within them; what it has no credit for it is told of by
//! a hint, once (RLY-44, RLY-45).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use stonechat_wire::frame::{BATCH_MAX, FromRelay, KNOWS_CREDITS};
use stonechat_wire::ids::Tag;

use super::batch::Fresh;
use super::{Closed, ConnectionId, Output, Source};
use crate::forgetful::ForgetfulMap;
use crate::limits::{
    BUSY_RETRY_MS, COMEBACK_MS_EACH, COMEBACK_MS_MAX, CREDIT_BYTES_MAX, Limits, READ_ENVELOPES_MAX, SERVED_AT_ONCE,
    weight,
};
use crate::store::{Budget, MailboxStore};

/// All connections and what they read.
#[derive(Debug)]
pub(super) struct Readers {
    limits: Limits,
    /// Each where it is wiped when it goes.
    connections: BTreeMap<ConnectionId, Box<Connection>>,
    by_tag: ForgetfulMap<Tag, ReadBy>,
    subscriptions: usize,
    /// Connections that are behind and have room.
    ready: BTreeSet<ConnectionId>,
}

#[derive(Debug, Default)]
struct Connection {
    source: Source,
    /// The number of the secret it said hello with.
    secret: Option<u16>,
    /// By tag. One compact list: a connection reads hundreds of mailboxes and idles.
    subscriptions: Vec<Subscription>,
    /// What has more in the store, in the order in which it was subscribed.
    behind: BTreeSet<(u64, Tag)>,
    next_order: u64,
    outstanding_bytes: usize,
    /// What may be pushed yet; none: it does not know credits.
    credit_bytes: Option<u64>,
    /// What is behind and was not hinted yet; only where credits are known.
    unhinted: BTreeSet<Tag>,
}

/// Who reads one mailbox: mostly one.
#[derive(Debug)]
enum ReadBy {
    One(ConnectionId),
    Many(BTreeSet<ConnectionId>),
}

impl ReadBy {
    fn add(&mut self, id: ConnectionId) {
        match self {
            Self::One(one) if *one == id => {}
            Self::One(one) => *self = Self::Many([*one, id].into()),
            Self::Many(many) => {
                many.insert(id);
            }
        }
    }

    /// Out: whether nobody is left.
    fn remove(&mut self, id: ConnectionId) -> bool {
        match self {
            Self::One(one) => *one == id,
            Self::Many(many) => {
                many.remove(&id);
                many.is_empty()
            }
        }
    }

    fn all(&self) -> Vec<ConnectionId> {
        match self {
            Self::One(one) => vec![*one],
            Self::Many(many) => many.iter().copied().collect(),
        }
    }
}

/// A mailbox that a connection reads, and how far it has come.
#[derive(Clone, Copy, Debug)]
struct Subscription {
    tag: Tag,
    order: u64,
    /// Up to here it was sent.
    cursor: u64,
}

impl Readers {
    pub(super) fn new(limits: Limits) -> Self {
        let (connections, by_tag, ready) = (BTreeMap::new(), ForgetfulMap::default(), BTreeSet::new());
        Self {
            limits,
            connections,
            by_tag,
            subscriptions: 0,
            ready,
        }
    }

    pub(super) fn connect(&mut self, connection: ConnectionId, source: Source) -> bool {
        if self.connections.len() >= self.limits.connections {
            return false;
        }
        let fresh = Connection {
            source,
            ..Connection::default()
        };
        self.connections.insert(connection, Box::new(fresh));
        true
    }

    pub(super) fn disconnect(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        self.ready.remove(&id);
        self.subscriptions = self.subscriptions.saturating_sub(connection.subscriptions.len());
        connection
            .subscriptions
            .iter()
            .for_each(|subscription| self.forget_reader(&subscription.tag, id));
    }

    /// How many connections there are, and how many mailboxes they read.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.connections.len(), self.subscriptions)
    }

    /// Whether a connection has said hello; nothing if it is not known.
    pub(super) fn is_greeted(&self, id: ConnectionId) -> Option<bool> {
        self.connections.get(&id).map(|connection| connection.secret.is_some())
    }

    pub(super) fn greet(&mut self, id: ConnectionId, secret: u16, features: u32) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.secret = Some(secret);
            connection.credit_bytes = (features & KNOWS_CREDITS != 0).then_some(0);
        }
    }

    /// So much more may be pushed (RLY-44). Without a hello that knows credits it means nothing.
    pub(super) fn credit(&mut self, id: ConnectionId, bytes: u32) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if let Some(credit_bytes) = &mut connection.credit_bytes {
            *credit_bytes = credit_bytes.saturating_add(bytes.into()).min(CREDIT_BYTES_MAX);
            if !connection.behind.is_empty() {
                self.ready.insert(id);
            }
        }
    }

    /// Where a connection comes from, and which secret it said hello with.
    pub(super) fn who(&self, id: ConnectionId) -> Option<(Source, u16)> {
        let connection = self.connections.get(&id)?;
        Some((connection.source, connection.secret?))
    }

    /// Tells everybody to come back later, spread evenly from a random place on (RLY-38).
    pub(super) fn part(&mut self, dice: u64, outputs: &mut VecDeque<Output>) {
        let all: Vec<(ConnectionId, bool)> = self
            .connections
            .iter()
            .map(|(id, c)| (*id, c.secret.is_some()))
            .collect();
        let count = (all.len() as u64).max(1);
        let most = count.saturating_mul(COMEBACK_MS_EACH).min(u64::from(COMEBACK_MS_MAX));
        for (nth, (id, is_greeted)) in (0..).zip(all) {
            let after = (dice % most).saturating_add(most.saturating_mul(nth) / count) % most;
            if is_greeted {
                let retry_after_ms = u32::try_from(after).unwrap_or(COMEBACK_MS_MAX);
                self.send(id, FromRelay::Busy { retry_after_ms }, outputs);
            }
            self.close(id, Closed::GoingDown, outputs);
        }
    }

    /// Out: false when there are too many subscriptions.
    pub(super) fn subscribe(&mut self, id: ConnectionId, tag: Tag, cursor: u64) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return true;
        };
        let is_new = connection.place(&tag).is_err();
        let own_full = connection.subscriptions.len() >= self.limits.subscriptions_per_connection;
        if is_new && (own_full || self.subscriptions >= self.limits.subscriptions) {
            return false;
        }
        connection.subscribe(tag, cursor);
        self.subscriptions += usize::from(is_new);
        self.by_tag.or_insert(tag, ReadBy::One(id)).add(id);
        self.ready.insert(id);
        true
    }

    /// Call it after a handful of changes.
    pub(super) fn shrink(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.shrink();
        }
    }

    pub(super) fn unsubscribe(&mut self, id: ConnectionId, tags: &[Tag]) {
        for tag in tags {
            let Some(connection) = self.connections.get_mut(&id) else {
                return;
            };
            if let Ok(at) = connection.place(tag) {
                let place = connection.subscriptions.remove(at);
                connection.behind.remove(&(place.order, *tag));
                connection.unhinted.remove(tag);
                self.subscriptions = self.subscriptions.saturating_sub(1);
                self.forget_reader(tag, id);
            }
        }
    }

    fn forget_reader(&mut self, tag: &Tag, id: ConnectionId) {
        if self.by_tag.get_mut(tag).is_some_and(|readers| readers.remove(id)) {
            self.by_tag.remove(tag);
        }
    }

    /// Sends a new envelope to everybody who reads its mailbox, except to whoever brought it (RLY-34).
    pub(super) fn offer(&mut self, fresh: &Fresh, outputs: &mut VecDeque<Output>) {
        let tag = fresh.new.tag;
        let Some(readers) = self.by_tag.get(&tag) else { return };
        for id in readers.all() {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            let Some(place) = connection.subscription(&tag) else {
                continue;
            };
            if connection.behind.contains(&(place.order, tag)) || place.cursor >= fresh.cursor {
                continue;
            }
            let frame = arrived(tag, fresh.cursor, &fresh.new.bytes);
            let has_room = connection.outstanding_bytes.saturating_add(weight(&frame)) <= self.limits.push_bytes;
            if id == fresh.from {
                connection.reached(&tag, fresh.cursor);
            } else if has_room && connection.pay(&frame) {
                connection.reached(&tag, fresh.cursor);
                connection.outstanding_bytes += weight(&frame);
                outputs.push_back(Output::Send { to: id, frame });
            } else if connection.fall_behind(place.order, tag) {
                self.ready.insert(id);
            }
        }
    }

    /// Passes a signal on to live readers that have room; nobody keeps it (RLY-31).
    pub(super) fn pass_on(&mut self, from: ConnectionId, tag: Tag, bytes: &[u8], outputs: &mut VecDeque<Output>) {
        let Some(readers) = self.by_tag.get(&tag) else { return };
        for id in readers.all().into_iter().filter(|id| *id != from) {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            let frame = FromRelay::Ephemeral {
                tag,
                envelope: bytes.to_vec(),
            };
            let has_room = connection.outstanding_bytes.saturating_add(weight(&frame)) <= self.limits.push_bytes;
            if has_room && connection.pay(&frame) {
                connection.outstanding_bytes += weight(&frame);
                outputs.push_back(Output::Send { to: id, frame });
            }
        }
    }

    pub(super) fn drained(&mut self, id: ConnectionId, bytes: usize) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.outstanding_bytes = connection.outstanding_bytes.saturating_sub(bytes);
        if !connection.behind.is_empty() && connection.outstanding_bytes <= self.limits.push_bytes / 2 {
            self.ready.insert(id);
        }
    }

    #[cfg(test)]
    pub(super) fn credit_of(&self, id: ConnectionId) -> Option<u64> {
        self.connections.get(&id)?.credit_bytes
    }

    /// Whether somebody who is behind and has room is not served yet.
    pub(super) fn has_backlog(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Serves those who are behind from the store, each as far as it has room; the others with the next call.
    pub(super) fn pump(&mut self, store: &impl MailboxStore, outputs: &mut VecDeque<Output>) {
        let mut served = Vec::new();
        while let Some(id) = self.ready.pop_first() {
            served.push(id);
            if served.len() >= SERVED_AT_ONCE {
                break;
            }
        }
        for id in served {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            if let Err(error) = connection.catch_up(id, store, self.limits.push_bytes, outputs) {
                tracing::error!(%error, "the store could not be read");
                self.close(id, Closed::Store, outputs);
            }
        }
    }

    /// Answers a fetch: request, mailbox, cursor, most envelopes (RLY-25).
    pub(super) fn fetch(
        &mut self,
        store: &impl MailboxStore,
        to: ConnectionId,
        (request, tag, cursor, limit): (u32, Tag, u64, u16),
        outputs: &mut VecDeque<Output>,
    ) {
        let Some(connection) = self.connections.get(&to) else {
            return;
        };
        if connection.outstanding_bytes > self.limits.push_bytes {
            return self.send(
                to,
                FromRelay::Busy {
                    retry_after_ms: BUSY_RETRY_MS,
                },
                outputs,
            );
        }
        let budget = Budget {
            envelopes: usize::from(limit).min(BATCH_MAX),
            bytes: self.limits.fetch_bytes,
        };
        let Ok(kept) = store.read(&tag, cursor, budget) else {
            return self.close(to, Closed::Store, outputs);
        };
        let last = kept.last().map_or(cursor, |kept| kept.cursor);
        let more = last < store.mailbox(&tag).newest;
        let items = kept
            .into_iter()
            .map(|kept| (kept.cursor, kept.bytes.to_vec()))
            .collect();
        self.send(to, FromRelay::Fetched { request, items, more }, outputs);
    }

    /// Whether a connection has so much of what it asked for before it that it has to wait with asking for more (BLB-5).
    pub(super) fn has_many_answers(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection.is_some_and(|connection| connection.outstanding_bytes > self.limits.outstanding_bytes / 2)
    }

    /// Sends an answer; closes a connection that has stopped taking its answers (RLY-26).
    pub(super) fn send(&mut self, to: ConnectionId, frame: FromRelay, outputs: &mut VecDeque<Output>) {
        let Some(connection) = self.connections.get_mut(&to) else {
            return;
        };
        connection.outstanding_bytes = connection.outstanding_bytes.saturating_add(weight(&frame));
        if connection.outstanding_bytes > self.limits.outstanding_bytes {
            return self.close(to, Closed::TooSlow, outputs);
        }
        outputs.push_back(Output::Send { to, frame });
    }

    pub(super) fn close(&mut self, connection: ConnectionId, why: Closed, outputs: &mut VecDeque<Output>) {
        self.disconnect(connection);
        outputs.push_back(Output::Close { connection, why });
    }
}

impl Connection {
    /// Where a subscription stands, or would.
    fn place(&self, tag: &Tag) -> Result<usize, usize> {
        self.subscriptions
            .binary_search_by_key(tag, |subscription| subscription.tag)
    }

    fn subscription(&self, tag: &Tag) -> Option<Subscription> {
        self.subscriptions.get(self.place(tag).ok()?).copied()
    }

    /// A mailbox was sent up to this cursor.
    fn reached(&mut self, tag: &Tag, cursor: u64) {
        if let Ok(at) = self.place(tag)
            && let Some(place) = self.subscriptions.get_mut(at)
        {
            place.cursor = cursor;
        }
    }

    /// Gives back the memory that growing took in advance.
    fn shrink(&mut self) {
        if self.subscriptions.capacity() > self.subscriptions.len() + self.subscriptions.len() / 4 {
            self.subscriptions.shrink_to_fit();
        }
    }

    /// The newest subscription of a mailbox counts: it begins at its own cursor and at the end of the line.
    fn subscribe(&mut self, tag: Tag, cursor: u64) {
        let order = self.next_order;
        self.next_order += 1;
        let fresh = Subscription { tag, order, cursor };
        match self.place(&tag) {
            Ok(at) => {
                if let Some(old) = self.subscriptions.get_mut(at) {
                    self.behind.remove(&(old.order, tag));
                    *old = fresh;
                }
            }
            Err(at) => self.subscriptions.insert(at, fresh),
        }
        self.fall_behind(order, tag);
    }

    /// Notes that a mailbox has more. Out: whether that is to be hinted.
    fn fall_behind(&mut self, order: u64, tag: Tag) -> bool {
        self.behind.insert((order, tag));
        self.credit_bytes.is_some() && self.unhinted.insert(tag)
    }

    /// Takes a push out of the credit, where credits are known. Out: whether it is enough.
    fn pay(&mut self, frame: &FromRelay) -> bool {
        let Some(credit_bytes) = &mut self.credit_bytes else {
            return true;
        };
        let left = credit_bytes.checked_sub(pushed_len(frame));
        *credit_bytes = left.unwrap_or(*credit_bytes);
        left.is_some()
    }

    /// Bytes that may be pushed now.
    fn push_room(&self, push_bytes: usize) -> usize {
        let credit_bytes = self
            .credit_bytes
            .map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        push_bytes.saturating_sub(self.outstanding_bytes).min(credit_bytes)
    }

    /// Sends what its mailboxes have beyond its cursors, until `push_bytes` are outstanding or its credit is used up;
    /// then hints.
    fn catch_up(
        &mut self,
        id: ConnectionId,
        store: &impl MailboxStore,
        push_bytes: usize,
        outputs: &mut VecDeque<Output>,
    ) -> Result<(), crate::store::StoreError> {
        while let Some((_, tag)) = self.behind.first().copied() {
            let cursor = self.subscription(&tag).map_or(u64::MAX, |place| place.cursor);
            let budget = Budget {
                envelopes: READ_ENVELOPES_MAX,
                bytes: self.push_room(push_bytes),
            };
            let is_behind = cursor < store.mailbox(&tag).newest;
            if is_behind && budget.bytes == 0 {
                break;
            }
            let kept = if is_behind {
                store.read(&tag, cursor, budget)?
            } else {
                Vec::new()
            };
            if kept.is_empty() {
                self.behind.pop_first();
                self.unhinted.remove(&tag);
            }
            for kept in kept {
                let frame = arrived(tag, kept.cursor, &kept.bytes);
                if !self.pay(&frame) {
                    self.hint(id, store, push_bytes, outputs);
                    return Ok(());
                }
                self.reached(&tag, kept.cursor);
                self.outstanding_bytes = self.outstanding_bytes.saturating_add(weight(&frame));
                outputs.push_back(Output::Send { to: id, frame });
            }
        }
        self.hint(id, store, push_bytes, outputs);
        Ok(())
    }

    /// Tells of mailboxes that are behind, of each once, as far as there is room (RLY-45).
    fn hint(&mut self, id: ConnectionId, store: &impl MailboxStore, push_bytes: usize, outputs: &mut VecDeque<Output>) {
        while let Some(tag) = self.unhinted.first().copied() {
            let cursor = store.mailbox(&tag).newest;
            let frame = FromRelay::Hint { tag, cursor };
            match self.subscription(&tag) {
                Some(place) if place.cursor < cursor => {
                    if self.outstanding_bytes.saturating_add(weight(&frame)) > push_bytes {
                        return;
                    }
                    self.outstanding_bytes += weight(&frame);
                    outputs.push_back(Output::Send { to: id, frame });
                }
                Some(place) => drop(self.behind.remove(&(place.order, tag))),
                None => {}
            }
            self.unhinted.pop_first();
        }
    }
}

/// Length of a frame that is pushed, as it takes credit.
fn pushed_len(frame: &FromRelay) -> u64 {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes.len() as u64
}

fn arrived(tag: Tag, cursor: u64, bytes: &[u8]) -> FromRelay {
    FromRelay::Arrived {
        tag,
        cursor,
        envelope: bytes.to_vec(),
    }
}
