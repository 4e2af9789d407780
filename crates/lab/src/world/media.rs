//! Photos and voice notes: one text of ten stands below a photo, one of ten beside a note. They travel in parts.
//!
//! In: the number of a text. Out: its file, and sentences about devices that have another one beside it, or none.

use stonechat_core::api::{ChatId, Command, MediaKind, MediaSend};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::groups::GROUP;
use super::{World, tap};
use crate::files::{note, photo};

/// One text of so many has a photo, another one a note.
const ONE_OF: usize = 10;
const PHOTOS: usize = 4;
const NOTES: usize = 9;
/// Bytes of a photo's scan: a few parts between two; what is larger its author alone puts again, so less in a group.
const SCAN_MAX: usize = 40_000;
const GROUP_SCAN_MAX: usize = 12_000;
/// Sounds of a note, 20 ms and some 50 bytes each, which is what speech takes.
const SOUNDS_MAX: usize = 400;
const GROUP_SOUNDS_MAX: usize = 200;
impl World {
    /// The photo or note that a text stands beside.
    fn media_of(&self, k: usize) -> Option<(MediaKind, Vec<u8>)> {
        let text = self.plan.texts[k];
        let byte = u8::try_from(k % 251).unwrap_or(0);
        let (scan, sounds) = match text.to {
            GROUP => (GROUP_SCAN_MAX, GROUP_SOUNDS_MAX),
            _one => (SCAN_MAX, SOUNDS_MAX),
        };
        match k % ONE_OF {
            PHOTOS => Some((MediaKind::Photo, photo(1 + k * 7919 % scan + text.padding, byte))),
            NOTES => Some((MediaKind::Voice, note(1 + (k * 7919 + text.padding) % sounds, byte))),
            _alone => None,
        }
    }

    /// Sends it, with the text beside it; nothing where the text stands alone.
    pub(crate) fn media_command(&self, k: usize, chat: ChatId, reply_to: Option<String>) -> Option<Command> {
        let (kind, file) = self.media_of(k)?;
        Some(Command::MediaSend(MediaSend {
            chat,
            kind,
            data: STANDARD.encode(file),
            preview: None,
            text: Some(tap::text(k, self.plan.texts[k].padding)),
            marked: true,
            client_id: Some(format!("t{k}")),
            reply_to,
        }))
    }

    /// Wherever such a text is and was not deleted, its photo or note is there as it was sent.
    pub(crate) fn check_media(&mut self) {
        for (id, k) in self.written.clone() {
            let Some((kind, sent)) = self.media_of(k) else { continue };
            let sql = format!(
                "SELECT a.bytes FROM message m LEFT JOIN attachment a ON a.message = m.id WHERE m.id = x'{id}' AND m.kind = 0"
            );
            for d in 0..self.nodes.len() {
                let there: Vec<Option<Vec<u8>>> = self.nodes[d].device.rows(&sql, |row| row.get(0));
                match kind {
                    MediaKind::Photo => self.photos += there.len(),
                    MediaKind::Voice => self.notes += there.len(),
                }
                if there.iter().any(|file| file.as_ref() != Some(&sent)) {
                    self.broke(format!(
                        "device {d}: the {kind:?} beside text {k} is not there as it was sent"
                    ));
                }
            }
        }
    }
}
