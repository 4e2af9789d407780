//! `group`: makes one, changes who is in it and what they may do.

use serde::Serialize;
use serde_json::{Value, json};
use stonechat_daemon::types::{Chat, ChatId, Fault, Group, Role};

use super::{find, links, media};
use crate::client::Client;
use crate::failure::CommandError;
use crate::grammar::{self, Allowed, Listing, Members, RoleName};
use crate::show;

/// Does what is asked, and prints the group as it is then.
pub(super) async fn run(client: &mut Client, wish: grammar::Group) -> Result<(), CommandError> {
    if client.is_own() {
        super::receive::catch_up(client).await?;
    }
    let wish = match wish {
        grammar::Group::List(listing) => return list(client, &listing).await,
        grammar::Group::Link(wish) => return links::make(client, &wish).await,
        grammar::Group::Links(of) => return links::list(client, &of).await,
        grammar::Group::Unlink(of) => return links::close(client, &of).await,
        grammar::Group::Approve(of) => return links::approve(client, &of).await,
        other => other,
    };
    let (group, as_json) = done(client, wish).await?;
    if client.is_own() {
        // Commits and Welcomes leave before the profile closes.
        super::receive::catch_up(client).await?;
    }
    let id = find::groups(client)
        .await?
        .into_iter()
        .find(|chat| chat.id == group.chat);
    let id = id.map_or_else(String::new, |chat| chat.contact);
    if as_json {
        return show::json_line(&Shown { id: &id, group: &group });
    }
    print(&id, &group)
}

/// A group as it is printed: its id is the same on every device and in every chat.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    #[serde(flatten)]
    group: &'a Group,
}

/// Prints all groups, newest activity first.
async fn list(client: &mut Client, listing: &Listing) -> Result<(), CommandError> {
    for chat in find::groups(client).await? {
        let role = role_in(client, &chat).await?;
        let members = chat.group.as_ref().map_or(0, |group| group.members);
        if listing.json {
            show::json_line(&json!({
                "id": chat.contact, "chat": chat.id, "name": chat.name, "role": role, "members": members,
            }))?;
        } else {
            let role = role.map_or("(you are not in it)", word);
            let (id, name) = (&chat.contact, show::tame(&chat.name));
            let people = if members == 1 { "member" } else { "members" };
            show::line(&format!("{id}  {name}  {role}  {members} {people}"))?;
        }
    }
    Ok(())
}

/// My role; none where I am not in it (any more, or not yet again).
async fn role_in(client: &mut Client, chat: &Chat) -> Result<Option<Role>, CommandError> {
    if !chat.group.as_ref().is_some_and(|group| group.member) {
        return Ok(None);
    }
    let group = load(client, chat.id).await?;
    Ok(group.members.iter().find(|member| member.me).map(|member| member.role))
}

async fn done(client: &mut Client, wish: grammar::Group) -> Result<(Group, bool), CommandError> {
    use grammar::Group as Wish;
    Ok(match wish {
        Wish::Create {
            name,
            members,
            large,
            json,
        } => {
            let members = contacts(client, &members).await?;
            let wish = json!({ "name": name, "members": members, "large": large });
            (client.call("group.create", wish).await?, json)
        }
        Wish::Show(of) => {
            let chat = find::group(client, &of.group).await?.id;
            (load(client, chat).await?, of.json)
        }
        Wish::Add(to) => {
            let chat = find::group(client, &to.group).await?.id;
            let members = contacts(client, &to.members).await?;
            let wish = json!({ "chat": chat, "members": members });
            (client.call("group.add", wish).await?, to.json)
        }
        Wish::Remove(from) => remove(client, from).await?,
        Wish::Leave(of) => {
            let chat = find::group(client, &of.group).await?.id;
            (client.call("group.leave", json!({ "chat": chat })).await?, of.json)
        }
        Wish::Role {
            group,
            member,
            role,
            json,
        } => {
            let chat = find::group(client, &group).await?.id;
            let group = load(client, chat).await?;
            let member = &find::member(&group, &member)?.account;
            let wish = json!({ "chat": chat, "member": member, "role": shown(role) });
            (client.call("group.role", wish).await?, json)
        }
        Wish::Succeed { group, member, json } => {
            let chat = find::group(client, &group).await?.id;
            let group = load(client, chat).await?;
            let member = &find::member(&group, &member)?.account;
            let wish = json!({ "chat": chat, "member": member });
            (client.call("group.consent", wish).await?, json)
        }
        Wish::Rename { group, name, json } => (edit(client, &group, json!({ "name": name })).await?, json),
        Wish::Describe { group, text, json } => (edit(client, &group, json!({ "description": text })).await?, json),
        Wish::Picture { group, file, json, .. } => {
            let data = file.as_deref().map(media::base64_of).transpose()?;
            let chat = find::group(client, &group).await?.id;
            let wish = json!({ "chat": chat, "data": data });
            let set = client.call("group.picture.set", wish).await;
            (set.map_err(no_picture)?, json)
        }
        Wish::Lock { group, to, json } => {
            let policy = json!({ "mayWrite": shown(to) });
            (edit(client, &group, policy).await?, json)
        }
        Wish::Allow {
            group,
            what,
            role,
            json,
        } => {
            let policy = match what {
                Allowed::Add => json!({ "mayAdd": shown(role) }),
                Allowed::Edit => json!({ "mayEdit": shown(role) }),
            };
            (edit(client, &group, policy).await?, json)
        }
        Wish::List(_) | Wish::Link(_) | Wish::Links(_) | Wish::Unlink(_) | Wish::Approve(_) => {
            return Err(anyhow::anyhow!("this command is done elsewhere").into());
        }
    })
}

