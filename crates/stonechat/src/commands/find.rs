//! Finds what a person means by a name or the beginning of an id.
//!
//! Names come from others. So what fits in two ways is an error that names the ids, never a guess: a text would go to
//! somebody else.

use serde_json::json;
use stonechat_daemon::types::{Alarm, ByChat, Chat, ChatId, Contact, Group, Member, Request, Status};

use crate::client::Client;
use crate::failure::CommandError;

/// An id's beginning must have at least so many characters, so that no short name is taken for one.
const ID_CHARACTERS_MIN: usize = 8;
/// What the chat with oneself is called here.
const SAVED: &str = "saved";
/// Chats that are asked for at once.
const PAGE: usize = 500;
/// So many are named where several fit.
const NAMED_MAX: usize = 8;

/// Something that a name or an id may mean.
#[derive(Clone, Debug)]
pub(super) struct Meant<'a> {
    /// What it is, as a person says it.
    pub(super) kind: Kind,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Contact,
    Group,
    /// A group that I am not in (any more).
    LeftGroup,
    Saved,
    Member,
    Request,
    Device,
}

impl Meant<'_> {
    /// As it stands where several fit.
    fn plainly(&self) -> String {
        let id = self.id;
        match self.kind {
            Kind::Contact => format!("contact {id}"),
            Kind::Group => format!("group {id}"),
            Kind::LeftGroup => format!("group {id} (you are not in it)"),
            Kind::Saved => format!("your saved messages {id}"),
            Kind::Member => format!("member {id}"),
            Kind::Request => format!("request {id}"),
            Kind::Device => format!("device {id}"),
        }
    }
}

impl<'a> From<&'a Contact> for Meant<'a> {
    fn from(contact: &'a Contact) -> Self {
        Self {
            kind: Kind::Contact,
            id: &contact.id,
            name: &contact.name,
        }
    }
}

impl<'a> From<&'a Chat> for Meant<'a> {
    /// Of a group.
    fn from(chat: &'a Chat) -> Self {
        let inside = chat.group.as_ref().is_some_and(|group| group.member);
        Self {
            kind: if inside { Kind::Group } else { Kind::LeftGroup },
            id: &chat.contact,
            name: &chat.name,
        }
    }
}

