//! Groups of 2 to 1,001 through the whole messenger: what an operation takes and weighs, on a disk, with everything that is
//! written and listened to besides. Not OpenMLS alone.
//!
//! A step is one transaction of core, its commit to the disk included; bytes are those of the envelopes on the wire.
//! There is nobody else whose groups of 256 heal after quantum computers: beside each figure stands what we allow ourselves.
//! That of 1,001 is a large group (GRP-17): what it costs is reported, nothing is allowed for it.

use crate::crowd::{Cost, Crowd};
use crate::row::Row;
use anyhow::{Result, bail, ensure};
use stonechat_core::api::{self, Command, Reply};

/// Members of the groups that are measured.
const SIZES: [usize; 5] = [2, 11, 101, 256, 1001];
/// Texts that are written for one figure.
const TEXTS: usize = 50;
const TEXT: &str = "thirty bytes of ordinary words";
/// Who writes and adds, who reads, who is removed and comes back. Everybody else is asleep.
const FOUNDER: usize = 0;
const READER: usize = 1;
const WANDERER: usize = 2;

/// What is allowed at 256 members, in milliseconds.
const MESSAGE_MS: f64 = 5.0;
const JOIN_MS: f64 = 1000.0;
const COMMIT_MS: f64 = 300.0;
const GOAL: &str = "allowed at 256 members";

/// Rows for every size.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let folder = tempfile::tempdir_in("target")?;
    let most = SIZES.into_iter().max().unwrap_or(2);
    let mut crowd = Crowd::met(folder.path(), most)?;
    let mut rows = vec![];
    for members in SIZES {
        let mut of = Measured {
            crowd: &mut crowd,
            members,
            rows: &mut rows,
        };
        of.group()?;
    }
    Ok(rows)
}

struct Measured<'a> {
    crowd: &'a mut Crowd,
    members: usize,
    rows: &'a mut Vec<Row>,
}

