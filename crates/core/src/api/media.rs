//! Voice notes and photos.

use super::ChatId;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What is heard or seen beside a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum MediaKind {
    /// A voice note: Ogg with Opus.
    Voice,
    /// A photo: JPEG.
    Photo,
}

/// What is known of it without its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Media {
    /// Which.
    pub kind: MediaKind,
    /// How long a voice note plays.
    pub duration_ms: Option<u32>,
    /// A photo's width in pixels.
    pub width: Option<u32>,
    /// Its height.
    pub height: Option<u32>,
    /// It has a preview.
    pub preview: bool,
}

/// Parameters of `Command::MediaSend`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct MediaSend {
    /// Chat.
    pub chat: ChatId,
    /// Which.
    pub kind: MediaKind,
    /// The file, base64. With the preview at most 196,608 bytes; a voice note at most two minutes.
    pub data: String,
    /// A smaller photo, base64: at most 61,440 bytes.
    #[serde(default)]
    pub preview: Option<String>,
    /// What stands beside it: at most 16,384 bytes of UTF-8 after trimming.
    #[serde(default)]
    pub text: Option<String>,
    /// Signs in the text are marks, as in [`super::Send::marked`].
    #[serde(default)]
    #[ts(as = "Option<bool>", optional)]
    pub marked: bool,
    /// The caller's own id: sending twice with the same one sends once.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The message of this chat that it answers, hex.
    #[serde(default)]
    pub reply_to: Option<String>,
}

impl core::fmt::Debug for MediaSend {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MediaSend")
            .field("chat", &self.chat)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Parameters of `Query::MediaGet`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct MediaGet {
    /// The message, hex.
    pub id: String,
    /// The preview, where there is one; else the file itself.
    pub preview: bool,
}

/// A file.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct MediaFile {
    /// Which.
    pub kind: MediaKind,
    /// The file, base64.
    pub data: String,
}

impl core::fmt::Debug for MediaFile {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MediaFile")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
