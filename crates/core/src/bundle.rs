//! Bundles: what waits, for a person to carry; and what one has brought.
//!
//! In: where the page before ended, or a page that came by file. Out: a page of items; or rows, as if a relay had brought
//! them. Making one changes nothing but the generations that its receipts use up: all that waits goes on waiting.
//! Specified in `docs/protocol/15-bundle.md`.

use crate::api::{BundlePage, BundlePlace, BundleTaken, Fault, Reply};
use crate::conversation::{self, receipts};
use crate::inbox::{self, Took};
use crate::meeting::accept;
use crate::mls::Gid;
use crate::outbox;
use crate::step::{Step, Stop};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{OptionalExtension, ToSql, params};
use stonechat_wire::bundle::{self, Item};
use stonechat_wire::envelope::Envelope;
use stonechat_wire::ids::EpochId;
use stonechat_wire::invite::InviteSecret;
use stonechat_wire::mailbox::Lane;

/// A page ends with the content that brings it here (BDL-4).
const PAGE_BYTES: usize = 160_000;
/// A page that is taken in has no more: that, and one item.
const PAGE_BYTES_MAX: usize = PAGE_BYTES + 33_000;
/// Entries that are looked up at once.
const BATCH: u32 = 64;
/// Conversations that get a receipt (BDL-2).
const RECEIPTS_MAX: i64 = 64;
/// What came or was kept earlier is not carried (BDL-2).
const CARRIED_MS: u64 = 30 * 24 * 3600 * 1000;

/// The parts of a bundle, in their order (BDL-2); the number is [`BundlePlace::stage`].
#[derive(Clone, Copy)]
#[repr(u8)]
enum Stage {
    Doors = 0,
    Receipts = 1,
    Kept = 2,
    Outbox = 3,
}

impl Stage {
    const fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Doors),
            1 => Some(Self::Receipts),
            2 => Some(Self::Kept),
            3 => Some(Self::Outbox),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    items: u32,
}

impl Page {
    fn put(&mut self, item: &Item) {
        item.encode(&mut self.bytes);
        self.items = self.items.saturating_add(1);
    }

    fn reply(&self, next: Option<BundlePlace>) -> Reply {
        Reply::BundlePage(BundlePage {
            data: STANDARD.encode(&self.bytes),
            items: self.items,
            next,
        })
    }
}

/// Gives the page that begins there.
pub(crate) fn export(step: &mut Step<'_, '_>, from: Option<BundlePlace>) -> Result<Reply, Stop> {
    step.me()?;
    let BundlePlace { mut stage, mut after } = from.unwrap_or_default();
    if after < 0 {
        return Err(Stop::Fault(Fault::BadParams));
    }
    let mut page = Page::default();
    while let Some(part) = Stage::of(stage) {
        let entries = entries(step, part, after)?;
        if entries.is_empty() {
            (stage, after) = (stage.saturating_add(1), 0);
        }
        for entry in entries {
            put(step, part, entry, &mut page)?;
            after = entry;
            if page.bytes.len() >= PAGE_BYTES {
                return Ok(page.reply(Some(BundlePlace { stage, after })));
            }
        }
    }
    Ok(page.reply(None))
}

/// The next entries of a part, by their numbers.
fn entries(step: &Step<'_, '_>, stage: Stage, after: i64) -> Result<Vec<i64>, Stop> {
    let since = step.time.0.saturating_sub(CARRIED_MS).cast_signed();
    match stage {
        Stage::Doors => counted(
            step,
            "SELECT count(*) FROM invite WHERE state <= 1 AND length(card) > 0",
            after,
        ),
        Stage::Receipts => Ok((after.saturating_add(1)..=RECEIPTS_MAX).collect()),
        Stage::Kept => numbers(
            step,
            "SELECT number FROM original WHERE number > ? AND kept_at >= ? ORDER BY number LIMIT ?",
            params![after, since, BATCH],
        ),
        Stage::Outbox => numbers(
            step,
            // What is held back (FORK-8) has no envelope.
            "SELECT id FROM outbox WHERE id > ? AND purpose < 7 AND envelope <> x'' ORDER BY id LIMIT ?",
            params![after, BATCH],
        ),
    }
}

fn counted(step: &Step<'_, '_>, sql: &str, after: i64) -> Result<Vec<i64>, Stop> {
    let all: i64 = step.tx.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok((after.saturating_add(1)..=all).collect())
}

