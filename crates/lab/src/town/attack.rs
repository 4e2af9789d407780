//! Whoever has seized the relay guesses which mailboxes belong together.
//!
//! In: what is seized, and a [`Skill`]: what the attacker has learned from a town of its own, whose truth it knows. Out: how
//! many guesses were right, and how many would be by chance. It is given more than it would have: lists of the mailboxes to
//! be linked, which it would first have to tell apart.

use std::collections::{BTreeMap, BTreeSet};

use stonechat_wire::ids::Tag;
use stonechat_wire::mailbox::{Lane, SLOT_MS};

use super::{BEGINNING, DAY, Plan, Seized, Truth};

/// Right guesses, and what chance would give.
#[derive(Clone, Copy, Debug, Default)]
pub struct Score {
    /// How many were made.
    pub guesses: usize,
    /// How many were right.
    pub right: usize,
    /// How many a guess at random would have right, on average.
    pub by_chance: f64,
}

impl Score {
    /// Share of right guesses, and of those by chance.
    #[must_use]
    pub fn rates(self) -> (f64, f64) {
        let all = self.guesses.max(1) as f64;
        (self.right as f64 / all, self.by_chance / all)
    }

    fn count(&mut self, is_right: bool, chance: f64) {
        self.guesses += 1;
        self.right += usize::from(is_right);
        self.by_chance += chance;
    }
}

/// How much each hint counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skill {
    /// That one mailbox begins where the other one ends.
    pub follows: f64,
    /// That as much comes in a day.
    pub rate: f64,
    /// That the sizes are as many.
    pub sizes: f64,
    /// That something else came just before both, as a commit does.
    pub begins: f64,
    /// That their puts stand beside each other.
    pub together: f64,
    /// How near two puts stand for that, in cursors.
    pub near: usize,
}

impl Skill {
    const NONE: Self = Self {
        follows: 0.0,
        rate: 0.0,
        sizes: 0.0,
        begins: 0.0,
        together: 0.0,
        near: 2,
    };
}

/// What the disk tells of a mailbox.
#[derive(Debug)]
pub struct Seen {
    tag: Tag,
    /// Places in the order of cursors.
    puts: Vec<usize>,
    sizes: [f64; 8],
    per_day: f64,
    /// How far before its first put the last envelope of 60 days came.
    commit_before: usize,
}

/// All mailboxes that are to be linked: of the last day of one week, and of the first two of the next.
#[derive(Debug)]
pub struct Sight {
    before: Vec<Seen>,
    after: Vec<Seen>,
    /// Of the first of these days and the one before: to be linked by person.
    day: Vec<Seen>,
}

impl Sight {
    /// What there is to see around the beginning of the last week.
    #[must_use]
    pub fn of(seized: &Seized, truth: &Truth, plan: Plan) -> Self {
        let boundary = BEGINNING + (plan.weeks - 1) * SLOT_MS;
        let mut puts: BTreeMap<Tag, Vec<usize>> = BTreeMap::new();
        let (mut commits, mut days) = (Vec::new(), Vec::new());
        for (place, envelope) in seized.envelopes.iter().enumerate() {
            // The expiry is the next midnight after 30 days: it tells the day.
            let is_commit = truth
                .mailboxes
                .get(&envelope.tag)
                .is_some_and(|whose| whose.lane == Lane::Commit);
            let life = if is_commit { 60 } else { 30 };
            days.push(envelope.expires_at.0 - (life + 1) * DAY);
            if is_commit {
                commits.push(place);
            } else {
                puts.entry(envelope.tag).or_default().push(place);
            }
        }
        let see = |(tag, puts): (&Tag, &Vec<usize>)| Seen::new(*tag, puts, seized, &commits, &days);
        let within = |from: u64, to: u64, place: usize| (from..to).contains(&days[place]);
        let before = puts.iter().filter(|(_, puts)| {
            let (first, last) = (days[puts[0]], days[puts[puts.len() - 1]]);
            first < boundary && last >= boundary - DAY
        });
        let after = puts
            .iter()
            .filter(|(_, puts)| within(boundary, boundary + 2 * DAY, puts[0]));
        let day = puts
            .iter()
            .filter(|(_, puts)| within(boundary, boundary + DAY, puts[0]) && puts.len() >= 3);
        Self {
            before: before.map(see).collect(),
            after: after.map(see).collect(),
            day: day.map(see).collect(),
        }
    }

