//! A model of forks: every order in which a few commits and messages can be made apart and reach one another.
//!
//! The rule itself is the real one (`stonechat_core::fork`). The checker walks every interleaving of a small script by
//! three people (four where two thirds matter) and asks after each step; with a clause switched off it must find the attack that the clause is there for.

use stateright::{Checker, Model, Property};
use std::collections::{BTreeMap, BTreeSet};
use stonechat_core::fork::{Class, Clauses, Commit, Node, Votes, head_by};
use stonechat_wire::ids::{AccountId, EpochId};

const OWNER: u8 = 0;
const ADMIN: u8 = 1;
const MEMBER: u8 = 2;
const ANOTHER: u8 = 3;
const PEOPLE: [u8; 3] = [OWNER, ADMIN, MEMBER];

/// What the attacker may do besides what everybody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    /// Unseated, make a commit on an old epoch, with a hash of its choice.
    ComeBack,
    /// Make a self-update on an old epoch, with the lowest hash, after having moved on.
    LateWinner,
    /// Make a self-update on an old epoch that goes before all honest ones (by authority, and by a hash that was tried until
    /// it is the lowest), without having moved on.
    Ground,
    /// Make two commits on one epoch, and show the lower one when it suits.
    Equivocate,
}

impl Attack {
    /// Four where three who write are more than two thirds without the attacker.
    const fn people(self) -> &'static [u8] {
        match self {
            Self::ComeBack | Self::LateWinner => &PEOPLE,
            Self::Ground | Self::Equivocate => &[OWNER, ADMIN, MEMBER, ANOTHER],
        }
    }

    /// The attacker only attacks, and one honest commit is enough.
    const fn is_of_four(self) -> bool {
        matches!(self, Self::Ground | Self::Equivocate)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    /// Commits by the epoch they make: who, on which epoch, class, whom they unseat.
    commits: BTreeMap<u8, (u8, u8, u8, Option<u8>)>,
    /// Which epochs each person knows.
    known: BTreeMap<u8, BTreeSet<u8>>,
    /// Where each person wrote, oldest first.
    wrote: Vec<(u8, u8)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Act {
    /// Somebody commits on their head: class 0 (unseats the admin) or 2.
    Commit(u8, u8),
    /// Somebody writes on their head.
    Write(u8),
    /// Somebody learns of a commit whose parent they know.
    Learn(u8, u8),
    /// The attacker's commit on the first epoch.
    Attack,
}

struct Forks {
    attack: Attack,
    clauses: Clauses,
}

fn account(person: u8) -> AccountId {
    AccountId::from_bytes([person; 32])
}

fn epoch(number: u8) -> EpochId {
    EpochId::from_bytes([number; 16])
}

impl World {
    fn nodes(&self, known: &BTreeSet<u8>) -> Vec<Node> {
        let members: BTreeSet<AccountId> = self.known.keys().copied().map(account).collect();
        let commit = |made: &u8| {
            let (author, parent, class, unseats) = self.commits.get(made)?;
            Some(Commit {
                parent: epoch(*parent),
                author: account(*author),
                class: match class {
                    0 => Class::Unseats,
                    1 => Class::Admin,
                    _ => Class::Renewal,
                },
                rank: u32::from(*author),
                hash: [*made; 32],
                unseats: unseats.iter().map(|who| (account(*who), None)).collect(),
                leaf: [*author; 8],
                ousts: vec![],
            })
        };
        let node = |made: &u8| Node {
            epoch: epoch(*made),
            members: members.clone(),
            commit: commit(made),
        };
        known.iter().map(node).collect()
    }

    fn head(&self, person: u8, clauses: Clauses) -> u8 {
        self.head_of(&self.known[&person], clauses)
    }

    fn head_of(&self, known: &BTreeSet<u8>, clauses: Clauses) -> u8 {
        let seen = self.wrote.iter().filter(|(_, at)| known.contains(at));
        let votes = Votes {
            wrote: seen.clone().map(|(who, at)| (account(*who), epoch(*at))).collect(),
            newest: seen.map(|(who, at)| (account(*who), epoch(*at))).collect(),
        };
        head_by(&self.nodes(known), &votes, epoch(ROOT), clauses).as_bytes()[0]
    }

    /// The epoch and what it descends from.
    fn path(&self, from: u8) -> Vec<u8> {
        let mut path = vec![from];
        while let Some((_, parent, ..)) = self.commits.get(path.last().unwrap()) {
            path.push(*parent);
        }
        path
    }

    /// Commits on the first epoch that somebody knows.
    fn rivals(&self, known: &BTreeSet<u8>) -> Vec<u8> {
        let commits = self.commits.iter().filter(|(made, _)| known.contains(made));
        commits
            .filter(|(_, (_, parent, ..))| *parent == ROOT)
            .map(|(made, _)| *made)
            .collect()
    }

    /// By what somebody knows, the author of this commit on the first epoch wrote or made a commit behind another one.
    fn has_moved_on(&self, known: &BTreeSet<u8>, made: u8) -> bool {
        let author = self.commits[&made].0;
        let behind = |at: u8| at != ROOT && !self.path(at).contains(&made);
        let wrote = self
            .wrote
            .iter()
            .any(|(who, at)| *who == author && known.contains(at) && behind(*at));
        let committed = self
            .commits
            .iter()
            .any(|(other, (by, parent, ..))| *by == author && known.contains(other) && behind(*parent));
        wrote || committed
    }

    fn add(&mut self, number: u8, author: u8, parent: u8, class: u8, unseats: Option<u8>) {
        self.commits.insert(number, (author, parent, class, unseats));
        self.known.get_mut(&author).unwrap().insert(number);
    }
}

const ROOT: u8 = 100;
/// The attacker's commit has the lowest hash, everybody else's higher ones.
const ATTACK: u8 = 1;
/// The second commit of whoever makes two on one epoch: higher than the other, lower than honest ones.
const SECOND: u8 = 2;
const HONEST: u8 = 10;
const COMMITS_MAX: usize = 3;
const WRITES_MAX: usize = 2;

impl Model for Forks {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            commits: BTreeMap::new(),
            known: self
                .attack
                .people()
                .iter()
                .map(|person| (*person, BTreeSet::from([ROOT])))
                .collect(),
            wrote: Vec::new(),
        }]
    }

    fn actions(&self, state: &World, actions: &mut Vec<Act>) {
        for person in self.attack.people() {
            self.commits_of(state, *person, actions);
            let once = state.wrote.iter().filter(|(who, _)| who == person).count() < 1;
            let writes = !(self.attack.is_of_four() && *person == ADMIN);
            let most = if self.attack.is_of_four() {
                WRITES_MAX + 1
            } else {
                WRITES_MAX
            };
            if once && writes && state.wrote.len() < most {
                actions.push(Act::Write(*person));
            }
            for (made, (_, parent, ..)) in &state.commits {
                let known = &state.known[person];
                if known.contains(parent) && !known.contains(made) {
                    actions.push(Act::Learn(*person, *made));
                }
            }
        }
        let moved = state.wrote.iter().any(|(who, at)| *who == ADMIN && *at != ROOT);
        let ready = moved || self.attack != Attack::LateWinner;
        let again = self.attack == Attack::Equivocate && !state.commits.contains_key(&SECOND);
        if ready && (again || !state.commits.contains_key(&ATTACK)) && state.commits.len() < COMMITS_MAX {
            actions.push(Act::Attack);
        }
    }

    fn next_state(&self, before: &World, act: Act) -> Option<World> {
        let mut state = before.clone();
        match act {
            Act::Commit(person, class) => {
                let number = HONEST + u8::try_from(state.commits.len()).ok()?;
                let parent = state.head(person, self.clauses);
                state.add(number, person, parent, class, (class == 0).then_some(ADMIN));
            }
            Act::Write(person) => {
                let at = state.head(person, self.clauses);
                state.wrote.push((person, at));
            }
            Act::Learn(person, made) => {
                state.known.get_mut(&person)?.insert(made);
            }
            Act::Attack => match self.attack {
                Attack::ComeBack => state.add(ATTACK, ADMIN, ROOT, 1, None),
                Attack::LateWinner | Attack::Ground => state.add(ATTACK, ADMIN, ROOT, 2, None),
                Attack::Equivocate if state.commits.contains_key(&SECOND) => state.add(ATTACK, ADMIN, ROOT, 2, None),
                Attack::Equivocate => state.add(SECOND, ADMIN, ROOT, 2, None),
            },
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(
            "the clause keeps its promise",
            |model: &Self, state: &World| state.known.keys().all(|person| model.promise(state, *person)),
        )]
    }
}

