//! Names that are said in pieces: where a hello was answered by silence or a reset, the next ones with that name are split.
//!
//! In: handshakes as they begin, and what came of them. Out: whether to split one, and which names must rest. A censor that
//! puts segments together and not records, or nothing at all, reads no name in a split hello; but few programs say theirs
//! so, so it is not done where nobody asks for it (TRK-9). How a hello is cut is the carrier's.

use std::collections::BTreeMap;

use stonechat_wire::address::{Around, is_drop, split};
use stonechat_wire::ids::Timestamp;

use super::LinkId;
use super::browser::is_by_browser;
use super::hops::helper;
use super::proxied::is_by_proxy;

/// How long a name is said in pieces after the first hello that was silenced or reset, in ms; four times as long after each
/// further one.
pub const SPLIT_MS: u64 = 600_000;
/// The longest time for which it is, in ms; for so long after it nothing is forgotten.
pub const SPLIT_MS_MAX: u64 = 24 * 3_600_000;
/// Names of which something is known at once.
const NAMES_MAX: usize = super::LEARNED_MAX;

/// How the first words of TLS are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Hello {
    /// As TLS says them.
    #[default]
    Whole,
    /// In two records and two segments, cut inside the name.
    Split,
}

/// Whose handshake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asker {
    /// A dial, or a connection that is to take a link over.
    Link(LinkId),
    /// A knock.
    Knock([u8; 16]),
}

/// What came of a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// An answer.
    Answered,
    /// Nothing.
    Silenced,
    /// A reset.
    Reset,
    /// Another no: an alert, or an end. To a hello in pieces that may be the answer; to a whole one it says nothing.
    Refused,
    /// It says nothing about the name: nobody was reached, or nobody waits for it any more.
    Unknown,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Splits {
    begun: BTreeMap<Asker, Begun>,
    names: BTreeMap<String, Split>,
}

#[derive(Debug)]
struct Begun {
    way: String,
    is_split: bool,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    until: Timestamp,
    failed_count: u32,
    /// It was silenced or reset in pieces too, and has not been answered since.
    is_vain: bool,
}

impl Split {
    /// As it is kept: until when, how many failed whole, and whether pieces did not help.
    pub(super) const fn parts(self) -> (u64, u32, bool) {
        (self.until.0, self.failed_count, self.is_vain)
    }

    pub(super) const fn of((until, failed_count, is_vain): (u64, u32, bool)) -> Self {
        Self {
            until: Timestamp(until),
            failed_count,
            is_vain,
        }
    }
}

impl Splits {
    /// A handshake begins. Out: how to say its hello.
    pub(super) fn begin(&mut self, now: Timestamp, asker: Asker, way: &str) -> Hello {
        let split = name(way).and_then(|name| self.names.get(name));
        let is_split = split.is_some_and(|split| now < split.until);
        let way = way.to_owned();
        self.begun.insert(asker, Begun { way, is_split });
        if is_split { Hello::Split } else { Hello::Whole }
    }

    /// What came of it. Out: the way whose name must rest (TRK-6), where it must.
    pub(super) fn ended(&mut self, now: Timestamp, asker: Asker, fate: Fate) -> Option<String> {
        let begun = self.begun.remove(&asker)?;
        let failed = matches!(fate, Fate::Silenced | Fate::Reset) || (fate == Fate::Refused && begun.is_split);
        let must_rest = match name(&begun.way) {
            Some(name) if failed => self.failed(now, name, begun.is_split),
            Some(name) if fate == Fate::Answered => {
                self.answered(name, begun.is_split);
                false
            }
            Some(_) | None => true,
        };
        (fate == Fate::Silenced && must_rest).then_some(begun.way)
    }

    /// Out: whether there is nothing left to try at once.
    fn failed(&mut self, now: Timestamp, name: &str, was_split: bool) -> bool {
        self.make_room(name);
        let split = self.names.entry(name.to_owned()).or_default();
        if was_split {
            (split.until, split.is_vain) = (now, true);
            return true;
        }
        // One that began before that was known changes nothing.
        if split.until <= now {
            let ms = SPLIT_MS
                .saturating_mul(4_u64.saturating_pow(split.failed_count))
                .min(SPLIT_MS_MAX);
            split.until = now.plus_ms(ms);
            split.failed_count = split.failed_count.saturating_add(1);
        }
        split.is_vain
    }

    fn answered(&mut self, name: &str, was_split: bool) {
        match self.names.get_mut(name) {
            Some(split) if was_split => split.is_vain = false,
            // Neither way was the reason.
            Some(split) if split.is_vain => drop(self.names.remove(name)),
            // Some censors miss a whole one now and then.
            Some(_) | None => {}
        }
    }

    fn make_room(&mut self, name: &str) {
        if self.names.len() >= NAMES_MAX && !self.names.contains_key(name) {
            let oldest = self.names.iter().min_by_key(|(_, split)| split.until);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|name| self.names.remove(&name));
        }
    }

    /// What is worth keeping.
    pub(super) fn kept(&self, now: Timestamp) -> BTreeMap<String, Split> {
        let still = self.names.iter();
        let still = still.filter(|(_, split)| now < split.until.plus_ms(SPLIT_MS_MAX));
        still.map(|(name, split)| (name.clone(), *split)).collect()
    }

    /// On this network that is known; none is split for longer than it could have been told to now.
    pub(super) fn recall(&mut self, now: Timestamp, names: BTreeMap<String, Split>) {
        self.names = names;
        for split in self.names.values_mut() {
            split.until = split.until.min(now.plus_ms(SPLIT_MS_MAX));
        }
    }
}