/// The place of the one meant among all there are; `None`: none fits.
///
/// A name as it is written and the beginning of an id come before a name in other letters. A group that I am not in
/// gives way to one of its name that I am in, and to nothing else: whoever was removed and does not know it would write
/// to somebody else.
///
/// Errors: several fit.
pub(super) fn choose(all: &[Meant<'_>], wanted: &str) -> Result<Option<usize>, CommandError> {
    let folded = wanted.trim().to_lowercase();
    let exactly = |one: &Meant<'_>| one.name == wanted || begins(one.id, &folded);
    let loosely = |one: &Meant<'_>| one.name.to_lowercase() == folded;
    let mut found = places(all, exactly);
    if found.is_empty() {
        found = places(all, loosely);
    }
    let kinds = |kind| found.iter().filter(|(_, one)| one.kind == kind).count();
    if kinds(Kind::Group) > 0 && kinds(Kind::Group) + kinds(Kind::LeftGroup) == found.len() {
        found.retain(|(_, one)| one.kind == Kind::Group);
    }
    match found.as_slice() {
        [] => Ok(None),
        [(place, _)] => Ok(Some(*place)),
        several => Err(ambiguous(wanted, several)),
    }
}

fn places<'a, 'b>(all: &'a [Meant<'b>], fits: impl Fn(&Meant<'b>) -> bool) -> Vec<(usize, &'a Meant<'b>)> {
    all.iter().enumerate().filter(|(_, one)| fits(one)).collect()
}

fn ambiguous(wanted: &str, several: &[(usize, &Meant<'_>)]) -> CommandError {
    let mut named: Vec<String> = several.iter().take(NAMED_MAX).map(|(_, one)| one.plainly()).collect();
    if several.len() > NAMED_MAX {
        named.push(format!("{} more", several.len() - NAMED_MAX));
    }
    CommandError::Ambiguous(wanted.to_owned(), named.join(", "))
}

/// The contact meant.
///
/// Errors: none fits; several fit.
pub(super) async fn contact(client: &mut Client, wanted: &str) -> Result<Contact, CommandError> {
    let contacts: Vec<Contact> = client.call("contacts", json!({})).await?;
    pick(contacts, wanted)
}

/// Of these, the one meant.
///
/// Errors: none fits; several fit.
pub(super) fn pick(mut contacts: Vec<Contact>, wanted: &str) -> Result<Contact, CommandError> {
    let all: Vec<Meant<'_>> = contacts.iter().map(Meant::from).collect();
    let place = choose(&all, wanted)?.ok_or_else(|| CommandError::NoContact(wanted.to_owned()))?;
    Ok(contacts.swap_remove(place))
}

/// The chat with the contact meant, of the group, or with oneself.
///
/// Errors: none fits; several fit, of one kind or of two.
pub(super) async fn chat(client: &mut Client, wanted: &str) -> Result<ChatId, CommandError> {
    let contacts: Vec<Contact> = client.call("contacts", json!({})).await?;
    let groups = groups(client).await?;
    let status: Status = client.call("status", json!({})).await?;
    let me = status.me.map(|me| me.id);
    let mut all: Vec<Meant<'_>> = contacts.iter().map(Meant::from).collect();
    all.extend(groups.iter().map(Meant::from));
    all.extend(me.iter().map(|id| Meant {
        kind: Kind::Saved,
        id,
        name: SAVED,
    }));
    let missing = || CommandError::NoChat(wanted.to_owned());
    let place = choose(&all, wanted)?.ok_or_else(missing)?;
    if let Some(contact) = contacts.get(place) {
        return contact.chat.ok_or_else(missing);
    }
    match groups.get(place - contacts.len()) {
        Some(group) => Ok(group.id),
        None => saved(client).await,
    }
}

/// The chat with oneself.
async fn saved(client: &mut Client) -> Result<ChatId, CommandError> {
    let open: ByChat = client.call("saved.open", json!({})).await?;
    Ok(open.chat)
}

/// All chats.
async fn chats(client: &mut Client) -> Result<Vec<Chat>, CommandError> {
    let mut chats: Vec<Chat> = Vec::new();
    loop {
        let page: Vec<Chat> = client
            .call("chats", json!({ "limit": PAGE, "offset": chats.len() }))
            .await?;
        let last = page.len() < PAGE;
        chats.extend(page);
        if last {
            return Ok(chats);
        }
    }
}

/// What is wrong with the keys of a chat.
pub(super) async fn alarms(client: &mut Client, chat: ChatId) -> Result<Vec<Alarm>, CommandError> {
    let found = chats(client).await?.into_iter().find(|entry| entry.id == chat);
    Ok(found.map(|chat| chat.alarms).unwrap_or_default())
}

/// All groups, newest activity first.
pub(super) async fn groups(client: &mut Client) -> Result<Vec<Chat>, CommandError> {
    let mut groups = chats(client).await?;
    groups.retain(|chat| chat.group.is_some());
    Ok(groups)
}

/// The group meant.
///
/// Errors: none fits; several fit.
pub(super) async fn group(client: &mut Client, wanted: &str) -> Result<Chat, CommandError> {
    let mut groups = groups(client).await?;
    let all: Vec<Meant<'_>> = groups.iter().map(Meant::from).collect();
    let place = choose(&all, wanted)?.ok_or_else(|| CommandError::NoGroup(wanted.to_owned()))?;
    Ok(groups.swap_remove(place))
}

/// The member of a group meant.
///
/// Errors: none fits; several fit.
pub(super) fn member<'a>(group: &'a Group, wanted: &str) -> Result<&'a Member, CommandError> {
    let meant = |member: &'a Member| Meant {
        kind: Kind::Member,
        id: &member.account,
        name: &member.name,
    };
    let all: Vec<Meant<'_>> = group.members.iter().map(meant).collect();
    let place = choose(&all, wanted)?;
    let found = place.and_then(|place| group.members.get(place));
    found.ok_or_else(|| CommandError::NoMember(wanted.to_owned()))
}

/// The waiting person meant, by the beginning of the request's id, or by name.
///
/// Errors: none fits; several fit.
pub(super) async fn request(client: &mut Client, wanted: &str) -> Result<Request, CommandError> {
    let mut requests: Vec<Request> = client.call("requests", json!({})).await?;
    let all: Vec<Meant<'_>> = requests
        .iter()
        .map(|request| Meant {
            kind: Kind::Request,
            id: &request.id,
            name: &request.name,
        })
        .collect();
    let place = choose(&all, wanted)?.ok_or_else(|| CommandError::NoRequest(wanted.to_owned()))?;
    Ok(requests.swap_remove(place))
}