/// Core's words for a file of the wrong kind are those for a chat's photos and voice notes.
fn no_picture(error: CommandError) -> CommandError {
    match error {
        CommandError::Refused(failure) if matches!(failure.kind, Fault::BadMedia | Fault::MediaTooBig) => {
            CommandError::NoPicture
        }
        other => other,
    }
}

async fn remove(client: &mut Client, from: Members) -> Result<(Group, bool), CommandError> {
    let chat = find::group(client, &from.group).await?.id;
    let group = load(client, chat).await?;
    let mut members = Vec::new();
    for name in &from.members {
        members.push(find::member(&group, name)?.account.clone());
    }
    let wish = json!({ "chat": chat, "members": members });
    Ok((client.call("group.remove", wish).await?, from.json))
}

async fn edit(client: &mut Client, group: &str, mut wish: Value) -> Result<Group, CommandError> {
    let chat = find::group(client, group).await?.id;
    if let Some(wish) = wish.as_object_mut() {
        wish.insert("chat".into(), json!(chat));
    }
    client.call("group.edit", wish).await
}

async fn load(client: &mut Client, chat: ChatId) -> Result<Group, CommandError> {
    client.call("group", json!({ "chat": chat })).await
}

async fn contacts(client: &mut Client, names: &[String]) -> Result<Vec<String>, CommandError> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(find::contact(client, name).await?.id);
    }
    Ok(ids)
}

fn print(id: &str, group: &Group) -> Result<(), CommandError> {
    let gone = if group.member { "" } else { "  (you are not in it)" };
    show::line(&format!("{}{gone}", show::tame(&group.name)))?;
    if !group.description.is_empty() {
        show::line(&show::tame(&group.description))?;
    }
    show::line(&format!("id: {id}"))?;
    if group.picture {
        show::line("it has a picture")?;
    }
    if group.may_write != Role::Member {
        show::line(&format!("who may write: {} and above", word(group.may_write)))?;
    }
    show::line(&format!("who may add people: {} and above", word(group.may_add)))?;
    show::line(&format!(
        "who may change name and timer: {} and above",
        word(group.may_edit)
    ))?;
    for one in &group.successions {
        let name = group.members.iter().find(|member| member.account == one.account);
        let name = name.map_or(one.account.as_str(), |member| member.name.as_str());
        show::line(&format!(
            "to become an owner: {}, {} of {} agree",
            show::tame(name),
            one.agreed,
            group.consents_needed
        ))?;
    }
    for member in &group.members {
        let me = if member.me { "  (you)" } else { "" };
        show::line(&format!(
            "{}  {:<9}  {}{me}",
            member.account,
            word(member.role),
            show::tame(&member.name)
        ))?;
    }
    Ok(())
}

const fn word(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Admin => "admin",
        Role::Moderator => "moderator",
        Role::Member => "member",
        Role::Reader => "reader",
    }
}

const fn shown(role: RoleName) -> Role {
    match role {
        RoleName::Owner => Role::Owner,
        RoleName::Admin => Role::Admin,
        RoleName::Moderator => Role::Moderator,
        RoleName::Member => Role::Member,
        RoleName::Reader => Role::Reader,
    }
}