fn numbers(step: &Step<'_, '_>, sql: &str, which: &[&dyn ToSql]) -> Result<Vec<i64>, Stop> {
    let mut rows = step.tx.prepare_cached(sql)?;
    let found = rows.query_map(which, |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn put(step: &mut Step<'_, '_>, stage: Stage, entry: i64, page: &mut Page) -> Result<(), Stop> {
    match stage {
        Stage::Doors => put_door(step, entry, page),
        Stage::Receipts => put_receipt(step, entry, page),
        Stage::Kept => put_kept(step, entry, page),
        Stage::Outbox => put_waiting(step, entry, page),
    }
}

fn put_door(step: &Step<'_, '_>, entry: i64, page: &mut Page) -> Result<(), Stop> {
    let sql = "SELECT secret, card FROM invite WHERE state <= 1 AND length(card) > 0
               ORDER BY created_at, id LIMIT 1 OFFSET ?";
    let found: Option<([u8; 20], Vec<u8>)> = step
        .tx
        .prepare_cached(sql)?
        .query_row([entry.saturating_sub(1)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((secret, card)) = found {
        let path = InviteSecret::from_bytes(secret).path();
        let card = own(card)?;
        page.put(&Item::Door { path, card });
    }
    Ok(())
}

fn put_receipt(step: &mut Step<'_, '_>, entry: i64, page: &mut Page) -> Result<(), Stop> {
    let since = step.time.0.saturating_sub(CARRIED_MS).cast_signed();
    let sql = "SELECT v.group_id FROM chat c JOIN conversation v ON v.chat = c.id
               WHERE c.hidden = 0 AND c.saved = 0 AND c.active_at >= ? AND v.gone = 0
               ORDER BY c.active_at DESC, v.group_id LIMIT 1 OFFSET ?";
    let found: Option<Gid> = step
        .tx
        .prepare_cached(sql)?
        .query_row(params![since, entry.saturating_sub(1)], |row| row.get(0))
        .optional()?;
    let Some(to) = found
        .map(|group| conversation::load(step, &group))
        .transpose()?
        .flatten()
    else {
        return Ok(());
    };
    match receipts::to_carry(step, &to)? {
        Some(content) => put_sealed(step, Lane::App, to.epoch, &content, page),
        None => Ok(()),
    }
}

fn put_kept(step: &Step<'_, '_>, entry: i64, page: &mut Page) -> Result<(), Stop> {
    let (lane, epoch, content): (u8, [u8; 16], Vec<u8>) = step
        .tx
        .prepare_cached("SELECT lane, epoch_id, content FROM original WHERE number = ?")?
        .query_row([entry], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let lane = if lane == 1 { Lane::Commit } else { Lane::App };
    put_sealed(step, lane, EpochId::from_bytes(epoch), &content, page)
}

fn put_waiting(step: &Step<'_, '_>, entry: i64, page: &mut Page) -> Result<(), Stop> {
    let envelope = step
        .tx
        .prepare_cached("SELECT envelope FROM outbox WHERE id = ?")?
        .query_row([entry], |row| row.get(0))?;
    page.put(&Item::Envelope(own(envelope)?));
    Ok(())
}

fn put_sealed(step: &Step<'_, '_>, lane: Lane, epoch: EpochId, content: &[u8], page: &mut Page) -> Result<(), Stop> {
    let (envelopes, _token) = outbox::seal(step, lane, epoch, step.slot(), content)?;
    for envelope in envelopes {
        outbox::see(step, envelope.id())?;
        page.put(&Item::Envelope(envelope));
    }
    Ok(())
}

fn own(bytes: Vec<u8>) -> Result<Envelope, Stop> {
    Envelope::decode(bytes).map_err(|_| Stop::Refused("own envelope"))
}

/// Takes a page in: whole, or nothing of it.
pub(crate) fn import(step: &mut Step<'_, '_>, data: &str) -> Result<Reply, Stop> {
    step.me()?;
    let bytes = STANDARD.decode(data).map_err(|_| Stop::Fault(Fault::BrokenBundle))?;
    if bytes.len() > PAGE_BYTES_MAX {
        return Err(Stop::Fault(Fault::BrokenBundle));
    }
    let items = bundle::decode_items(&bytes).map_err(|_| Stop::Fault(Fault::BrokenBundle))?;
    let mut counts = BundleTaken::default();
    for item in items {
        let count = match take(step, &item)? {
            Took::New => &mut counts.taken,
            Took::Known => &mut counts.known,
            Took::Nothing => &mut counts.others,
        };
        *count = count.saturating_add(1);
    }
    Ok(Reply::BundleTaken(counts))
}

fn take(step: &mut Step<'_, '_>, item: &Item) -> Result<Took, Stop> {
    match item {
        Item::Envelope(envelope) => inbox::brought(step, envelope),
        Item::Door { path, card } if accept::brought(step, *path, card.bytes())? => Ok(Took::New),
        Item::Door { .. } => Ok(Took::Nothing),
    }
}
