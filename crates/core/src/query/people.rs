//! Chats, contacts, and those on the way in: invitations, acceptances, requests.
//!
//! In: ids. Out: api entries. A contact that only waits for approval is in no list of this module but `requests`.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::messages::{first_unread, last_of};
use super::{QueryError, choice_at, hex_at, introduce, number_at, optional_number_at};
use crate::account;
use crate::api::{
    Acceptance, AcceptanceState, Alarm, AlarmKind, Chat, ChatId, Contact, Draft, GroupBrief, How, Invite, InviteState,
    LinkedGroup, Page, Reach, Request, SafetyNumber, Who,
};
use crate::safety;
use crate::store::StoreError;

/// `claim.answer` of a person who waits (wire's `Verdict::Waiting`).
const WAITING: &str = "2";
/// Texts of a waiting person that are shown.
const FIRST_MESSAGES: u32 = 3;

const CHAT: &str = "
    SELECT h.id, h.contact, h.saved, h.unread, h.waiting, h.draft, h.active_at, coalesce(c.verified, 0) AS verified, c.heard_at,
           coalesce(c.verified = 0 AND c.noticed = 0, 0) AS is_new,
           coalesce(nullif(c.alias, ''), c.own_name, h.name) AS name, coalesce(v.group_id, l.group_id) AS group_id,
           coalesce(v.accounts, (SELECT count(*) FROM seat WHERE chat = l.chat)) AS accounts,
           v.gone = 0 AND v.leaving = 0 AS member, coalesce(v.silent > 1, 1) AS behind,
           (SELECT substr(hash, 1, 8) FROM picture p WHERE p.chat = h.id) AS picture,
           EXISTS (SELECT 1 FROM coming_back b WHERE b.account = h.contact) AS coming_back,
           (SELECT nullif(t.timer_s, 0) FROM message t INDEXED BY message_timer
            WHERE t.chat = h.id AND t.kind = 6 AND t.late = 0 ORDER BY t.position DESC LIMIT 1) AS timer_s,
           (SELECT count(*) FROM message t INDEXED BY message_mention
            WHERE t.chat = h.id AND t.state = 4 AND t.mentions = 1 AND t.late = 0) AS mentions
    FROM chat h LEFT JOIN contact c ON c.account = h.contact
    LEFT JOIN conversation v ON v.chat = h.id AND h.contact IS NULL AND h.saved = 0
    LEFT JOIN lost_group l ON l.chat = h.id AND h.contact IS NULL";
/// How many are pinned, as far as they are shown (CON-19).
pub(super) const PINNED: &str = "
    SELECT count(*) FROM (SELECT 1 FROM message INDEXED BY message_pinned
                          WHERE chat = ? AND pinned IS NOT NULL LIMIT 32)";
const CONTACT: &str = "
    SELECT c.account, c.own_name, c.verified, c.heard_at, c.blocked, coalesce(nullif(c.alias, ''), c.own_name) AS name,
           h.id AS chat
    FROM contact c LEFT JOIN chat h ON h.contact = c.account AND h.hidden = 0";
pub(super) const ALARMS: &str = "
    SELECT a.kind, a.account, a.at,
           coalesce((SELECT coalesce(nullif(alias, ''), own_name) FROM contact WHERE account = a.account),
                    (SELECT name FROM seat WHERE chat = v.chat AND account = a.account),
                    (SELECT name FROM account WHERE account = a.account)) AS name
    FROM conversation v JOIN alarm a USING (group_id) WHERE v.chat = ? ORDER BY a.at, a.kind, a.account";
const INVITE: &str = "
    SELECT i.id, i.who, i.how, i.link, i.code, i.words, i.reach, i.state, i.created_at, i.expires_at, i.approved,
           i.used_twice, i.most, i.approval, v.chat AS group_chat, h.name AS group_name, (SELECT count(*) FROM claim w WHERE w.invite = i.id AND w.answer = 2) AS waiting
    FROM invite i LEFT JOIN conversation v ON v.group_id = i.group_id LEFT JOIN chat h ON h.id = v.chat";