impl Forks {
    fn commits_of(&self, state: &World, person: u8, actions: &mut Vec<Act>) {
        if state.commits.len() >= COMMITS_MAX {
            return;
        }
        let removes = person == OWNER && self.attack == Attack::ComeBack;
        if removes && !state.commits.values().any(|(_, _, class, _)| *class == 0) {
            actions.push(Act::Commit(person, 0));
        }
        let honest = state.commits.keys().any(|made| *made >= HONEST);
        let may = if self.attack.is_of_four() {
            person == MEMBER && !honest && self.attack == Attack::Ground
        } else {
            person != ADMIN
        };
        if may {
            actions.push(Act::Commit(person, 2));
        }
    }

    fn promise(&self, state: &World, person: u8) -> bool {
        let known = &state.known[&person];
        let head = state.path(state.head(person, self.clauses));
        match self.attack {
            // Whoever knows the removal never writes on a branch that the unseated made beside it.
            Attack::ComeBack => {
                let removal = state
                    .commits
                    .iter()
                    .find(|(made, commit)| commit.2 == 0 && known.contains(made));
                let beside = removal.is_some_and(|(made, _)| !state.path(*made).contains(&ATTACK));
                !(beside && head.contains(&ATTACK))
            }
            // Whoever knows that the author wrote behind another commit is not drawn to its late rival, as long as
            // some other commit's author has not moved on itself.
            Attack::LateWinner => {
                let rivals = state.rivals(known);
                let moved = rivals.contains(&ATTACK) && state.has_moved_on(known, ATTACK);
                let stays = rivals.iter().any(|made| !state.has_moved_on(known, *made));
                !(moved && stays && head.contains(&ATTACK))
            }
            // Where more than two thirds wrote on another branch, the best place and hash draw nobody away from it.
            Attack::Ground => {
                let there = |(who, at): &&(u8, u8)| *who != ADMIN && known.contains(at) && is_beside(state, *at);
                let wrote = state.wrote.iter().filter(there).count();
                !(wrote == 3 && known.contains(&ATTACK) && head.contains(&ATTACK))
            }
            // Whoever knows both has the lower one, whoever wrote where: nobody can show it later and split those who know.
            Attack::Equivocate => !(known.contains(&ATTACK) && head.contains(&SECOND)),
        }
    }
}

