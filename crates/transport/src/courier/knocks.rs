//! Knocks: asking an invite's door for its card, way by way of its hints, until there is a card or the door is known to be spent.

use std::collections::BTreeMap;

use stonechat_wire::address::ways;
use stonechat_wire::exchange::Knock;
use stonechat_wire::ids::Timestamp;

use super::hellos::key;
use super::proxied::by_proxy;
use super::{Hello, Output, pause_ms};

/// Most knocks at once; the one that has waited longest makes room.
pub const KNOCKS_MAX: usize = 64;
/// First pause between rounds, in ms; it doubles.
const ROUND_MS: u64 = 1_000;
/// Longest pause between rounds, in ms.
const ROUND_MS_MAX: u64 = 120_000;
/// After so many rounds in which some hint said 404 and others were silent, the door counts as spent.
const UNSURE_ROUNDS: u32 = 3;

/// Why a door gave no card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnockError {
    /// Somebody answered, and there is no such door (any more).
    NotFound,
    /// Nobody answered, or something that no door says.
    Unreachable,
    /// The connection stood, and after our hello came nothing.
    Silenced,
    /// The connection stood, and our hello was answered by a reset.
    Reset,
    /// The connection stood, and our hello was answered by an alert, or by its end.
    Refused,
    /// The card came in part: these are its first bytes.
    Cut(Vec<u8>),
}

/// What came of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Knocked {
    Nothing,
    Card(Vec<u8>),
    Spent,
}

/// All doors that are being asked.
#[derive(Debug, Default)]
pub(super) struct Knocks {
    knocks: BTreeMap<[u8; 16], State>,
}

#[derive(Debug)]
struct State {
    knock: Knock,
    begun_at: Timestamp,
    /// Next hint to ask; all are asked when it is past the end.
    hint: usize,
    is_asking: bool,
    /// The first bytes of the card, from the hint that is being asked.
    have: Vec<u8>,
    not_found: usize,
    round: u32,
    unsure_rounds: u32,
    next_at: Timestamp,
}

impl Knocks {
    /// `has_proxy`: each hint is asked through the proxy too, after all were asked without it.
    pub(super) fn begin(&mut self, now: Timestamp, mut knock: Knock, has_proxy: bool) {
        knock.hints = knock.hints.iter().flat_map(|hint| ways(hint)).collect();
        let proxied = knock.hints.iter().filter(|_| has_proxy).filter_map(|way| by_proxy(way));
        knock.hints.extend(proxied.collect::<Vec<_>>());
        if self.knocks.contains_key(&knock.id) {
            return;
        }
        if self.knocks.len() >= KNOCKS_MAX {
            let oldest = self
                .knocks
                .iter()
                .min_by_key(|(id, state)| (state.begun_at, **id))
                .map(|(id, _)| *id);
            oldest.and_then(|id| self.knocks.remove(&id));
        }
        let (id, begun_at, next_at) = (knock.id, now, now);
        let counts = (0, 0, 0, 0);
        let (hint, not_found, round, unsure_rounds) = counts;
        let state = State {
            knock,
            begun_at,
            hint,
            is_asking: false,
            have: Vec::new(),
            not_found,
            round,
            unsure_rounds,
            next_at,
        };
        self.knocks.insert(id, state);
    }

    pub(super) fn forget(&mut self, id: &[u8; 16]) {
        self.knocks.remove(id);
    }

    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        id: &[u8; 16],
        answer: Result<Vec<u8>, KnockError>,
        dice: u32,
    ) -> Knocked {
        let Some(state) = self.knocks.get_mut(id).filter(|state| state.is_asking) else {
            return Knocked::Nothing;
        };
        state.is_asking = false;
        if let Err(KnockError::Cut(have)) = &answer
            && have.len() > state.have.len()
        {
            // What came is not lost: the same hint is asked for the rest.
            state.have.clone_from(have);
            return Knocked::Nothing;
        }
        state.have.clear();
        state.hint += 1;
        let outcome = match answer {
            Ok(card) => Knocked::Card(card),
            Err(error) => state.missed(now, &error, dice),
        };
        if outcome != Knocked::Nothing {
            self.knocks.remove(id);
        }
        outcome
    }

    /// The ways that are left of a round that is due: the first that may be gone is.
    pub(super) fn next_to_ask(&self, now: Timestamp) -> Option<([u8; 16], Vec<String>)> {
        self.knocks.iter().find_map(|(id, state)| {
            let is_due = !state.is_asking && state.next_at <= now;
            let ways = state
                .knock
                .hints
                .get(state.hint..)
                .filter(|ways| is_due && !ways.is_empty())?;
            Some((*id, ways.to_vec()))
        })
    }

    pub(super) fn ask_later(&mut self, id: &[u8; 16], later: Timestamp) {
        if let Some(state) = self.knocks.get_mut(id) {
            state.next_at = later;
        }
    }

    pub(super) fn ask(&mut self, id: &[u8; 16], address: String, hello: Hello) -> Option<Output> {
        let state = self.knocks.get_mut(id)?;
        let left = state.knock.hints.get(state.hint..)?;
        state.hint += left.iter().position(|way| *way == address)?;
        state.is_asking = true;
        Some(Output::Knock {
            id: *id,
            address,
            path: state.knock.path,
            proof: state.knock.proof,
            have: state.have.clone(),
            hello,
        })
    }

    /// How many handshakes that count with this one are under way.
    pub(super) fn asking(&self, address: &str) -> usize {
        let wanted = key(address);
        let asking = self.knocks.values().filter(|state| state.is_asking);
        asking
            .filter(|state| {
                state
                    .knock
                    .hints
                    .get(state.hint)
                    .is_some_and(|hint| key(hint) == wanted)
            })
            .count()
    }

    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        let waiting = self
            .knocks
            .values()
            .filter(|state| !state.is_asking && !state.knock.hints.is_empty());
        waiting.map(|state| state.next_at).min()
    }
}

impl State {
    /// One hint gave no card. At the end of a round: spent, or again later.
    fn missed(&mut self, now: Timestamp, error: &KnockError, dice: u32) -> Knocked {
        self.not_found += usize::from(*error == KnockError::NotFound);
        let hints = self.knock.hints.len();
        if self.hint < hints {
            return Knocked::Nothing;
        }
        let not_found = std::mem::take(&mut self.not_found);
        self.unsure_rounds = if not_found > 0 { self.unsure_rounds + 1 } else { 0 };
        // A hint that says 404 may be a stranger at an address that is not ours any more; so ask the silent ones again.
        if not_found == hints || self.unsure_rounds >= UNSURE_ROUNDS {
            return Knocked::Spent;
        }
        self.hint = 0;
        self.next_at = now.plus_ms(pause_ms(ROUND_MS, self.round, ROUND_MS_MAX, dice));
        self.round = self.round.saturating_add(1);
        Knocked::Nothing
    }
}
