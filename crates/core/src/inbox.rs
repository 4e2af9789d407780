//! What the courier brings: envelopes to the right opener, delivery news to the right row.
//!
//! In: [`News`]. Out: rows, events, answers. An envelope is opened by what its tag is read for; everything that does
//! not open is dropped and never answered (ENV-8). Its cursor moves in the same transaction.
//! What is inside belongs to `conversation` and `meeting`.

use crate::api::{Connection, Event};
use crate::capsule;
use crate::conversation::{self, Conversation, Sealed, epochs, originals, receipts, renewal};
use crate::group;
use crate::link;
use crate::listening::{self, Listening, Purpose};
use crate::meeting::{self, block};
use crate::mls::{Gid, Read};
use crate::near;
use crate::outbox;
use crate::reach;
use crate::relays;
use crate::restore;
use crate::step::{CLOCK_TRUSTED_MS, Step, Stop};
use crate::typing;
use crate::watch;
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};
use stonechat_wire::envelope::{self, Content, Envelope, EnvelopeKey, Part};
use stonechat_wire::exchange::{Arrival, News};
use stonechat_wire::ids::{EpochId, RelayId, Tag, Timestamp};

/// Takes in one piece of news.
pub(crate) fn take_in(step: &mut Step<'_, '_>, news: News) -> Result<(), Stop> {
    match news {
        News::Greeting { relay, time } => greeting(step, relay, time),
        News::Arrived(arrivals) => arrivals.into_iter().try_for_each(|arrival| arrived(step, arrival)),
        News::Signalled { relay, tag, envelope } => {
            let heard = step.attempt(|step| typing::take_in(step, relay, tag, envelope));
            if let Err(Stop::Refused(why)) = heard.map_err(Stop::Store)? {
                step.out.refused.push(why);
            }
            Ok(())
        }
        News::Stored { relay, ids } => outbox::stored(step, relay, &ids),
        News::DoorOpen { relay, path } => meeting::door_open(step, relay, path),
        News::Knocked { id, card } if restore::door_said(step, id, Some(&card))? => Ok(()),
        News::Knocked { id, card } => meeting::knocked(step, id, &card),
        News::DoorSpent { id } if restore::door_said(step, id, None)? => Ok(()),
        News::DoorSpent { id } => meeting::door_spent(step, id),
        News::Offline => {
            renewal::offline(step)?;
            step.event(Event::ConnectionChanged {
                connection: Connection::Offline,
            });
            Ok(())
        }
        News::Full { ids, .. } => outbox::full(step, &ids),
        // Refused: the message stays in the outbox and is sealed anew within a day (OUT-2).
        News::Refused { .. } => Ok(()),
        News::Gone { relay } => {
            renewal::unreached(step, Some(relay))?;
            outbox::wider::look_soon(step, relay)
        }
    }
}

/// A relay says what time it is (MBX-7).
fn greeting(step: &mut Step<'_, '_>, relay: RelayId, time: Timestamp) -> Result<(), Stop> {
    if near::whose(step, relay)? != near::Whose::Nobodys {
        return near_greeting(step, relay);
    }
    watch::greets(step, relay)?;
    let before = step.clock_offset_ms()?;
    let offset = time.0.cast_signed().saturating_sub(step.now.0.cast_signed());
    step.tx
        .prepare_cached("UPDATE relay SET offset_ms = ?, clock = ? WHERE relay = ?")?
        .execute(params![offset, time.0.cast_signed(), relay.as_bytes()])?;
    let after = step.clock_offset_ms()?;
    step.read_clock()?;
    listening::greeted(step, relay)?;
    if (before == 0) != (after == 0) {
        step.event(Event::ClockOff { offset_ms: after });
    }
    if before.abs_diff(after) > CLOCK_TRUSTED_MS.unsigned_abs() {
        receipts::say_again(step)?;
    }
    renewal::reached(step, relay)?;
    relays::greeted(step, relay)?;
    outbox::wider::look_soon(step, relay)?;
    group::behind::relay_reached(step)?;
    group::supply::renew_old(step, time)?;
    epochs::close_old(step, time)
}

/// A near relay's clock is some device's: it says nothing (MBX-7).
fn near_greeting(step: &mut Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    listening::greeted(step, relay)?;
    renewal::reached(step, relay)?;
    near::reached(step, relay)?;
    group::behind::relay_reached(step)
}

