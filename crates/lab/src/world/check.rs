//! What must be true of every world once it has healed, and at every moment before.
//!
//! In: the devices' databases, the relays' stores, the wiretap. Out: sentences about what is not so.

use std::collections::BTreeMap;

use stonechat_core::api::{Answer, ChatId, Message, MessageKind, MessageState, MessagesOf, Query};
use stonechat_wire::exchange::Errand;

use super::tap;
use super::{BEGINNING, World};

/// Secrets that no relay may ever see.
const SECRETS: [&str; 11] = [
    "SELECT seed FROM account WHERE seed IS NOT NULL",
    "SELECT device_key FROM account",
    "SELECT signer FROM conversation",
    "SELECT mailbox_root FROM epoch WHERE mailbox_root IS NOT NULL",
    "SELECT envelope_key FROM epoch WHERE envelope_key IS NOT NULL",
    "SELECT secret FROM invite",
    "SELECT secret FROM acceptance",
    "SELECT seal_private FROM invite WHERE seal_private IS NOT NULL",
    "SELECT CAST(words AS BLOB) FROM invite WHERE words IS NOT NULL",
    "SELECT group_id FROM conversation",
    "SELECT reach FROM conversation WHERE reach IS NOT NULL",
];

/// In a group of nobody but own devices a commit waits for the other device's next one: there is nothing to confirm.
const ALONE: &str = "group_id IN (SELECT o.group_id FROM conversation o WHERE o.grouped = 1 AND o.accounts = 1)";

/// What a conversation's mailbox is for: an epoch, and a week.
pub(crate) type Lane = (Vec<u8>, i64);

fn lane(row: &rusqlite::Row<'_>) -> rusqlite::Result<Lane> {
    Ok((row.get(0)?, row.get(1)?))
}

impl World {
    /// Whether everybody has everything and nothing waits.
    pub(crate) fn is_complete(&mut self) -> bool {
        let all_said = self.said.iter().all(|said| said.order.is_some() || said.kept_silent);
        all_said
            && self.group_is_settled()
            && self.kin_is_settled()
            && (0..self.nodes.len()).all(|d| self.waits(d).is_empty())
    }

    /// What still waits on a device, in words.
    fn waits(&mut self, d: usize) -> Vec<String> {
        if !self.lives(d) {
            return vec![];
        }
        if !self.nodes[d].device.runs() {
            return vec!["it does not run".into()];
        }
        // Who is out of the group, by what the others say, waits for nobody there.
        let outside = !self.plan.deeds.is_empty() && !self.members().contains(&d);
        let gone = if outside {
            "v.gone = 1 OR v.grouped = 1"
        } else {
            "v.gone = 1"
        };
        let ancestors = if !self.plan.deeds.is_empty() && (self.waits_for_who_is_out(d) || self.added_again(d)) {
            "0"
        } else {
            "1"
        };
        let gaps = self.gaps_of_who_came_back();
        let known = if self.is_kin(d) {
            "epoch_id IN (SELECT e.epoch_id FROM epoch e)"
        } else {
            "1"
        };
        let device = &mut self.nodes[d].device;
        let now = device.clock.read(BEGINNING + self.now).0;
        let mut waits = Vec::new();
        for (what, sql) in [
            // A renewal may be on its way at any moment; it must only not stay there: not for three hours, nor sealed anew.
            // The capsule stays (CAP-4).
            (
                "outbox rows",
                "SELECT purpose FROM outbox WHERE purpose <> 7 AND NOT (purpose = 4 AND {alone}) AND (purpose NOT IN (1, 4, 5, 6) OR tries > 0 OR sealed_at < {now} - 10800000) AND about NOT IN ({gaps}) AND {inside}",
            ),
            (
                "texts that nobody confirmed",
                "SELECT state FROM message WHERE mine = 1 AND kind = 0 AND state < 2 AND id NOT IN ({gaps}) AND {inside}",
            ),
            (
                "receipts that are overdue",
                "SELECT leaf FROM conversation WHERE receipt_due <= {now} AND {inside}",
            ),
            (
                "acceptances on their way",
                "SELECT state FROM acceptance WHERE state < 4",
            ),
            (
                "texts with missing ancestors",
                "SELECT state FROM message WHERE complete = 0 AND {ancestors} AND {known} AND {inside}",
            ),
            ("requests", "SELECT answer FROM claim WHERE answer = 2"),
            ("invitations without a door", "SELECT state FROM invite WHERE state = 0"),
        ] {
            let inside =
                format!("(group_id IS NULL OR group_id NOT IN (SELECT v.group_id FROM conversation v WHERE {gone}))");
            let found: Vec<i64> = device.rows(
                &sql.replace("{inside}", &inside)
                    .replace("{ancestors}", ancestors)
                    .replace("{known}", known)
                    .replace("{alone}", ALONE)
                    .replace("{gaps}", &gaps)
                    .replace("{now}", &now.to_string()),
                |row| row.get(0),
            );
            if !found.is_empty() {
                waits.push(format!(
                    "{} {what} {:?}",
                    found.len(),
                    found.iter().take(5).collect::<Vec<_>>()
                ));
            }
        }
        let carried = self.nodes[d].courier.parcel_count();
        if carried > 0 {
            waits.push(format!("{carried} parcels that no relay answered"));
        }
        waits
    }