const ACCEPTANCE: &str = "SELECT id, state, name, chat, into_group, created_at FROM acceptance";
const REQUEST: &str = "
    SELECT w.id, w.invite, w.account, w.received_at, i.how, coalesce(nullif(c.alias, ''), c.own_name) AS name,
           h.id AS chat, g.name AS group_name
    FROM claim w JOIN invite i ON i.id = w.invite JOIN contact c ON c.account = w.account
    LEFT JOIN conversation v ON v.group_id = i.group_id LEFT JOIN chat g ON g.id = v.chat
    LEFT JOIN chat h ON h.contact = w.account AND h.hidden = 1";

/// How an invitation is passed on, by its number in the schema.
const HOW: [How; 3] = [How::InPerson, How::Spoken, How::Plain];

/// The entry of a chat, hidden ones included.
///
/// Errors: the database's own.
pub fn load_chat(db: &Connection, id: ChatId) -> Result<Option<Chat>, StoreError> {
    let mut statement = db.prepare_cached(&format!("{CHAT} WHERE h.id = ? AND h.own = 0"))?;
    let chat = statement.query_row([id], chat_row).optional()?;
    chat.map(|chat| with_messages(db, chat)).transpose()
}

/// The entry of a contact (account id, 32 bytes), waiting ones included.
///
/// Errors: the database's own.
pub fn load_contact(db: &Connection, account: &[u8]) -> Result<Option<Contact>, StoreError> {
    let mut statement = db.prepare_cached(&format!("{CONTACT} WHERE c.account = ?"))?;
    let contact = statement.query_row([account], contact_row).optional()?;
    contact.map(|contact| with_vouches(db, contact)).transpose()
}

/// The entry of an invitation (16 bytes); none where it is for one account by name (INT-5).
///
/// Errors: the database's own.
pub fn load_invite(db: &Connection, id: &[u8]) -> Result<Option<Invite>, StoreError> {
    let mut statement = db.prepare_cached(&format!("{INVITE} WHERE i.id = ? AND i.bound IS NULL"))?;
    Ok(statement.query_row([id], invite_row).optional()?)
}

/// The entry of an acceptance (16 bytes).
///
/// Errors: the database's own.
pub fn load_acceptance(db: &Connection, id: &[u8]) -> Result<Option<Acceptance>, StoreError> {
    let mut statement = db.prepare_cached(&format!("{ACCEPTANCE} WHERE id = ?"))?;
    Ok(statement.query_row([id], acceptance_row).optional()?)
}

/// The request of a claim (32 bytes), while it waits.
///
/// Errors: the database's own.
pub fn load_request(db: &Connection, claim: &[u8]) -> Result<Option<Request>, StoreError> {
    let mut statement = db.prepare_cached(&format!("{REQUEST} WHERE w.id = ? AND w.answer = {WAITING}"))?;
    let request = statement.query_row([claim], request_row).optional()?;
    request
        .map(|(request, chat)| with_first_messages(db, request, chat))
        .transpose()
}

/// A page of the chat list, newest activity first.
pub(super) fn chats(db: &Connection, page: Page) -> Result<Vec<Chat>, StoreError> {
    let mut statement = db.prepare_cached(&chats_sql())?;
    let asked = named_params! {":limit": page.limit, ":offset": page.offset};
    let chats: Vec<Chat> = statement.query_map(asked, chat_row)?.collect::<Result<_, _>>()?;
    chats.into_iter().map(|chat| with_messages(db, chat)).collect()
}

pub(super) fn chats_sql() -> String {
    format!("{CHAT} WHERE h.hidden = 0 AND h.own = 0 ORDER BY h.active_at DESC, h.id LIMIT :limit OFFSET :offset")
}