    /// Which mailbox of the new week is that of an old one's conversation?
    #[must_use]
    pub fn link_weeks(&self, truth: &Truth, skill: Skill) -> Score {
        let same = |a: &Seen, b: &Seen| truth.mailboxes[&a.tag].conversation == truth.mailboxes[&b.tag].conversation;
        guess(&self.before, &self.after, same, |a, b| a.goes_on_in(b, skill))
    }

    /// Which other mailbox of the day has a person in common with this one?
    #[must_use]
    pub fn link_people(&self, truth: &Truth, skill: Skill) -> Score {
        let members = |seen: &Seen| &truth.members[truth.mailboxes[&seen.tag].conversation];
        let same = |a: &Seen, b: &Seen| !members(a).is_disjoint(members(b));
        guess(&self.day, &self.day, same, |a, b| a.is_near(b, skill))
    }

    /// The first, by what readers of one mailbox read besides: the relay's memory has it, or a log of puts.
    #[must_use]
    pub fn link_weeks_by(&self, truth: &Truth, known_to: &[Vec<Tag>]) -> Score {
        let by_tag = by_tag(known_to);
        let same = |a: &Seen, b: &Seen| truth.mailboxes[&a.tag].conversation == truth.mailboxes[&b.tag].conversation;
        guess(&self.before, &self.after, same, |a, b| likeness(&by_tag, a.tag, b.tag))
    }

    /// The second.
    #[must_use]
    pub fn link_people_by(&self, truth: &Truth, known_to: &[Vec<Tag>]) -> Score {
        let by_tag = by_tag(known_to);
        let members = |seen: &Seen| &truth.members[truth.mailboxes[&seen.tag].conversation];
        let same = |a: &Seen, b: &Seen| !members(a).is_disjoint(members(b));
        guess(&self.day, &self.day, same, |a, b| likeness(&by_tag, a.tag, b.tag))
    }
}

/// What a connection put, where a hostile relay kept it.
#[must_use]
pub fn by_connection(seized: &Seized) -> Vec<Vec<Tag>> {
    let mut all: BTreeMap<usize, BTreeSet<Tag>> = BTreeMap::new();
    for (connection, tag) in &seized.puts {
        all.entry(*connection).or_default().insert(*tag);
    }
    all.into_values().map(|tags| tags.into_iter().collect()).collect()
}

/// What an attacker learns from a town of its own: the hints that do best there, for weeks and for people.
#[must_use]
pub fn learn(sight: &Sight, truth: &Truth) -> (Skill, Skill) {
    let hints: [fn(&mut Skill, f64); 5] = [
        |skill, weight| skill.sizes = weight,
        |skill, weight| skill.rate = weight,
        |skill, weight| skill.follows = weight,
        |skill, weight| skill.begins = weight,
        |skill, weight| skill.together = weight,
    ];
    let mut weeks = Skill::NONE;
    for hint in hints {
        let tried = [0.0, 0.3, 1.0, 3.0, 20.0].map(|weight| {
            let mut skill = weeks;
            hint(&mut skill, weight);
            skill
        });
        weeks = best(&tried, |skill| sight.link_weeks(truth, skill));
    }
    let tried = [1, 2, 4, 8, 16, 40, 100].map(|near| Skill { near, ..Skill::NONE });
    (weeks, best(&tried, |skill| sight.link_people(truth, skill)))
}