pub(super) fn begins(id: &str, wanted: &str) -> bool {
    wanted.len() >= ID_CHARACTERS_MIN && id.starts_with(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(id: &str, name: &str) -> Contact {
        let (id, name) = (id.repeat(32), name.to_owned());
        Contact {
            id,
            own_name: name.clone(),
            name,
            verified: false,
            chat: Some(1),
            heard_at: None,
            blocked: false,
            introduced: vec![],
        }
    }

    const A: &str = "aaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbb";
    const C: &str = "cccccccccccccccc";

    fn meant<'a>(kind: Kind, id: &'a str, name: &'a str) -> Meant<'a> {
        Meant { kind, id, name }
    }

    #[test]
    fn a_contact_is_found_by_name_or_by_the_beginning_of_its_id() {
        let all = || vec![contact("ab", "Bo"), contact("cd", "Ünal")];
        assert_eq!(pick(all(), "Bo").unwrap().name, "Bo");
        assert_eq!(pick(all(), "bo").unwrap().name, "Bo");
        assert_eq!(pick(all(), "ünal").unwrap().name, "Ünal");
        assert_eq!(pick(all(), "cdcdcdcd").unwrap().name, "Ünal");
        assert_eq!(pick(all(), "CDCDCDCD").unwrap().name, "Ünal");
        assert!(matches!(pick(all(), "cdcdcdc"), Err(CommandError::NoContact(_))));
        assert!(matches!(pick(all(), "Bob"), Err(CommandError::NoContact(_))));
    }

    #[test]
    fn two_people_of_one_name_are_told_apart_by_case_or_id() {
        let all = || vec![contact("ab", "Bo"), contact("cd", "Bo"), contact("ef", "bo")];
        let both = pick(all(), "Bo").unwrap_err().to_string();
        assert!(
            both.contains(&"ab".repeat(32)) && both.contains(&"cd".repeat(32)),
            "{both}"
        );
        assert!(!both.contains(&"ef".repeat(32)), "{both}");
        assert_eq!(pick(all(), "bo").unwrap().id, "ef".repeat(32));
        assert_eq!(pick(all(), &"cd".repeat(32)).unwrap().id, "cd".repeat(32));
    }

    #[test]
    fn whoever_calls_itself_by_the_beginning_of_anothers_id_is_not_taken_for_it() {
        let all = [meant(Kind::Contact, A, "Bo"), meant(Kind::Contact, B, "aaaaaaaa")];
        assert!(choose(&all, "aaaaaaaa").is_err());
        assert_eq!(choose(&all, A).unwrap(), Some(0));
    }

    #[test]
    fn a_name_as_it_is_written_comes_first_whatever_has_it() {
        let all = [meant(Kind::Contact, A, "ana"), meant(Kind::Group, B, "Ana")];
        assert_eq!(choose(&all, "Ana").unwrap(), Some(1));
        assert_eq!(choose(&all, "ana").unwrap(), Some(0));
    }

    #[test]
    fn a_name_of_two_kinds_is_nobodys() {
        for (kind, says) in [
            (Kind::Group, format!("group {B}")),
            (Kind::LeftGroup, format!("group {B} (you are not in it)")),
            (Kind::Saved, format!("your saved messages {B}")),
        ] {
            let all = [meant(Kind::Contact, A, "saved"), meant(kind, B, "saved")];
            let clash = choose(&all, "saved").unwrap_err().to_string();
            assert_eq!(
                clash,
                format!("\"saved\" fits more than one: contact {A}, {says}; use the id")
            );
        }
    }

    #[test]
    fn a_group_that_i_left_gives_way_to_another_of_its_name() {
        let mut all = vec![meant(Kind::LeftGroup, A, "House"), meant(Kind::Group, B, "House")];
        assert_eq!(choose(&all, "House").unwrap(), Some(1));
        assert_eq!(choose(&all, A).unwrap(), Some(0));
        all.push(meant(Kind::Group, C, "House"));
        let several = choose(&all, "house").unwrap_err().to_string();
        assert_eq!(
            several,
            format!("\"house\" fits more than one: group {B}, group {C}; use the id")
        );
        assert_eq!(choose(&all[..1], "House").unwrap(), Some(0));
        assert_eq!(choose(&all[..1], "Home").unwrap(), None);
    }

    #[test]
    fn a_hundred_of_one_name_are_named_in_part() {
        let all: Vec<Meant<'_>> = (0..100).map(|_| meant(Kind::Contact, A, "Bo")).collect();
        let many = choose(&all, "Bo").unwrap_err().to_string();
        assert!(many.contains("92 more") && many.len() < 400, "{many}");
    }
}
