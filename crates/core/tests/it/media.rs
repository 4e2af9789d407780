//! Voice notes and photos: what is sent, what is let in, and what is left of it.

use crate::bench::Bench;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stonechat_core::api::{
    Answer, Command, Connection, Delete, Fault, MarkRead, MediaGet, MediaKind, MediaSend, Message, Page, Query, Reply,
    Send, TimerSet,
};
use stonechat_core::query::Live;

pub(crate) const PHOTO: &[u8] = include_bytes!("../fixtures/photo.jpg");
const NOTE: &[u8] = include_bytes!("../fixtures/note.ogg");

fn ask(bench: &mut Bench, kind: MediaKind, file: &[u8], preview: Option<&[u8]>) -> Result<Message, Fault> {
    let wish = MediaSend {
        chat: 1,
        kind,
        data: STANDARD.encode(file),
        preview: preview.map(|preview| STANDARD.encode(preview)),
        text: Some("look".into()),
        client_id: None,
        marked: false,
        reply_to: None,
    };
    match bench.ask(0, Command::MediaSend(wish))? {
        Reply::Message(message) => Ok(*message),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn query(bench: &Bench, device: usize, query: Query) -> Option<Answer> {
    let live = Live {
        version: String::new(),
        locked: false,
        has_passphrase: false,
        connection: Connection::Connected,
        connected: vec![],
        through: vec![],
        ways: vec![],
        tried: std::collections::BTreeMap::new(),
    };
    bench.devices[device].store.reader().unwrap().query(query, &live).ok()
}

fn last(bench: &Bench, device: usize) -> Message {
    match query(bench, device, Query::Chats(Page { limit: 1, offset: 0 })) {
        Some(Answer::Chats(mut chats)) => chats.remove(0).last.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn file(bench: &Bench, device: usize, id: &str, preview: bool) -> Option<Vec<u8>> {
    match query(bench, device, Query::MediaGet(MediaGet { id: id.into(), preview }))? {
        Answer::MediaFile(file) => Some(STANDARD.decode(file.data).unwrap()),
        other => panic!("{other:?}"),
    }
}

/// A photo with so many bytes in its scan.
pub(crate) fn photo(scan: usize) -> Vec<u8> {
    let (head, end) = PHOTO.split_at(PHOTO.len() - 2);
    let head = &head[..head.len() - 3000];
    [head, &vec![7; scan], end].concat()
}

fn attachments(bench: &mut Bench, device: usize) -> Vec<u8> {
    bench.numbers(device, "SELECT count(*) FROM attachment")
}

#[test]
fn a_photo_comes_in_parts_without_what_is_no_picture_con_15() {
    let mut bench = Bench::friends();
    let big = photo(150_000);
    let told = [&big[..2], b"\xff\xe1\x00\x11Exif\0\0GPS 59.93", &big[2..]].concat();
    let sent = ask(&mut bench, MediaKind::Photo, &told, Some(PHOTO)).unwrap();
    for device in 0..2 {
        let there = last(&bench, device);
        assert_eq!((there.id.as_str(), there.text.as_str()), (sent.id.as_str(), "look"));
        let media = there.media.unwrap();
        assert_eq!((media.width, media.height, media.preview), (Some(640), Some(480), true));
        assert!(file(&bench, device, &sent.id, false).unwrap() == big);
        assert!(file(&bench, device, &sent.id, true).unwrap() == PHOTO);
    }
    assert!(
        bench.devices[0]
            .sent
            .iter()
            .filter(|parcel| parcel.envelope.bytes().len() == 32_768)
            .count()
            >= 4
    );
}

#[test]
fn a_voice_note_is_measured_and_quoted_con_14() {
    let mut bench = Bench::friends();
    let sent = ask(&mut bench, MediaKind::Voice, NOTE, None).unwrap();
    assert_eq!(last(&bench, 1).media.unwrap().duration_ms, Some(3_000));
    assert!(file(&bench, 1, &sent.id, false).unwrap() == NOTE);
    let answer = Send {
        chat: 1,
        text: "heard".into(),
        client_id: None,
        marked: false,
        reply_to: Some(sent.id),
    };
    bench.ask(1, Command::Send(answer)).unwrap();
    assert_eq!(
        last(&bench, 0).reply.unwrap().found.unwrap().media,
        Some(MediaKind::Voice)
    );
}

#[test]
fn what_is_too_big_or_something_else_is_refused_con_13() {
    let mut bench = Bench::friends();
    let most = 192 * 1024 - photo(0).len();
    assert!(ask(&mut bench, MediaKind::Photo, &photo(most), None).is_ok());
    assert_eq!(last(&bench, 1).media.unwrap().kind, MediaKind::Photo);
    for (kind, file, preview, fault) in [
        (MediaKind::Photo, photo(most + 1), None, Fault::MediaTooBig),
        (MediaKind::Photo, photo(9), Some(photo(61_440)), Fault::MediaTooBig),
        (MediaKind::Photo, NOTE.to_vec(), None, Fault::BadMedia),
        (MediaKind::Voice, PHOTO.to_vec(), None, Fault::BadMedia),
        (MediaKind::Voice, vec![], None, Fault::BadMedia),
    ] {
        assert_eq!(ask(&mut bench, kind, &file, preview.as_deref()).err(), Some(fault));
    }
    assert_eq!(attachments(&mut bench, 0), [1]);
}

#[test]
fn a_file_goes_with_its_message_con_13() {
    let mut bench = Bench::friends();
    let sent = ask(&mut bench, MediaKind::Photo, PHOTO, None).unwrap();
    let delete = Delete {
        id: sent.id.clone(),
        everyone: true,
    };
    bench.ask(0, Command::Delete(delete)).unwrap();
    for device in 0..2 {
        assert_eq!(attachments(&mut bench, device), [0]);
        assert_eq!(file(&bench, device, &sent.id, false), None);
    }
    let timer = TimerSet {
        chat: 1,
        seconds: Some(60),
    };
    bench.ask(0, Command::TimerSet(timer)).unwrap();
    ask(&mut bench, MediaKind::Voice, NOTE, None).unwrap();
    let read = MarkRead {
        chat: 1,
        position: i64::MAX,
    };
    bench.ask(1, Command::MarkRead(read)).unwrap();
    assert_eq!(attachments(&mut bench, 1), [1]);
    bench.pass(61_000);
    for device in 0..2 {
        assert_eq!(attachments(&mut bench, device), [0]);
    }
}
