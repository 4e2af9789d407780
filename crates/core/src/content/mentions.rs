//! Who is meant in a text, and whether that counts.
//!
//! In: typed texts; texts that came, with their epoch and sender. Out: what is marked in them and counts. Everybody judges
//! alike: by the members and roles of the epoch that a text was written in (CON-18).

use super::shown::Shown;
use super::signs;
use crate::api::Fault;
use crate::conversation::epochs;
use crate::conversation::{Conversation, TEXT_MAX};
use crate::step::{Step, Stop};
use rusqlite::params;
use std::collections::BTreeSet;
use stonechat_wire::group::Role;
use stonechat_wire::ids::{AccountId, EpochId};
use stonechat_wire::marks::{Mark, Spans};

/// What people type for all members.
const ALL: [&str; 2] = ["all", "все"];

/// What a typed text says: as it stands, or with its signs read as marks.
pub(crate) fn typed(step: &Step<'_, '_>, to: &Conversation, text: &str, marked: bool) -> Result<Shown, Stop> {
    if !marked {
        return Ok(Shown::text(text.to_owned()));
    }
    let (text, spans) = signs::read(text, &names(step, to)?);
    if text.len() > TEXT_MAX {
        return Err(Stop::Fault(Fault::BadText));
    }
    Ok(Shown {
        spans,
        ..Shown::text(text)
    })
}

/// What members of a chat are called here.
fn names(step: &Step<'_, '_>, to: &Conversation) -> Result<Vec<(String, Mark)>, Stop> {
    let me = step.me()?;
    let mut names = Vec::new();
    for account in epochs::accounts(step, to.epoch)? {
        if account != me {
            let called = called(step, to, account)?.into_iter();
            names.extend(called.map(|name| (name, Mark::Mention(account))));
        }
    }
    if may_mean_all(step, to.epoch, me)? {
        names.extend(ALL.map(|name| (name.to_owned(), Mark::All)));
    }
    Ok(names)
}

fn called(step: &Step<'_, '_>, to: &Conversation, account: AccountId) -> Result<Vec<String>, Stop> {
    let sql = "SELECT coalesce(nullif(alias, ''), own_name) AS name FROM contact WHERE account = ?1
               UNION SELECT name FROM seat WHERE chat = ?2 AND account = ?1";
    let mut statement = step.tx.prepare_cached(sql)?;
    let names = statement.query_map(params![account.as_bytes(), to.chat], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// A text that came: mentions that do not count are text.
pub(crate) fn judged(step: &Step<'_, '_>, epoch: EpochId, sender: AccountId, shown: Shown) -> Result<Shown, Stop> {
    let spans = counting(step, epoch, sender, &shown.spans)?;
    let me = step.me()?;
    let means_me = |mark: &Mark| matches!(mark, Mark::All) || *mark == Mark::Mention(me);
    let mentions_me = sender != me && spans.all().iter().any(|span| means_me(&span.mark));
    Ok(Shown {
        spans,
        mentions_me,
        ..shown
    })
}

/// Spans without the mentions that do not count.
pub(super) fn counting(step: &Step<'_, '_>, epoch: EpochId, sender: AccountId, spans: &Spans) -> Result<Spans, Stop> {
    let is_mention = |mark: &Mark| matches!(mark, Mark::Mention(_) | Mark::All);
    if !spans.all().iter().any(|span| is_mention(&span.mark)) {
        return Ok(spans.clone());
    }
    let members: BTreeSet<AccountId> = epochs::accounts(step, epoch)?;
    let all = may_mean_all(step, epoch, sender)?;
    Ok(spans.without(|mark| match mark {
        Mark::Mention(account) => !members.contains(account),
        Mark::All => !all,
        _other => false,
    }))
}

/// Moderators and above; in a conversation of two nobody, for there is nobody else.
fn may_mean_all(step: &Step<'_, '_>, epoch: EpochId, sender: AccountId) -> Result<bool, Stop> {
    let state = epochs::rights(step, epoch)?;
    Ok(state
        .and_then(|state| state.role(sender))
        .is_some_and(|role| role <= Role::Moderator))
}