fn arrived(step: &mut Step<'_, '_>, arrival: Arrival) -> Result<(), Stop> {
    let Arrival {
        relay,
        tag,
        cursor,
        envelope,
    } = arrival;
    let Some(listening) = listening::find(step, relay, tag)? else {
        return Ok(());
    };
    if cursor <= listening.cursor {
        return Ok(());
    }
    listening::advance(step, relay, tag, (cursor, envelope.len()))?;
    let Ok(envelope) = Envelope::decode(envelope) else {
        return Ok(());
    };
    watch::given(step, relay, envelope.id())?;
    if envelope.tag() != tag {
        return Ok(());
    }
    let took = take(step, &listening, &envelope)?;
    if took == Took::New && listening.purpose == Purpose::App {
        listening::heard(step, relay, &listening.about)?;
    }
    Ok(())
}

/// What became of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Took {
    /// It was for this device, and new.
    New,
    /// It was here before, or made here.
    Known,
    /// It is read for nothing here, or does not open.
    Nothing,
}

/// An envelope that no relay has brought: opened by what its mailbox is read for anywhere (BDL-3).
pub(crate) fn brought(step: &mut Step<'_, '_>, envelope: &Envelope) -> Result<Took, Stop> {
    match listening::find_anywhere(step, envelope.tag())? {
        Some(listening) => take(step, &listening, envelope),
        None => Ok(Took::Nothing),
    }
}

fn take(step: &mut Step<'_, '_>, listening: &Listening, envelope: &Envelope) -> Result<Took, Stop> {
    // A claim that comes again asks for its answer once more (MEET-16); a common part may be wanted twice (GRP-15).
    let asks_again = matches!(
        listening.purpose,
        Purpose::Claims | Purpose::ReachRequest | Purpose::Apart
    );
    if !outbox::see(step, envelope.id())? && !asks_again {
        return Ok(Took::Known);
    }
    // What is refused leaves nothing behind but its cursor.
    let opened = step
        .attempt(|step| open(step, listening, envelope))
        .map_err(Stop::Store)?;
    match opened {
        Err(Stop::Refused(why)) => {
            step.out.refused.push(why);
            Ok(Took::Nothing)
        }
        _ => Ok(Took::New),
    }
}

fn open(step: &mut Step<'_, '_>, listening: &Listening, envelope: &Envelope) -> Result<(), Stop> {
    match listening.purpose {
        Purpose::App => open_app(step, &listening.about, envelope),
        Purpose::Commit => open_commit(step, &listening.about, envelope),
        Purpose::Claims => meeting::claimed(step, &listening.about, envelope),
        Purpose::Answer => meeting::answered(step, &listening.about, envelope),
        Purpose::Capsule => capsule::arrived(step, envelope),
        Purpose::ReachRequest => reach::requested(step, &listening.about, envelope),
        Purpose::ReachAnswer => restore::answered(step, &listening.about, envelope),
        Purpose::Apart => group::apart::arrived(step, envelope),
        Purpose::LinkRequest => link::requested(step, &listening.about, envelope),
        Purpose::LinkHello => link::said_hello(step, &listening.about, envelope),
        Purpose::LinkAnswer => link::challenged(step, envelope),
        Purpose::LinkGrant => link::granted(step, envelope),
    }
}

fn open_app(step: &mut Step<'_, '_>, about: &[u8], sealed: &Envelope) -> Result<(), Stop> {
    let Some((of, epoch, content)) = opened(step, about, sealed)? else {
        return Ok(());
    };
    if block::is_put_away(step, &of)? {
        return Ok(());
    }
    match step.groups.read(&step.mls, (of.group, epoch), &content)? {
        Read::Message { leaf, account, plain } => {
            let by = Sealed { epoch, leaf, account };
            match conversation::take_in(step, &of, by, &plain)? {
                Some(new) => originals::keep(step, &of, epoch, new, &content),
                None => Ok(()),
            }
        }
        // Its sender has heard nothing yet: tell again.
        Read::Again => {
            originals::came_again(step, &of.group, &content)?;
            receipts::due(step, &of.group)
        }
        // MLS-6: beyond the window; its sender puts it again until we confirm it.
        Read::Ahead | Read::Own => Ok(()),
        Read::Refused(why) => Err(Stop::Refused(why)),
    }
}

fn open_commit(step: &mut Step<'_, '_>, about: &[u8], sealed: &Envelope) -> Result<(), Stop> {
    match opened(step, about, sealed)? {
        Some((of, parent, commit)) => epochs::take_commits(step, &of, parent, &commit),
        None => Ok(()),
    }
}

