//! `photo`, `voice`, `save`: files to and from a chat.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use stonechat_daemon::types::{MediaFile, MediaKind, Message};

use super::{content, find};
use crate::client::Client;
use crate::failure::CommandError;
use crate::grammar::{Media, Save};
use crate::show;

/// A photo may have so many bytes more in its file than are sent: what says where it was taken stays here.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Sends a file and prints the message's id.
pub(super) async fn send(client: &mut Client, wish: &Media, kind: MediaKind) -> Result<(), CommandError> {
    let data = STANDARD.encode(read(&wish.file, "192 kB can be sent")?);
    let chat = find::chat(client, &wish.contact).await?;
    let asked = json!({ "chat": chat, "kind": kind, "data": data, "text": wish.text });
    let message: Message = client.call("media.send", asked).await?;
    content::leave(client).await?;
    if wish.json {
        show::json_line(&show::message_json(&message))
    } else {
        show::line(&message.id)
    }
}

/// A picture for a group, as the API takes it.
pub(super) fn base64_of(path: &Path) -> Result<String, CommandError> {
    Ok(STANDARD.encode(read(path, "60 kB are a picture")?))
}

/// What is much longer than fits is read no further, and refused as too long.
fn read(path: &Path, most: &str) -> Result<Vec<u8>, CommandError> {
    let reading = || format!("reading {}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(reading)?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(reading)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(anyhow::anyhow!("{} is too big: at most {most}", path.display()).into());
    }
    Ok(bytes)
}

/// Writes a photo or a voice note into a new file.
pub(super) async fn save(client: &mut Client, save: &Save) -> Result<(), CommandError> {
    let file: MediaFile = client
        .call("media.get", json!({ "id": save.id, "preview": false }))
        .await?;
    let bytes = STANDARD.decode(&file.data).context("an answer has another shape")?;
    let writing = || format!("writing {}", save.file.display());
    let mut to = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&save.file)
        .with_context(writing)?;
    to.write_all(&bytes).with_context(writing)?;
    if save.json {
        return show::json_line(&json!({ "id": save.id, "kind": file.kind, "bytes": bytes.len() }));
    }
    show::line(&format!("{} bytes", bytes.len()))
}