    /// Written in a group between the loss of a device and the return of its account: the new device gets it, without
    /// what it follows, and cannot confirm it (docs/status.md).
    fn gaps_of_who_came_back(&mut self) -> String {
        let mut gaps: Vec<String> = Vec::new();
        for kin in self.plan.kin.clone() {
            let sql = "SELECT hex(id) FROM message WHERE complete = 0 AND epoch_id NOT IN (SELECT epoch_id FROM epoch)";
            gaps.extend(self.nodes[kin.device].device.rows(sql, |row| row.get(0)));
        }
        let gaps: Vec<String> = gaps.into_iter().map(|id| format!("x'{id}'")).collect();
        gaps.join(", ")
    }

    /// All that is missing here was written by people who are out now: they encrypt nothing again, and where the keys of
    /// its epoch are gone nobody can (docs/status.md).
    fn waits_for_who_is_out(&mut self, d: usize) -> bool {
        let missing = "SELECT DISTINCT p.parent FROM message_parent p JOIN message c ON c.id = p.child
                       WHERE c.complete = 0 AND NOT EXISTS (SELECT 1 FROM message m WHERE substr(m.id, 1, 8) = p.parent)";
        let missing: Vec<[u8; 8]> = self.nodes[d].device.rows(missing, |row| row.get(0));
        let inside = self.members();
        let out: Vec<usize> = (0..self.nodes.len()).filter(|other| !inside.contains(other)).collect();
        missing.iter().all(|short| {
            let sql = "SELECT 1 FROM message WHERE mine = 1 AND substr(id, 1, 8) = ?";
            out.iter().any(|other| self.nodes[*other].device.holds(sql, [short]))
        })
    }

    /// Everything, at the end.
    pub(crate) fn check_all(&mut self) {
        self.check_tap();
        self.check_tags();
        (0..self.relays.len()).for_each(|r| self.check_promises(r));
        for d in 0..self.nodes.len() {
            for what in self.waits(d) {
                self.broke(format!("device {d} is stuck: {what}"));
                self.tell_of_stuck(d);
            }
        }
        for k in 0..self.said.len() {
            if self.said[k].order.is_none() && !self.said[k].kept_silent {
                self.broke(format!("text {k} was never written"));
            }
        }
        for d in 0..self.nodes.len() {
            self.check_device(d);
            self.check_alarms(d);
        }
        self.check_branches();
        self.check_group();
        self.check_kin();
        self.check_contents();
        self.check_media();
    }