impl Measured<'_> {
    fn group(&mut self) -> Result<()> {
        let chat = self.found()?;
        let joined = self.join(READER)?;
        self.row("join (one Welcome, and the tree)", &joined, JOIN_MS);
        self.crowd.settle(&self.awake())?;
        self.texts(chat)?;
        self.renewal()?;
        if self.members > WANDERER {
            self.gone_and_back(chat)?;
        }
        self.texts(chat)?;
        self.sizes()
    }

    fn awake(&self) -> Vec<usize> {
        [FOUNDER, READER, WANDERER]
            .into_iter()
            .filter(|who| *who < self.members)
            .collect()
    }

    fn found(&mut self) -> Result<i64> {
        let others = (1..self.members).map(|number| Ok(self.crowd.person(number)?.account.clone()));
        let wish = api::GroupCreate {
            large: self.members > 256,
            name: format!("group of {}", self.members),
            members: others.collect::<Result<_>>()?,
        };
        let (Reply::Group(group), cost) = self.crowd.ask(FOUNDER, Command::GroupCreate(wish))? else {
            bail!("no group")
        };
        self.row("found, and add all at once", &cost, f64::NAN);
        Ok(group.chat)
    }

    /// The Welcome, then what it has in common with others, where that was put apart (GRP-15).
    fn join(&mut self, who: usize) -> Result<Cost> {
        let mut all = Cost::default();
        loop {
            let one = self.crowd.take_in(who)?;
            if one.envelopes == 0 {
                return Ok(all);
            }
            all.time += one.time;
            all.envelopes += one.envelopes;
            all.bytes += one.bytes;
        }
    }

    /// One text after the other, each taken in by itself.
    fn texts(&mut self, chat: i64) -> Result<()> {
        let (mut written, mut read) = (vec![], vec![]);
        for _ in 0..TEXTS {
            let wish = api::Send {
                chat,
                text: TEXT.into(),
                client_id: None,
                marked: false,
                reply_to: None,
            };
            written.push(self.crowd.ask(FOUNDER, Command::Send(wish))?.1);
            let taken = self.crowd.take_in(READER)?;
            ensure!(taken.envelopes == 1, "a text is {} envelopes", taken.envelopes);
            read.push(taken);
            self.crowd.settle(&self.awake())?;
        }
        self.row("a text of 30 bytes, written", &median(written), MESSAGE_MS);
        self.row("a text of 30 bytes, taken in", &median(read), MESSAGE_MS);
        Ok(())
    }

    /// The first self-update of the reader: nobody else has made one, so every leaf is sealed to by itself.
    fn renewal(&mut self) -> Result<()> {
        let due = "UPDATE conversation SET commit_at = 0, renew_at = CASE grouped WHEN 1 THEN 0 ELSE renew_at END
                   WHERE group_id = (SELECT group_id FROM conversation WHERE grouped = 1 ORDER BY chat DESC LIMIT 1)";
        self.crowd.person(READER)?.change(due)?;
        let made = self.crowd.wake(READER)?;
        let taken = self.crowd.take_in(FOUNDER)?;
        self.row("self-update in a new tree, made", &made, COMMIT_MS);
        self.row("self-update in a new tree, taken in", &taken, COMMIT_MS);
        self.crowd.settle(&self.awake())
    }

    fn gone_and_back(&mut self, chat: i64) -> Result<()> {
        let members = vec![self.crowd.person(WANDERER)?.account.clone()];
        let wish = api::GroupMembers { chat, members };
        let (_, made) = self.crowd.ask(FOUNDER, Command::GroupRemove(wish.clone()))?;
        let taken = self.crowd.take_in(READER)?;
        self.row("remove one, made", &made, COMMIT_MS);
        self.row("remove one, taken in", &taken, COMMIT_MS);
        self.crowd.settle(&self.awake())?;
        let (_, made) = self.crowd.ask(FOUNDER, Command::GroupAdd(wish))?;
        let taken = self.crowd.take_in(READER)?;
        self.row("add one, made (with its Welcome)", &made, COMMIT_MS);
        self.row("add one, taken in", &taken, COMMIT_MS);
        let joined = self.join(WANDERER)?;
        self.row("join again (one Welcome, and the tree)", &joined, JOIN_MS);
        self.crowd.settle(&self.awake())
    }

    fn sizes(&mut self) -> Result<()> {
        let newest = "(SELECT group_id FROM conversation WHERE grouped = 1 ORDER BY chat DESC LIMIT 1)";
        let head = format!(
            "SELECT sum(length(r.key) + length(r.value)) FROM epoch_row r JOIN conversation v ON v.group_id = r.group_id
             AND v.head = r.object WHERE v.group_id = {newest}"
        );
        let all = format!(
            "SELECT (SELECT sum(length(key) + length(value)) FROM epoch_row WHERE group_id = {newest})
                  + (SELECT sum(length(bytes) + 36) FROM tree_piece WHERE group_id = {newest})"
        );
        let epochs = format!("SELECT count(DISTINCT object) FROM epoch_row WHERE group_id = {newest}");
        let reader = self.crowd.person(READER)?;
        let (head, all, epochs) = (reader.number(&head)?, reader.number(&all)?, reader.number(&epochs)?);
        self.bytes("state of one epoch without its tree", usize::try_from(head)?);
        let what = format!("state of all {epochs} retained epochs");
        self.bytes(&what, usize::try_from(all)?);
        Ok(())
    }

    fn row(&mut self, what: &str, cost: &Cost, goal: f64) {
        self.rows.push(Row {
            name: format!(
                "{} members: {what} ({} envelopes, {} B)",
                self.members, cost.envelopes, cost.bytes
            ),
            unit: "ms",
            ours: cost.time.as_secs_f64() * 1e3,
            peer: GOAL,
            peer_value: goal,
            runs: 1,
        });
    }

    fn bytes(&mut self, what: &str, bytes: usize) {
        self.rows.push(Row {
            name: format!("{} members: {what}", self.members),
            unit: "B",
            ours: f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)),
            peer: "none",
            peer_value: f64::NAN,
            runs: 1,
        });
    }
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by_key(|cost| cost.time);
    costs.get(costs.len() / 2).copied().unwrap_or_default()
}