/// All contacts that were let in, by name.
pub(super) fn contacts(db: &Connection) -> Result<Vec<Contact>, StoreError> {
    let sql = format!("{CONTACT} WHERE NOT EXISTS (SELECT 1 FROM chat w WHERE w.contact = c.account AND w.hidden = 1)");
    let mut contacts: Vec<Contact> = list(db, &sql, contact_row)?;
    contacts.sort_by_cached_key(|contact| (contact.name.to_lowercase(), contact.id.clone()));
    contacts.into_iter().map(|contact| with_vouches(db, contact)).collect()
}

fn with_vouches(db: &Connection, mut contact: Contact) -> Result<Contact, StoreError> {
    let account = hex::decode(&contact.id).map_err(|_| StoreError::Broken)?;
    contact.introduced = introduce::vouches(db, &account)?;
    Ok(contact)
}

/// All who are blocked, by name.
pub(super) fn blocked(db: &Connection) -> Result<Vec<Contact>, StoreError> {
    let mut contacts: Vec<Contact> = list(db, &format!("{CONTACT} WHERE c.blocked = 1"), contact_row)?;
    contacts.sort_by_cached_key(|contact| (contact.name.to_lowercase(), contact.id.clone()));
    Ok(contacts)
}

/// All invitations, newest first.
pub(super) fn invites(db: &Connection) -> Result<Vec<Invite>, StoreError> {
    list(
        db,
        &format!("{INVITE} WHERE i.bound IS NULL ORDER BY i.created_at DESC, i.id"),
        invite_row,
    )
}

/// All acceptances, newest first.
pub(super) fn acceptances(db: &Connection) -> Result<Vec<Acceptance>, StoreError> {
    list(
        db,
        &format!("{ACCEPTANCE} ORDER BY created_at DESC, id"),
        acceptance_row,
    )
}

/// Everybody who waits for approval, first come first.
pub(super) fn requests(db: &Connection) -> Result<Vec<Request>, StoreError> {
    let sql = format!("{REQUEST} WHERE w.answer = {WAITING} ORDER BY w.received_at, w.id");
    let requests: Vec<(Request, Option<ChatId>)> = list(db, &sql, request_row)?;
    requests
        .into_iter()
        .map(|(request, chat)| with_first_messages(db, request, chat))
        .collect()
}

/// How many wait for approval.
pub(super) fn request_count(db: &Connection) -> Result<u32, StoreError> {
    let sql = format!("SELECT count(*) AS n FROM claim WHERE answer = {WAITING}");
    Ok(db.prepare_cached(&sql)?.query_row([], |row| number_at(row, "n"))?)
}

/// The unsent text of a chat.
pub(super) fn draft(db: &Connection, chat: ChatId) -> Result<Draft, QueryError> {
    let mut statement = db.prepare_cached("SELECT draft FROM chat WHERE id = ? AND hidden = 0")?;
    let draft: Option<String> = statement
        .query_row([chat], |row| row.get(0))
        .optional()?
        .ok_or(QueryError::NotFound)?;
    Ok(Draft {
        text: draft.unwrap_or_default(),
    })
}

/// The number that both sides compare (SAFE-1).
pub(super) fn safety_number(db: &Connection, contact: &[u8]) -> Result<SafetyNumber, QueryError> {
    let mine = account::load_public(db)?.ok_or(QueryError::NoAccount)?;
    let (theirs, verified) = person(db, contact)?.ok_or(QueryError::NotFound)?;
    Ok(SafetyNumber {
        groups: safety::number(&mine, &theirs).to_vec(),
        words: match written_to(db, contact)? {
            Some(group) => safety::words(&mine, &theirs, &group).to_vec(),
            None => Vec::new(),
        },
        code: safety::code(&mine, &theirs).to_text(),
        verified,
    })
}