/// The epoch lies on the branch of somebody's honest commit, made beside the attacker's.
fn is_beside(state: &World, at: u8) -> bool {
    let path = state.path(at);
    path.iter().any(|on| (HONEST..ROOT).contains(on)) && !path.contains(&ATTACK)
}

fn holds(attack: Attack, clauses: Clauses) -> bool {
    let checker = Forks { attack, clauses }.checker().spawn_bfs().join();
    assert!(checker.unique_state_count() > 100, "{}", checker.unique_state_count());
    checker.discoveries().is_empty()
}

#[test]
fn a_removed_admin_comes_back_only_without_its_clause_fork_2() {
    assert!(holds(Attack::ComeBack, Clauses::ALL));
    let without = Clauses {
        void: false,
        ..Clauses::ALL
    };
    assert!(!holds(Attack::ComeBack, without));
}

#[test]
fn a_late_winner_wins_only_without_its_clause_fork_5() {
    assert!(holds(Attack::LateWinner, Clauses::ALL));
    let without = Clauses {
        moved_on: false,
        held: false,
        ..Clauses::ALL
    };
    assert!(!holds(Attack::LateWinner, without));
}

#[test]
fn a_ground_renewal_draws_nobody_from_a_branch_that_is_held_only_with_its_clause_fork_3() {
    assert!(holds(Attack::Ground, Clauses::ALL));
    let without = Clauses {
        held: false,
        ..Clauses::ALL
    };
    assert!(!holds(Attack::Ground, without));
}

#[test]
fn an_equivocating_leaf_splits_those_who_know_both_only_without_its_clause_fork_6() {
    assert!(holds(Attack::Equivocate, Clauses::ALL));
    let without = Clauses {
        one_each: false,
        ..Clauses::ALL
    };
    assert!(!holds(Attack::Equivocate, without));
}