    /// For whoever looks for the reason: what is incomplete or waits on a device, and where.
    pub(crate) fn tell_of_stuck(&mut self, d: usize) {
        let sql = "SELECT hex(m.id), hex(substr(m.epoch_id, 1, 4)), m.mine, m.state, m.complete, coalesce(group_concat(hex(p.parent)), ''),
                   coalesce((SELECT hex(substr(o.epoch_id, 1, 4)) || ':' || o.tries FROM outbox o WHERE o.about = m.id), '-')
                   FROM message m LEFT JOIN message_parent p ON p.child = m.id
                   AND NOT EXISTS (SELECT 1 FROM message h WHERE substr(h.id, 1, 8) = p.parent)
                   WHERE m.complete = 0 OR EXISTS (SELECT 1 FROM outbox o WHERE o.about = m.id) GROUP BY m.id";
        let rows: Vec<String> = self.nodes[d].device.rows(sql, |row| {
            let id: String = row.get(0)?;
            let numbers: [i64; 3] = [row.get(2)?, row.get(3)?, row.get(4)?];
            let [epoch, parents, outbox]: [String; 3] = [row.get(1)?, row.get(5)?, row.get(6)?];
            Ok(format!(
                "{id} epoch {epoch} mine, state, complete {numbers:?} lacks {parents} outbox {outbox}"
            ))
        });
        for row in rows {
            let k = self
                .written
                .get(&row.split(' ').next().unwrap_or_default().to_lowercase());
            self.trace.remark(|| format!("device {d}: text {k:?} {row}"));
        }
        let sql = "SELECT hex(substr(epoch_id, 1, 4)), hex(substr(coalesce(parent, x''), 1, 4)), class, leaf, hex(members),
                   envelope_key IS NULL, epoch_id IN (SELECT head FROM conversation), number FROM epoch e WHERE (SELECT grouped FROM conversation v WHERE v.group_id = e.group_id)
                   ORDER BY number";
        let rows: Vec<String> = self.nodes[d].device.rows(sql, |row| {
            let [epoch, parent, members]: [String; 3] = [row.get(0)?, row.get(1)?, row.get(4)?];
            let (class, leaf): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
            let (closed, head): (bool, bool) = (row.get(5)?, row.get(6)?);
            Ok(format!(
                "epoch {epoch} of {parent} class {class:?} by {leaf:?} closed {closed} head {head} {members}"
            ))
        });
        for row in rows {
            self.trace.remark(|| format!("device {d}: {row}"));
        }
        let sql = "SELECT hex(substr(o.about, 1, 4)), hex(substr(o.epoch_id, 1, 4)), o.tries, coalesce((SELECT group_concat(hex(substr(h.account, 1, 2)))
                   FROM commit_heard h WHERE h.epoch_id = o.about), '') FROM outbox o WHERE o.purpose = 4";
        let rows: Vec<String> = self.nodes[d].device.rows(sql, |row| {
            let [about, epoch, heard]: [String; 3] = [row.get(0)?, row.get(1)?, row.get(3)?];
            Ok(format!(
                "commit {about} on {epoch} tries {} heard by {heard}",
                row.get::<_, i64>(2)?
            ))
        });
        for row in rows {
            self.trace.remark(|| format!("device {d}: {row}"));
        }
    }

    /// Here nobody copies keys: an alarm about them would be a false one (ALM-1, ALM-2).
    fn check_alarms(&mut self, d: usize) {
        let alarms: Vec<u8> = self.nodes[d].device.rows("SELECT kind FROM alarm", |row| row.get(0));
        if !alarms.is_empty() {
            self.broke(format!("device {d} raises alarms: {alarms:?}"));
        }
    }

    /// What a relay called stored is there until its time.
    pub(crate) fn check_promises(&mut self, r: usize) {
        let missing = self.relays[r].broken_promises(self.time());
        if missing > 0 {
            self.broke(format!("relay {r}: {missing} envelopes that it called stored are gone"));
        }
    }

    /// All messages of a device: each once, in order, in the right state.
    fn check_device(&mut self, d: usize) {
        let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
        for (contact, messages) in self.all_messages(d) {
            let other = self
                .nodes
                .iter()
                .position(|node| node.account.as_ref() == Some(&contact));
            let Some(other) = other else {
                return self.broke(format!("device {d}: a chat with nobody of this world"));
            };
            let mut last: BTreeMap<usize, u64> = BTreeMap::new();
            for message in messages {
                if let Some(k) = self.check_message(d, other, &message) {
                    *seen.entry(k).or_default() += 1;
                    let order = self.said[k].order.unwrap_or(0);
                    let writer = self.plan.texts[k].from;
                    if last.insert(writer, order).is_some_and(|before| before > order) {
                        self.broke(format!("device {d}: text {k} does not stand where its writer wrote it"));
                    }
                }
            }
        }
        for k in 0..self.said.len() {
            let text = self.plan.texts[k];
            if text.to == super::groups::GROUP || !self.plan.kin.is_empty() {
                continue;
            }
            let count = seen.get(&k).copied().unwrap_or(0);
            let wanted = usize::from((text.from == d || text.to == d) && self.said[k].order.is_some());
            if count != wanted {
                self.broke(format!(
                    "device {d}: text {k} ({} to {}) is there {count} times",
                    text.from, text.to
                ));
            }
        }
    }

    /// One message. Out: which text it is.
    fn check_message(&mut self, d: usize, other: usize, message: &Message) -> Option<usize> {
        if matches!(
            message.kind,
            MessageKind::Began | MessageKind::Timer | MessageKind::Introduction | MessageKind::NewDevice
        ) {
            return None;
        }
        let Some(k) = self.text_of(message) else {
            self.broke(format!("device {d}: a message that nobody wrote"));
            return None;
        };
        let text = self.plan.texts[k];
        let (me, other) = (self.person(d), self.person(other));
        let (from, to) = if message.mine { (me, other) } else { (other, me) };
        if (self.person(text.from), text.to) != (from, to) || !self.says(k, message) {
            self.broke(format!(
                "device {d}: text {k} is not what {} wrote to {}",
                text.from, text.to
            ));
        }
        let told = self.plan.devices[other].read_receipts && !self.relays_forgot && self.plan.kin.is_empty();
        let fits = match message.state {
            MessageState::Read => !message.mine || self.plan.devices[other].read_receipts || !self.plan.kin.is_empty(),
            // That it was read is told once; a relay that loses that may lose it for good.
            MessageState::Delivered => message.mine && !told,
            MessageState::Queued | MessageState::Carried | MessageState::Received => false,
        };
        // A removed device's words, and what a lost one was told, have no more to come; and to a removed one comes no word
        // of who has what its account wrote on another device.
        let unheard = message.mine && message.missing_before == 0 && self.nodes[d].out.is_some();
        let excused = message.late || unheard || self.nodes[text.from].out.is_some();
        if !excused && (!fits || message.missing_before > 0) {
            let (state, missing) = (message.state, message.missing_before);
            self.broke(format!(
                "device {d}: text {k} is {state:?} (mine: {}), {missing} missing before it",
                message.mine
            ));
        }
        Some(k)
    }

    pub(crate) fn all_messages(&mut self, d: usize) -> Vec<(String, Vec<Message>)> {
        let page = stonechat_core::api::Page { limit: 100, offset: 0 };
        let Some(Answer::Chats(chats)) = self.nodes[d].device.ask(Query::Chats(page)) else {
            return vec![];
        };
        let mut all = Vec::new();
        for chat in chats.into_iter().filter(|chat| chat.group.is_none()) {
            let messages = self.messages_of(d, chat.id);
            all.push((chat.contact, messages));
        }
        all
    }

    pub(crate) fn messages_of(&mut self, d: usize, chat: ChatId) -> Vec<Message> {
        let of = MessagesOf {
            chat,
            before: None,
            after: None,
            around: None,
            limit: 500,
        };
        match self.nodes[d].device.ask(Query::Messages(of)) {
            Some(Answer::Messages(page)) => page.messages,
            _other => vec![],
        }
    }

    /// What a parcel is for, by what its mailbox is read for here; `None`: something else than a conversation's text.
    pub(crate) fn lane_of(&mut self, d: usize, errand: &Errand) -> Option<Lane> {
        let Errand::Send(parcel) = errand else { return None };
        let sql = "SELECT about, slot FROM listening WHERE purpose = 0 AND tag = ?";
        let tag = parcel.token.tag();
        self.nodes[d].device.rows_of(sql, [tag.as_bytes()], lane).pop()
    }

    /// The mailbox that an envelope leaves for has no other lane's.
    pub(crate) fn check_put(&mut self, d: usize, lane: Option<Lane>, errand: &Errand) {
        if let (Some(lane), Errand::Send(parcel)) = (lane, errand) {
            self.check_tag(d, parcel.token.tag().as_bytes().to_vec(), lane);
        }
    }

    fn check_tag(&mut self, d: usize, tag: Vec<u8>, lane: Lane) {
        if self.tags.insert(tag, lane.clone()).is_some_and(|before| before != lane) {
            self.broke(format!("device {d}: one tag stands for two conversations or weeks"));
        }
    }

    /// No tag stands for two things or two weeks.
    pub(crate) fn check_tags(&mut self) {
        for d in 0..self.nodes.len() {
            let sql = "SELECT about, slot, tag FROM listening WHERE purpose = 0";
            let rows = self.nodes[d].device.rows(sql, |row| Ok((row.get(2)?, lane(row)?)));
            for (tag, lane) in rows {
                self.check_tag(d, tag, lane);
            }
        }
    }

    /// What devices hold now that no relay and no log may ever hold.
    pub(crate) fn gather_secrets(&mut self) {
        for d in 0..self.nodes.len() {
            for sql in SECRETS {
                let found = self.nodes[d].device.rows(sql, |row| row.get::<_, Vec<u8>>(0));
                self.secrets.extend(found);
            }
        }
    }

    /// No relay saw a text, a name or a key; no log would hold one.
    pub(crate) fn check_tap(&mut self) {
        self.gather_secrets();
        let mut secrets = vec![tap::CANARY.as_bytes().to_vec()];
        secrets.extend(self.secrets.iter().cloned());
        for found in self.tap.seen(&secrets) {
            let what = if found == 0 {
                "a text or a name".into()
            } else {
                format!("secret {found}")
            };
            self.broke(format!("a relay saw {what}"));
        }
        if self.tap.log_sings() {
            self.broke("a log would hold a text or a name".into());
        }
        if self.tap.log_holds(&secrets) {
            self.broke("a log would hold a key".into());
        }
    }
}