/// The public side of a contact, and whether it was compared.
pub(crate) fn person(db: &Connection, contact: &[u8]) -> Result<Option<(safety::Person, bool)>, StoreError> {
    let mut statement = db.prepare_cached("SELECT account, ed25519, verified FROM contact WHERE account = ?")?;
    let found = statement.query_row([contact], |row| {
        let person = safety::Person {
            account: row.get::<_, [u8; 32]>(0)?.into(),
            ed25519: row.get(1)?,
        };
        Ok((person, row.get(2)?))
    });
    Ok(found.optional()?)
}

/// The conversation that is written to with a contact: the same one on both sides (MEET-14).
fn written_to(db: &Connection, contact: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let sql = "SELECT v.group_id FROM chat h JOIN conversation v ON v.chat = h.id
               WHERE h.contact = ? ORDER BY v.gone, v.waiting, v.group_id LIMIT 1";
    Ok(db
        .prepare_cached(sql)?
        .query_row([contact], |row| row.get(0))
        .optional()?)
}

fn list<T>(db: &Connection, sql: &str, map: fn(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    Ok(statement.query_map([], map)?.collect::<Result<_, _>>()?)
}

fn with_messages(db: &Connection, mut chat: Chat) -> Result<Chat, StoreError> {
    chat.last = last_of(db, chat.id)?;
    if chat.unread > 0 {
        chat.first_unread = first_unread(db, chat.id)?;
    }
    if chat.own {
        let mut me = db.prepare_cached("SELECT account FROM account")?;
        chat.contact = me.query_row([], |row| hex_at(row, "account"))?;
    }
    chat.pins = db.prepare_cached(PINNED)?.query_row([chat.id], |row| row.get(0))?;
    let mut alarms = db.prepare_cached(ALARMS)?;
    chat.alarms = alarms.query_map([chat.id], alarm_row)?.collect::<Result<_, _>>()?;
    Ok(chat)
}

fn alarm_row(row: &Row<'_>) -> rusqlite::Result<Alarm> {
    Ok(Alarm {
        kind: choice_at(
            row,
            "kind",
            &[
                AlarmKind::TwoCommits,
                AlarmKind::NotMine,
                AlarmKind::TwoLogs,
                AlarmKind::Flood,
            ],
        )?,
        account: hex_at(row, "account")?,
        name: row.get::<_, Option<String>>("name")?.unwrap_or_default(),
        at: number_at(row, "at")?,
    })
}

fn with_first_messages(db: &Connection, mut request: Request, chat: Option<ChatId>) -> Result<Request, StoreError> {
    let sql = "SELECT text FROM message WHERE chat = ? AND mine = 0 AND kind = 0 ORDER BY position LIMIT ?";
    let mut statement = db.prepare_cached(sql)?;
    let texts = statement.query_map((chat, FIRST_MESSAGES), |row| row.get(0))?;
    request.first_messages = texts.collect::<Result<_, _>>()?;
    Ok(request)
}

fn chat_row(row: &Row<'_>) -> rusqlite::Result<Chat> {
    let members: Option<u32> = row.get("accounts")?;
    let member: Option<bool> = row.get("member")?;
    let behind: Option<bool> = row.get("behind")?;
    let picture: Option<Vec<u8>> = row.get("picture")?;
    let picture = picture.map(hex::encode);
    let group = members
        .filter(|_| row.get::<_, Option<Vec<u8>>>("group_id").is_ok_and(|id| id.is_some()))
        .map(|members| GroupBrief {
            members,
            member: member.unwrap_or_default(),
            behind: behind.unwrap_or_default(),
            picture,
        });
    Ok(Chat {
        id: row.get("id")?,
        contact: if group.is_some() {
            hex_at(row, "group_id")?
        } else {
            let contact: Option<Vec<u8>> = row.get("contact")?;
            contact.map(hex::encode).unwrap_or_default()
        },
        own: row.get("saved")?,
        group,
        name: row.get("name")?,
        verified: row.get("verified")?,
        last: None,
        unread: number_at(row, "unread")?,
        mentions: number_at(row, "mentions")?,
        pins: 0,
        first_unread: None,
        waiting: row.get("waiting")?,
        coming_back: row.get("coming_back")?,
        draft: row.get::<_, Option<String>>("draft")?.filter(|draft| !draft.is_empty()),
        active_at: number_at(row, "active_at")?,
        heard_at: optional_number_at(row, "heard_at")?,
        timer_s: row.get("timer_s")?,
        alarms: Vec::new(),
        is_new: row.get("is_new")?,
    })
}

fn contact_row(row: &Row<'_>) -> rusqlite::Result<Contact> {
    Ok(Contact {
        id: hex_at(row, "account")?,
        name: row.get("name")?,
        own_name: row.get("own_name")?,
        verified: row.get("verified")?,
        chat: row.get("chat")?,
        heard_at: optional_number_at(row, "heard_at")?,
        blocked: row.get("blocked")?,
        introduced: Vec::new(),
    })
}

fn invite_row(row: &Row<'_>) -> rusqlite::Result<Invite> {
    const STATES: [InviteState; 6] = [
        InviteState::Preparing,
        InviteState::Open,
        InviteState::Used,
        InviteState::Expired,
        InviteState::Revoked,
        InviteState::Attacked,
    ];
    Ok(Invite {
        id: hex_at(row, "id")?,
        who: choice_at(row, "who", &[Who::Family, Who::One, Who::Group])?,
        how: choice_at(row, "how", &HOW)?,
        link: row.get("link")?,
        code: row.get("code")?,
        spoken_words: row.get("words")?,
        reach: choice_at(
            row,
            "reach",
            &[Reach::ThisComputer, Reach::LocalNetwork, Reach::Internet],
        )?,
        state: choice_at(row, "state", &STATES)?,
        created_at: number_at(row, "created_at")?,
        expires_at: number_at(row, "expires_at")?,
        approved: number_at(row, "approved")?,
        waiting: number_at(row, "waiting")?,
        used_twice: row.get("used_twice")?,
        group: linked_group(row)?,
    })
}

fn linked_group(row: &Row<'_>) -> rusqlite::Result<Option<LinkedGroup>> {
    let Some(chat) = row.get("group_chat")? else {
        return Ok(None);
    };
    Ok(Some(LinkedGroup {
        chat,
        name: row.get("group_name")?,
        most: row.get("most")?,
        approval: row.get("approval")?,
    }))
}

fn acceptance_row(row: &Row<'_>) -> rusqlite::Result<Acceptance> {
    const STATES: [AcceptanceState; 14] = [
        AcceptanceState::Saved,
        AcceptanceState::NeedsWords,
        AcceptanceState::Claimed,
        AcceptanceState::Waiting,
        AcceptanceState::Accepted,
        AcceptanceState::Declined,
        AcceptanceState::Used,
        AcceptanceState::Expired,
        AcceptanceState::WordsWrong,
        AcceptanceState::DoorSpent,
        AcceptanceState::CardWrong,
        AcceptanceState::Blocked,
        AcceptanceState::Dealt,
        AcceptanceState::NoRoom,
    ];
    Ok(Acceptance {
        id: hex_at(row, "id")?,
        state: choice_at(row, "state", &STATES)?,
        name: row.get("name")?,
        chat: row.get("chat")?,
        group: row.get("into_group")?,
        created_at: number_at(row, "created_at")?,
    })
}

/// A request, and the hidden chat whose first texts belong to it.
fn request_row(row: &Row<'_>) -> rusqlite::Result<(Request, Option<ChatId>)> {
    let request = Request {
        id: hex_at(row, "id")?,
        invite: hex_at(row, "invite")?,
        name: row.get("name")?,
        account: hex_at(row, "account")?,
        group: row.get("group_name")?,
        in_person: matches!(choice_at(row, "how", &HOW)?, How::InPerson),
        received_at: number_at(row, "received_at")?,
        first_messages: Vec::new(),
    };
    Ok((request, row.get("chat")?))
}
