//! Dead drops: a folder on somebody's WebDAV server, or a mailbox, in the place of a relay.

use stonechat_wire::address::is_drop;
use stonechat_wire::drop::{Kind, Place, drop_id};
use stonechat_wire::invite::InviteLink;
use stonechat_wire::link::DeviceLink;
use stonechat_wire::route::RelayRoute;

use crate::failure::CommandError;
use crate::show;

/// What is said before a drop is used (DRP-13).
const SEEN: &str = "whoever runs that server sees this account's name and password there, the network addresses of all who use \
     the drop, when each of them looks and writes, and how much; it can delete, hold back and bring back what lies there. \
     It does not see texts and names; who \
     writes to whom it can guess from times. Everybody who is invited by way of the drop, and \
     everybody you talk to over it, gets its password";
/// What is said besides where that is a mailbox: a password of mail opens more than a folder.
const MAIL: &str = "nothing is sent by mail, and mails of others in that mailbox stay as they are; but whoever has the password can read \
     and send all mail of the account, and have other passwords renewed by it: use one that is for this alone";
/// What is said before an invitation is handed over that leads to one (DRP-7).
const PASSWORD: &str = "this link carries the password of the drop: whoever sees it can read names and sizes there, and delete all \
     of it; hand it over as you would the password, and use an account at that server that is for this alone";

/// A route to a drop at this address, with a secret of its own.
pub(super) fn new_route(url: &str) -> Result<String, CommandError> {
    let address = Place::from_url(url).ok_or(CommandError::NoDrop)?;
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    let route = RelayRoute {
        address,
        relay: drop_id(&secret),
        secret: Some(secret),
        lan: false,
    };
    Ok(route.to_text())
}

/// Says what the server at this address will see.
pub(super) fn note_what_is_seen(url: &str) {
    show::note(SEEN);
    if Place::from_url(url).is_some_and(|address| is_mailbox(&address)) {
        show::note(MAIL);
    }
}

fn is_mailbox(address: &str) -> bool {
    Place::read(address).is_some_and(|place| place.kind == Kind::Mailbox)
}

/// Says so where a link to another device of one's own gives a password away.
pub(super) fn note_device_password(link: &str) {
    if DeviceLink::parse(link).is_ok_and(|link| is_drop(&link.route.address)) {
        show::note(PASSWORD);
    }
}

/// Says so where an invitation gives a password away.
pub(super) fn note_password(link: &str) {
    let Ok(link) = InviteLink::parse(link) else {
        return;
    };
    if link.hints.iter().any(|hint| is_drop(hint)) {
        show::note(PASSWORD);
    }
    if link.hints.iter().any(|hint| is_mailbox(hint)) {
        show::note(MAIL);
    }
}