fn best(tried: &[Skill], of: impl Fn(Skill) -> Score) -> Skill {
    let rated = tried.iter().map(|skill| (of(*skill).right, *skill));
    // The first of the best.
    let best = rated.rev().max_by_key(|(right, _)| *right);
    best.expect("some were tried").1
}

/// For each of some the best of others, itself left out.
fn guess(
    from: &[Seen],
    to: &[Seen],
    same: impl Fn(&Seen, &Seen) -> bool,
    score: impl Fn(&Seen, &Seen) -> f64,
) -> Score {
    let mut total = Score::default();
    for one in from {
        let others = || to.iter().filter(|other| other.tag != one.tag);
        let count = others().count();
        let right = others().filter(|other| same(one, other)).count();
        // Where nothing is right nobody can guess; it counts for neither.
        if count == 0 || right == 0 {
            continue;
        }
        let best = others().max_by(|a, b| score(one, a).total_cmp(&score(one, b)));
        total.count(best.is_some_and(|best| same(one, best)), right as f64 / count as f64);
    }
    total
}

fn by_tag(known_to: &[Vec<Tag>]) -> BTreeMap<Tag, BTreeSet<usize>> {
    let mut all: BTreeMap<Tag, BTreeSet<usize>> = BTreeMap::new();
    for (connection, tags) in known_to.iter().enumerate() {
        for tag in tags {
            all.entry(*tag).or_default().insert(connection);
        }
    }
    all
}

/// How alike two mailboxes are by who knows them: shared ones over all.
fn likeness(by_tag: &BTreeMap<Tag, BTreeSet<usize>>, a: Tag, b: Tag) -> f64 {
    let (Some(a), Some(b)) = (by_tag.get(&a), by_tag.get(&b)) else {
        return 0.0;
    };
    a.intersection(b).count() as f64 / a.union(b).count().max(1) as f64
}

impl Seen {
    fn new(tag: Tag, puts: &[usize], seized: &Seized, commits: &[usize], days: &[u64]) -> Self {
        let mut sizes = [0.0; 8];
        for place in puts {
            let size = seized.envelopes[*place].bytes.len();
            sizes[(size / 256).max(1).ilog2().min(7) as usize] += 1.0 / puts.len() as f64;
        }
        let lasted = (days[puts[puts.len() - 1]] - days[puts[0]]) / DAY + 1;
        let commit = commits.partition_point(|commit| *commit < puts[0]);
        let commit_before = commit.checked_sub(1).map_or(usize::MAX, |at| puts[0] - commits[at]);
        Self {
            tag,
            puts: puts.to_vec(),
            sizes,
            per_day: puts.len() as f64 / lasted as f64,
            commit_before,
        }
    }

    fn goes_on_in(&self, next: &Self, skill: Skill) -> f64 {
        let (last, first) = (self.puts[self.puts.len() - 1], next.puts[0]);
        let gap = (first.abs_diff(last) as f64).ln_1p();
        let rate = (self.per_day.ln() - next.per_day.ln()).abs();
        let sizes: f64 = self.sizes.iter().zip(&next.sizes).map(|(a, b)| (a - b).abs()).sum();
        let begins = (next.commit_before.min(1 << 20) as f64).ln_1p();
        let together = if skill.together > 0.0 {
            self.is_near(next, skill)
        } else {
            0.0
        };
        skill.together * together
            - skill.follows * gap
            - skill.rate * rate
            - skill.sizes * sizes
            - skill.begins * begins
    }

    /// How often the other one's puts stand near its own, for how many they are.
    fn is_near(&self, other: &Self, skill: Skill) -> f64 {
        let near = |place: &&usize| {
            let from = other.puts.partition_point(|at| *at + skill.near < **place);
            other.puts.get(from).is_some_and(|at| *at <= **place + skill.near)
        };
        let together = self.puts.iter().filter(near).count() as f64;
        together / (self.puts.len() as f64 * other.puts.len() as f64).sqrt()
    }
}