/// Whose epoch that is, and what its envelopes are sealed with; nothing where it is closed.
fn key_of(step: &Step<'_, '_>, about: &[u8]) -> Result<Option<(Gid, EnvelopeKey)>, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT group_id, envelope_key FROM epoch WHERE epoch_id = ? AND envelope_key IS NOT NULL")?
        .query_row([about], |row| Ok((row.get(0)?, EnvelopeKey::new(row.get(1)?))))
        .optional()?)
}

/// What an epoch's envelope holds, and whose it is; nothing where the epoch is closed.
fn opened(
    step: &mut Step<'_, '_>,
    about: &[u8],
    sealed: &Envelope,
) -> Result<Option<(Conversation, EpochId, Vec<u8>)>, Stop> {
    let (Some((group, key)), Some(epoch)) = (key_of(step, about)?, EpochId::from_slice(about)) else {
        return Ok(None);
    };
    let Some(content) = gathered(step, &key, sealed)? else {
        return Ok(None);
    };
    Ok(conversation::load(step, &group)?.map(|of| (of, epoch, content)))
}

/// What a signal's envelope holds, and whose it is. A signal has no parts.
pub(crate) fn signal(
    step: &Step<'_, '_>,
    about: &[u8],
    sealed: &Envelope,
) -> Result<Option<(Conversation, EpochId, Vec<u8>)>, Stop> {
    let Some((group, key)) = key_of(step, about)? else {
        return Ok(None);
    };
    let (content, epoch) = (whole(&key, sealed)?, EpochId::from_slice(about));
    let of = conversation::load(step, &group)?;
    Ok(of.zip(epoch).map(|(of, epoch)| (of, epoch, content)))
}

/// What an envelope holds, or what it completes; nothing while parts are missing.
pub(crate) fn gathered(step: &Step<'_, '_>, key: &EnvelopeKey, sealed: &Envelope) -> Result<Option<Vec<u8>>, Stop> {
    match envelope::open(key, sealed) {
        Ok(Content::Whole(content)) => Ok(Some(content)),
        Ok(Content::Part(part)) => gather(step, sealed.tag(), part),
        Err(_) => Err(Stop::Refused("does not open")),
    }
}

/// Keeps a part; gives the whole content when it was the last one missing (ENV-7).
pub(crate) fn gather(step: &Step<'_, '_>, tag: Tag, part: Part) -> Result<Option<Vec<u8>>, Stop> {
    let Part {
        hash,
        index,
        count,
        bytes,
    } = part;
    step.tx
        .prepare_cached("INSERT OR IGNORE INTO part VALUES (?, ?, ?, ?, ?)")?
        .execute(params![tag.as_bytes(), hash, index, count, bytes])?;
    let sql = "SELECT bytes FROM part WHERE tag = ? AND hash = ? AND count = ? ORDER BY number";
    let parts: Vec<Vec<u8>> = step
        .tx
        .prepare_cached(sql)?
        .query_map(params![tag.as_bytes(), hash, count], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if parts.len() < usize::from(count) {
        shrink(step)?;
        return Ok(None);
    }
    step.tx
        .prepare_cached("DELETE FROM part WHERE tag = ? AND hash = ?")?
        .execute(params![tag.as_bytes(), hash])?;
    let content = parts.concat();
    // A set that does not hold what it promised is gone; nobody is told.
    let fits = Sha256::digest(&content).as_slice() == hash;
    Ok(fits.then_some(content))
}

/// Over the limits of ENV-7 the oldest sets go.
fn shrink(step: &Step<'_, '_>) -> Result<(), Stop> {
    loop {
        let (sets, bytes): (u32, i64) = step
            .tx
            .prepare_cached("SELECT count(DISTINCT hash || tag), coalesce(sum(length(bytes)), 0) FROM part")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let few = sets as usize <= envelope::GATHER_SETS_MAX;
        if few && usize::try_from(bytes).unwrap_or(usize::MAX) <= envelope::GATHER_BYTES_MAX {
            return Ok(());
        }
        step.tx
            .prepare_cached(
                "DELETE FROM part WHERE (tag, hash) IN (SELECT tag, hash FROM part GROUP BY tag, hash
                                                        ORDER BY max(rowid) LIMIT 1)",
            )?
            .execute([])?;
    }
}

/// The content of an envelope that is no part of something larger.
pub(crate) fn whole(key: &EnvelopeKey, sealed: &Envelope) -> Result<Vec<u8>, Stop> {
    match envelope::open(key, sealed) {
        Ok(Content::Whole(content)) => Ok(content),
        // Nothing of a meeting is larger than one envelope.
        Ok(Content::Part(_)) => Err(Stop::Refused("a part")),
        Err(_) => Err(Stop::Refused("does not open")),
    }
}
