//! Photos: one text of ten stands below one, which travels in parts.
//!
//! In: the number of a text. Out: its photo, and sentences about devices that have another one below it, or none.

use stonechat_core::api::{ChatId, Command, MediaKind, MediaSend};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::groups::GROUP;
use super::{World, tap};

/// One text of so many.
const ONE_OF: usize = 10;
const WHICH: usize = 4;
/// Bytes of a scan: a few parts between two; what is larger its author alone puts again, so less in a group.
const SCAN_MAX: usize = 40_000;
const GROUP_SCAN_MAX: usize = 12_000;

/// The smallest JPEG with so many bytes of scan, all of them this one.
fn photo(scan: usize, byte: u8) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    let segments: [(u8, &[u8]); 4] = [
        (0xdb, &[0; 65]),
        (0xc0, &[8, 0, 48, 0, 64, 1, 1, 0x11, 0]),
        (0xc4, &[0; 17]),
        (0xda, &[1, 1, 0, 0, 63, 0]),
    ];
    for (marker, segment) in segments {
        let length = u16::try_from(segment.len() + 2).unwrap_or(u16::MAX);
        out.extend([0xff, marker]);
        out.extend(length.to_be_bytes());
        out.extend(segment);
    }
    out.extend(vec![byte; scan]);
    out.extend([0xff, 0xd9]);
    out
}

impl World {
    /// The photo that a text stands below.
    fn photo_of(&self, k: usize) -> Option<Vec<u8>> {
        let text = self.plan.texts[k];
        let most = if text.to == GROUP { GROUP_SCAN_MAX } else { SCAN_MAX };
        let byte = u8::try_from(k % 251).unwrap_or(0);
        (k % ONE_OF == WHICH).then(|| photo(1 + k * 7919 % most + text.padding, byte))
    }

    /// Sends it, with the text below; nothing where the text stands alone.
    pub(crate) fn photo_command(&self, k: usize, chat: ChatId, reply_to: Option<String>) -> Option<Command> {
        Some(Command::MediaSend(MediaSend {
            chat,
            kind: MediaKind::Photo,
            data: STANDARD.encode(self.photo_of(k)?),
            preview: None,
            text: Some(tap::text(k, self.plan.texts[k].padding)),
            marked: true,
            client_id: Some(format!("t{k}")),
            reply_to,
        }))
    }

    /// Wherever such a text is and was not deleted, its photo is there as it was sent.
    pub(crate) fn check_photos(&mut self) {
        for (id, k) in self.written.clone() {
            let Some(sent) = self.photo_of(k) else { continue };
            let sql = format!(
                "SELECT a.bytes FROM message m LEFT JOIN attachment a ON a.message = m.id WHERE m.id = x'{id}' AND m.kind = 0"
            );
            for d in 0..self.nodes.len() {
                let there: Vec<Option<Vec<u8>>> = self.nodes[d].device.rows(&sql, |row| row.get(0));
                self.photos += there.len();
                if there.iter().any(|photo| photo.as_ref() != Some(&sent)) {
                    self.broke(format!(
                        "device {d}: the photo above text {k} is not there as it was sent"
                    ));
                }
            }
        }
    }
}
