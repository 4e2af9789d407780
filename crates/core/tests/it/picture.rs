//! A group's picture: who sets it, who sees it, what is not let in.

use crate::bench::Bench;
use crate::devices::link;
use crate::groups::{account, add, chat, circle, create, give, group, head, remove, say, texts};
use crate::media::{PHOTO, photo, query};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stonechat_core::api::{Answer, ByChat, Command, ContactBlock, Fault, Group, GroupPicture, Page, Query, Role};

const HOUR: u64 = 3_600_000;

pub(crate) fn set(bench: &mut Bench, by: usize, file: Option<&[u8]>) -> Result<Group, Fault> {
    let wish = GroupPicture {
        chat: chat(bench, by),
        data: file.map(|file| STANDARD.encode(file)),
    };
    group(bench.ask(by, Command::GroupPicture(wish)))
}

/// What a device shows.
pub(crate) fn seen(bench: &mut Bench, device: usize) -> Option<Vec<u8>> {
    let chat = chat(bench, device);
    let file = query(bench, device, Query::GroupPictureGet(ByChat { chat })).map(|answer| match answer {
        Answer::MediaFile(file) => STANDARD.decode(file.data).unwrap(),
        other => panic!("{other:?}"),
    });
    let said = match query(bench, device, Query::Group(ByChat { chat })) {
        Some(Answer::Group(group)) => group.picture,
        other => panic!("{other:?}"),
    };
    let listed = match query(bench, device, Query::Chats(Page { limit: 9, offset: 0 })) {
        Some(Answer::Chats(chats)) => chats.into_iter().find(|one| one.id == chat).unwrap().group.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!((said, listed.picture.is_some()), (file.is_some(), file.is_some()));
    file
}

#[test]
fn a_picture_is_seen_by_all_and_by_who_comes_later_until_it_is_taken_away_grp_22() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2]);
    let big = photo(50_000);
    let telling = [&big[..2], b"\xff\xe1\x00\x11Exif\0\0GPS 59.93", &big[2..]].concat();
    assert!(set(&mut bench, 0, Some(&telling)).unwrap().picture);
    bench.pass(6_000);
    for device in 0..3 {
        assert!(seen(&mut bench, device).as_deref() == Some(big.as_slice()), "{device}");
    }
    // proves: GRP-21
    give(&mut bench, 0, 1, Role::Admin).unwrap();
    bench.pass(6_000);
    add(&mut bench, 0, &[3]).unwrap();
    bench.pass(6_000);
    assert!(seen(&mut bench, 3).as_deref() == Some(big.as_slice()));
    // Also to a device that somebody links afterwards.
    let laptop = link(&mut bench, 2);
    bench.pass(6_000);
    assert!(seen(&mut bench, laptop).as_deref() == Some(big.as_slice()));
    // Another one, by another admin, takes its place everywhere.
    set(&mut bench, 1, Some(PHOTO)).unwrap();
    bench.pass(6_000);
    for device in 0..5 {
        assert!(seen(&mut bench, device).as_deref() == Some(PHOTO), "{device}");
    }
    assert!(!set(&mut bench, 0, None).unwrap().picture);
    bench.pass(6_000);
    for device in 0..4 {
        assert_eq!(seen(&mut bench, device), None);
        assert_eq!(bench.numbers(device, "SELECT count(*) FROM picture"), [0]);
    }
    assert_eq!(texts(&mut bench, 3), [""; 0], "no line of the chat");
}

#[test]
fn only_whom_may_edit_sets_it_and_only_a_small_photo_grp_20() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    let before = head(&mut bench, 0);
    assert_eq!(set(&mut bench, 1, Some(PHOTO)).unwrap_err(), Fault::NotAllowed);
    assert_eq!(
        set(&mut bench, 0, Some(&photo(61_440))).unwrap_err(),
        Fault::MediaTooBig
    );
    for broken in [&PHOTO[..2000], b"GIF89a", b""] {
        assert_eq!(set(&mut bench, 0, Some(broken)).unwrap_err(), Fault::BadMedia);
    }
    bench.pass(6_000);
    assert_eq!((seen(&mut bench, 0), head(&mut bench, 0)), (None, before));
    set(&mut bench, 0, Some(PHOTO)).unwrap();
    bench.pass(6_000);
    assert_eq!(set(&mut bench, 1, None).unwrap_err(), Fault::NotAllowed);
    assert!(seen(&mut bench, 2).is_some());
}

#[test]
fn bytes_that_do_not_fit_are_not_kept_and_nobody_is_asked_for_others_grp_21() {
    let mut bench = circle(4);
    create(&mut bench, &[1]);
    set(&mut bench, 0, Some(PHOTO)).unwrap();
    bench.pass(6_000);
    // Whoever adds passes on another picture, then something that is none.
    for (bytes, comes) in [(photo(100), 2), (b"<svg/>".to_vec(), 3)] {
        let tx = bench.devices[0].store.begin().unwrap();
        tx.execute("UPDATE picture SET bytes = ?", [bytes]).unwrap();
        tx.commit().unwrap();
        add(&mut bench, 0, &[comes]).unwrap();
        bench.pass(6_000);
        assert_eq!(seen(&mut bench, comes), None);
        assert!(seen(&mut bench, 1).as_deref() == Some(PHOTO));
    }
    say(&mut bench, 0, "who is this?").unwrap();
    bench.pass(HOUR);
    assert_eq!(texts(&mut bench, 3), ["who is this?"]);
    remove(&mut bench, 0, &[3]).unwrap();
    bench.pass(6_000);
    assert!(seen(&mut bench, 1).is_some(), "other commits leave it");
}

#[test]
fn the_picture_that_a_blocked_member_sends_is_the_groups_blk_2() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    let id = account(&mut bench, 0);
    bench
        .ask(2, Command::ContactBlock(ContactBlock { id, blocked: true }))
        .unwrap();
    set(&mut bench, 0, Some(PHOTO)).unwrap();
    bench.pass(6_000);
    assert!(seen(&mut bench, 2).as_deref() == Some(PHOTO));
}