/// The name that a handshake on this way says; nothing where it says none, nobody sees it (FWD-7), or it is not ours to cut: a
/// drop's, a browser's.
fn name(way: &str) -> Option<&str> {
    let (around, place) = split(way);
    let (host, _) = place.rsplit_once(':')?;
    let is_number = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
    let is_seen = helper(way).is_none() && !is_by_proxy(way);
    (around == Around::Tls && !is_number && is_seen && !is_drop(way) && !is_by_browser(way)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const WAY: &str = "https://a.example:443";

    /// One handshake from beginning to end. Out: whether it was split, and whether the name must rest.
    fn one(splits: &mut Splits, now: Timestamp, way: &str, fate: Fate) -> (bool, bool) {
        let asker = Asker::Knock([1; 16]);
        let is_split = splits.begin(now, asker, way) == Hello::Split;
        (is_split, splits.ended(now, asker, fate).is_some())
    }

    #[test]
    fn a_name_that_was_silenced_or_reset_is_said_in_pieces_next_trk_9() {
        for fate in [Fate::Silenced, Fate::Reset] {
            let mut splits = Splits::default();
            assert_eq!(one(&mut splits, NOW, WAY, Fate::Unknown), (false, false));
            assert_eq!(one(&mut splits, NOW, WAY, fate), (false, false), "no rest yet");
            let numbered = "https://a.example:8443@192.0.2.7:8443";
            assert_eq!(one(&mut splits, NOW, numbered, Fate::Answered), (true, false));
            let other = "https://b.example:443";
            assert_eq!(one(&mut splits, NOW, other, Fate::Answered), (false, false));
            let after = NOW.plus_ms(SPLIT_MS);
            assert_eq!(
                one(&mut splits, after, WAY, fate),
                (false, false),
                "then whole is tried"
            );
            let after = after.plus_ms(4 * SPLIT_MS - 1);
            assert_eq!(
                one(&mut splits, after, WAY, Fate::Answered),
                (true, false),
                "for longer"
            );
        }
    }

    #[test]
    fn a_name_that_is_silenced_in_pieces_too_rests_and_both_are_tried_in_turn_trk_9() {
        let mut splits = Splits::default();
        let silenced = |splits: &mut Splits| one(splits, NOW, WAY, Fate::Silenced);
        assert_eq!(silenced(&mut splits), (false, false));
        assert_eq!(silenced(&mut splits), (true, true));
        assert_eq!(silenced(&mut splits), (false, true), "no second one at once");
        assert_eq!(silenced(&mut splits), (true, true));
        assert_eq!(one(&mut splits, NOW, WAY, Fate::Answered), (false, false));
        assert_eq!(splits.kept(NOW), BTreeMap::new(), "it was not the name");
        // A reset makes nobody wait.
        assert_eq!(one(&mut splits, NOW, WAY, Fate::Reset), (false, false));
        assert_eq!(one(&mut splits, NOW, WAY, Fate::Reset), (true, false));
    }

    #[test]
    fn a_name_that_is_refused_in_pieces_is_said_whole_again_trk_9() {
        let mut splits = Splits::default();
        // Whoever stands before a server that is away for a while resets what comes: hours of pieces, by and by.
        let mut now = NOW;
        for failed in 0..5 {
            assert_eq!(one(&mut splits, now, WAY, Fate::Reset), (false, false));
            now = now.plus_ms(SPLIT_MS.saturating_mul(4_u64.saturating_pow(failed)));
        }
        assert_eq!(one(&mut splits, now, WAY, Fate::Reset), (false, false));
        assert_eq!(
            one(&mut splits, now, WAY, Fate::Refused),
            (true, false),
            "by one that knows no pieces"
        );
        assert_eq!(
            one(&mut splits, now, WAY, Fate::Answered),
            (false, false),
            "whole at once"
        );
        assert_eq!(one(&mut splits, now, WAY, Fate::Refused), (false, false));
        assert_eq!(
            one(&mut splits, now, WAY, Fate::Answered),
            (false, false),
            "that says nothing of the name"
        );
    }

    #[test]
    fn hellos_that_were_under_way_already_change_nothing_trk_9() {
        let mut splits = Splits::default();
        let askers = [1, 2, 3].map(|n| Asker::Link(LinkId(n)));
        for asker in askers {
            assert_eq!(splits.begin(NOW, asker, WAY), Hello::Whole);
        }
        for asker in askers {
            assert_eq!(splits.ended(NOW, asker, Fate::Silenced), None);
        }
        assert_eq!(splits.kept(NOW)["a.example"].parts(), (NOW.0 + SPLIT_MS, 1, false));
        assert!(splits.begun.is_empty());
    }

    #[test]
    fn where_no_name_is_said_nothing_is_cut_trk_9() {
        for way in ["https://192.0.2.7:443", "https://[2001:db8::7]:443", "a.example:443"] {
            let mut splits = Splits::default();
            assert_eq!(one(&mut splits, NOW, way, Fate::Silenced), (false, true), "{way}");
            assert_eq!(one(&mut splits, NOW, way, Fate::Silenced), (false, true), "{way}");
        }
    }

    #[test]
    fn names_that_are_said_in_pieces_are_bounded_trk_9() {
        let mut splits = Splits::default();
        for n in 0..1000 {
            let way = format!("https://a{n}.example:443");
            one(&mut splits, NOW.plus_ms(n), &way, Fate::Reset);
        }
        assert_eq!(splits.names.len(), NAMES_MAX);
        assert!(splits.names.contains_key("a999.example"));
        assert_eq!(splits.kept(NOW.plus_ms(2 * SPLIT_MS_MAX)).len(), 0, "forgotten");
        let far = [("a".to_owned(), Split::of((u64::MAX, 9, false)))].into();
        splits.recall(NOW, far);
        assert_eq!(splits.names["a"].until, NOW.plus_ms(SPLIT_MS_MAX));
    }
}
