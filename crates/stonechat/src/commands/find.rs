//! Finds what a person means by a name or the beginning of an id.

use serde_json::json;
use stonechat_daemon::types::{Alarm, ByChat, Chat, ChatId, Contact, Group, Member, Request};

use crate::client::Client;
use crate::failure::CommandError;

/// An id's beginning must have at least so many characters, so that no short name is taken for one.
const ID_CHARACTERS_MIN: usize = 8;
/// What the chat with oneself is called here, where nobody else is called so.
const SAVED: &str = "saved";
/// Chats that are asked for at once.
const PAGE: usize = 500;

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
pub(super) fn pick(contacts: Vec<Contact>, wanted: &str) -> Result<Contact, CommandError> {
    let exactly = |contact: &Contact| contact.id == wanted || contact.name == wanted;
    let folded = wanted.trim().to_lowercase();
    let loosely = |contact: &Contact| contact.name.to_lowercase() == folded || begins(&contact.id, &folded);
    let matches = |fits: &dyn Fn(&Contact) -> bool| {
        contacts
            .iter()
            .filter(|contact| fits(contact))
            .cloned()
            .collect::<Vec<_>>()
    };
    let exact = matches(&exactly);
    let mut found = if exact.is_empty() { matches(&loosely) } else { exact };
    match (found.pop(), found.is_empty()) {
        (None, _) => Err(CommandError::NoContact(wanted.to_owned())),
        (Some(contact), true) => Ok(contact),
        (Some(_), false) => Err(CommandError::ManyContacts(wanted.to_owned())),
    }
}

/// The chat with the contact meant, or of the group.
///
/// Errors: none fits; several fit.
pub(super) async fn chat(client: &mut Client, wanted: &str) -> Result<ChatId, CommandError> {
    let missing = || CommandError::NoChat(wanted.to_owned());
    match contact(client, wanted).await {
        Ok(contact) => contact.chat.ok_or_else(missing),
        Err(CommandError::NoContact(_)) => match group(client, wanted).await {
            Err(CommandError::NoGroup(_)) if wanted == SAVED => saved(client).await,
            Err(CommandError::NoGroup(_)) => Err(missing()),
            found => Ok(found?.id),
        },
        Err(other) => Err(other),
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

/// The group meant.
pub(super) async fn group(client: &mut Client, wanted: &str) -> Result<Chat, CommandError> {
    let mut groups = chats(client).await?;
    groups.retain(|chat| chat.group.is_some());
    let exactly = groups.iter().filter(|chat| chat.name == wanted).cloned();
    let mut found: Vec<Chat> = exactly.collect();
    if found.is_empty() {
        let folded = wanted.trim().to_lowercase();
        groups.retain(|chat| chat.name.to_lowercase() == folded || begins(&chat.contact, &folded));
        found = groups;
    }
    match (found.pop(), found.is_empty()) {
        (None, _) => Err(CommandError::NoGroup(wanted.to_owned())),
        (Some(chat), true) => Ok(chat),
        (Some(_), false) => Err(CommandError::ManyContacts(wanted.to_owned())),
    }
}

/// The member of a group meant.
pub(super) fn member<'a>(group: &'a Group, wanted: &str) -> Result<&'a Member, CommandError> {
    let fits = |member: &&Member| member.name == wanted || begins(&member.account, wanted);
    let mut found: Vec<&Member> = group.members.iter().filter(fits).collect();
    match (found.pop(), found.is_empty()) {
        (None, _) => Err(CommandError::NoMember(wanted.to_owned())),
        (Some(member), true) => Ok(member),
        (Some(_), false) => Err(CommandError::ManyContacts(wanted.to_owned())),
    }
}

/// The waiting person meant, by the beginning of the request's id, or by name.
pub(super) async fn request(client: &mut Client, wanted: &str) -> Result<Request, CommandError> {
    let requests: Vec<Request> = client.call("requests", json!({})).await?;
    let mut found: Vec<Request> = requests
        .into_iter()
        .filter(|r| begins(&r.id, wanted) || r.name == wanted)
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(request), true) => Ok(request),
        _ => Err(CommandError::NoRequest(wanted.to_owned())),
    }
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

    #[test]
    fn a_contact_is_found_by_name_or_by_the_beginning_of_its_id() {
        let all = || vec![contact("ab", "Bo"), contact("cd", "Ünal")];
        assert_eq!(pick(all(), "Bo").unwrap().name, "Bo");
        assert_eq!(pick(all(), "bo").unwrap().name, "Bo");
        assert_eq!(pick(all(), "ünal").unwrap().name, "Ünal");
        assert_eq!(pick(all(), "cdcdcdcd").unwrap().name, "Ünal");
        assert!(matches!(pick(all(), "cdcdcd"), Err(CommandError::NoContact(_))));
        assert!(matches!(pick(all(), "Bob"), Err(CommandError::NoContact(_))));
    }

    #[test]
    fn two_people_of_one_name_are_told_apart_by_case_or_id() {
        let all = || vec![contact("ab", "Bo"), contact("cd", "Bo"), contact("ef", "bo")];
        assert!(matches!(pick(all(), "Bo"), Err(CommandError::ManyContacts(_))));
        assert_eq!(pick(all(), "bo").unwrap().id, "ef".repeat(32));
        assert_eq!(pick(all(), &"cd".repeat(32)).unwrap().id, "cd".repeat(32));
    }
}
