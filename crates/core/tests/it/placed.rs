//! Who was added, removed or given something on a branch that lost: where everybody stands when the halves have met.

use crate::again::lock;
use crate::behind::rename;
use crate::bench::{Bench, route};
use crate::bundle::pack;
use crate::forks::renew;
use crate::groups::{add, all_agree, give, head, names, number, remove, say};
use crate::halves::{Apart, group, said};
use crate::restore::{come_back, words};
use stonechat_core::api::{How, Role, Who};

pub(crate) const MINUTE: u64 = 60_000;
pub(crate) const HOUR: u64 = 60 * MINUTE;

pub(crate) fn meet(bench: &mut Bench, inviter: usize, taker: usize) {
    let invite = bench.invite(inviter, Who::One, How::Plain);
    bench.accept(taker, &invite.link, None).unwrap();
    bench.pass(HOUR);
}

pub(crate) fn is_out(bench: &mut Bench, device: usize) -> bool {
    number(bench, device, "SELECT gone FROM conversation WHERE grouped = 1") == 1
}

pub(crate) fn reads(bench: &mut Bench, device: usize, text: &str) -> bool {
    said(bench, device).iter().any(|said| said.contains(text))
}

pub(crate) fn sorted_names(bench: &mut Bench, device: usize) -> Vec<String> {
    let mut names = names(bench, device);
    names.sort();
    names
}

/// Ana adds Gus and removes three; Bo adds Gus too, and the three write where that counts, more than those who stay.
#[test]
fn who_is_removed_on_one_branch_keeps_nobody_on_the_other_fork_9() {
    let mut bench = group();
    meet(&mut bench, 1, 6);
    let mut apart = Apart::between(bench, [&[0, 6], &[1, 2, 3, 4]]);
    apart.work(0, |bench| {
        add(bench, 0, &[6]).unwrap();
        for gone in [2, 3, 4] {
            remove(bench, 0, &[gone]).unwrap();
        }
        say(bench, 0, "Ana's half").unwrap();
    });
    apart.work(1, |bench| {
        add(bench, 1, &[6]).unwrap();
        bench.pass(MINUTE);
        for writer in [1, 2, 3, 4] {
            say(bench, writer, "Bo's half").unwrap();
        }
    });
    // The three say nothing more.
    let mut bench = apart.meet();
    all_agree(&mut bench, &[0, 1, 6]);
    assert_eq!(sorted_names(&mut bench, 0), ["Ana", "Bo", "Flo", "Gus"]);
    say(&mut bench, 6, "for those who stay").unwrap();
    bench.pass(HOUR);
    assert!(reads(&mut bench, 1, "for those who stay"));
    for gone in [2, 3, 4] {
        assert!(!reads(&mut bench, gone, "for those who stay"));
    }
}

/// All who wrote where Bo added Gus are away, and Bo: what Ana says of her own addition, having seen the other one, decides.
#[test]
fn whoever_knows_both_additions_says_which_one_counts_grp_24() {
    let mut bench = group();
    meet(&mut bench, 1, 6);
    let mut apart = Apart::between(bench, [&[0, 6], &[1, 2, 3, 4]]);
    apart.work(0, |bench| drop(add(bench, 0, &[6]).unwrap()));
    apart.work(1, |bench| {
        add(bench, 1, &[6]).unwrap();
        bench.pass(MINUTE);
        for writer in [1, 2, 3, 4] {
            say(bench, writer, "Bo's half").unwrap();
        }
        bench.pass(MINUTE);
    });
    apart.halves = [vec![0, 5, 6], vec![]];
    let mut bench = apart.meet();
    all_agree(&mut bench, &[0, 5, 6]);
    remove(&mut bench, 0, &[5]).unwrap();
    bench.pass(HOUR);
    assert_eq!(sorted_names(&mut bench, 6), ["Ana", "Bo", "Cy", "Di", "Ed", "Gus"]);
    for device in 1..5 {
        bench.reconnect(device);
    }
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 3, 4, 6]);
}

/// Bo takes back that he has added Gus, who stands where Ana has, and has added Hal there.
#[test]
fn what_is_said_of_another_beginning_touches_nobody_here_grp_24() {
    let mut bench = group();
    meet(&mut bench, 1, 6);
    meet(&mut bench, 6, 7);
    let mut apart = Apart::between(bench, [&[0, 2, 6, 7], &[1]]);
    apart.work(1, |bench| drop(add(bench, 1, &[6]).unwrap()));
    apart.work(0, |bench| {
        remove(bench, 0, &[5]).unwrap();
        bench.pass(MINUTE);
        add(bench, 0, &[6]).unwrap();
        bench.pass(MINUTE);
        give(bench, 0, 6, Role::Admin).unwrap();
        bench.pass(MINUTE);
        add(bench, 6, &[7]).unwrap();
    });
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 6, 7]);
    let withdrawn = "SELECT count(*) FROM epoch WHERE placed = 0";
    assert_eq!(number(&mut bench, 6, withdrawn), 1, "by Bo");
    assert_eq!(number(&mut bench, 7, withdrawn), 0);
    assert!(!is_out(&mut bench, 7) && !is_out(&mut bench, 6));
}

/// Bo adds Gus and removes him, removes Cy and adds him again; Ana's removal of Di wins.
#[test]
fn what_a_half_took_back_itself_is_not_done_again_fork_7() {
    let mut bench = group();
    meet(&mut bench, 1, 6);
    meet(&mut bench, 1, 2);
    let mut apart = Apart::between(bench, [&[0, 4], &[1, 2, 6]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[3]).unwrap()));
    apart.work(1, |bench| {
        add(bench, 1, &[6]).unwrap();
        bench.pass(MINUTE);
        remove(bench, 1, &[6]).unwrap();
        bench.pass(MINUTE);
        remove(bench, 1, &[2]).unwrap();
        bench.pass(MINUTE);
        add(bench, 1, &[2]).unwrap();
        bench.pass(MINUTE);
        say(bench, 2, "Cy is back").unwrap();
    });
    let mut bench = apart.meet();
    all_agree(&mut bench, &[0, 1, 2, 4]);
    assert_eq!(sorted_names(&mut bench, 0), ["Ana", "Bo", "Cy", "Ed", "Flo"]);
    assert!(is_out(&mut bench, 6) && !is_out(&mut bench, 2));
    for device in [0, 1, 2, 4] {
        assert!(reads(&mut bench, device, "Cy is back"), "{device}");
    }
    say(&mut bench, 0, "not for Gus").unwrap();
    bench.pass(HOUR);
    assert!(reads(&mut bench, 2, "not for Gus") && !reads(&mut bench, 6, "not for Gus"));
}

/// Ana makes Cy an admin, who adds Hal; Bo's removal of Flo wins. What was given is given again, and then Hal added again.
#[test]
fn who_was_added_by_right_of_a_lost_role_is_added_again_fork_7() {
    let mut bench = group();
    meet(&mut bench, 2, 7);
    let mut apart = Apart::between(bench, [&[0, 2, 4, 7], &[1, 5]]);
    apart.work(1, |bench| drop(remove(bench, 1, &[5]).unwrap()));
    apart.work(0, |bench| {
        give(bench, 0, 2, Role::Admin).unwrap();
        bench.pass(MINUTE);
        rename(bench, 0, "by Ana");
        bench.pass(MINUTE);
        add(bench, 2, &[7]).unwrap();
        bench.pass(MINUTE);
        say(bench, 7, "Hal is new").unwrap();
    });
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 4, 7]);
    assert_eq!(sorted_names(&mut bench, 0), ["Ana", "Bo", "Cy", "Di", "Ed", "Hal"]);
    for device in [0, 1, 7] {
        let name = "SELECT name = 'by Ana' FROM chat JOIN conversation v ON v.chat = chat.id WHERE v.grouped = 1";
        assert_eq!(number(&mut bench, device, name), 1, "{device}");
    }
    say(&mut bench, 7, "not for Flo").unwrap();
    bench.pass(HOUR);
    for device in [0, 1, 2, 4] {
        assert!(reads(&mut bench, device, "Hal is new") && reads(&mut bench, device, "not for Flo"));
    }
    assert!(is_out(&mut bench, 5) && !reads(&mut bench, 5, "not for Flo"));
}

/// Ana removes Bo, who adds Hal meanwhile: that is void, and Hal is told. What Hal wrote stands apart.
#[test]
fn who_was_added_by_a_void_commit_is_out_and_knows_grp_24() {
    let mut apart = Apart::between(group(), [&[0, 2], &[1, 3, 7]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[1]).unwrap()));
    apart.work(1, |bench| {
        add(bench, 1, &[7]).unwrap();
        bench.pass(MINUTE);
        say(bench, 7, "Hal is new").unwrap();
    });
    assert!(!is_out(&mut apart.bench, 7));
    let mut bench = apart.meet();
    all_agree(&mut bench, &[0, 2, 3]);
    assert!(is_out(&mut bench, 1) && is_out(&mut bench, 7));
    assert!(say(&mut bench, 7, "again").is_err());
    assert!(!said(&mut bench, 3).contains(&"Hal is new".into()));
}

/// Bo, who has added Hal, never comes to the meeting: Ana hears Hal and says so, but no member may.
#[test]
fn an_admin_who_hears_somebody_beside_the_head_says_that_it_is_out_grp_24() {
    let mut apart = Apart::between(group(), [&[0, 2, 3], &[1, 5, 7]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[5]).unwrap()));
    apart.work(1, |bench| {
        add(bench, 1, &[7]).unwrap();
        bench.pass(MINUTE);
        say(bench, 7, "Hal is new").unwrap();
        bench.pass(MINUTE);
    });
    apart.halves = [vec![2, 3], vec![5, 7]];
    (0..3).for_each(|_| apart.pass());
    say(&mut apart.bench, 7, "does anybody hear me?").unwrap();
    (0..3).for_each(|_| apart.pass());
    assert!(!is_out(&mut apart.bench, 7), "members may not say it");
    apart.halves = [vec![0, 2, 3], vec![5, 7]];
    let mut bench = apart.meet();
    assert!(is_out(&mut bench, 7) && is_out(&mut bench, 5));
    assert!(!is_out(&mut bench, 2) && !is_out(&mut bench, 3));
    all_agree(&mut bench, &[0, 2, 3]);
    assert!(say(&mut bench, 7, "not sent").is_err());
    // Bo is back: it adds Hal again.
    bench.reconnect(1);
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 3, 7]);
    assert!(!is_out(&mut bench, 7));
}

/// Bo removes Cy, Ed removes Di; they meet, and write before either is done again.
#[test]
fn where_both_sides_removed_somebody_neither_reads_what_is_written_meanwhile_fork_8() {
    let mut bench = group();
    give(&mut bench, 0, 4, Role::Admin).unwrap();
    bench.pass(HOUR);
    let mut apart = Apart::between(bench, [&[4], &[1]]);
    apart.work(0, |bench| drop(remove(bench, 4, &[3]).unwrap()));
    apart.work(1, |bench| drop(remove(bench, 1, &[2]).unwrap()));
    (0..2).for_each(|_| apart.exchange());
    for writer in [1, 4] {
        say(&mut apart.bench, writer, "for those who stay").unwrap();
        let held = "SELECT count(*) FROM outbox WHERE purpose = 0 AND envelope = x''";
        assert_eq!(number(&mut apart.bench, writer, held), 1);
        assert!(
            !pack(&mut apart.bench, writer).is_empty(),
            "a file has what else there is"
        );
    }
    let mut bench = apart.meet();
    for device in [0, 2, 3, 5] {
        bench.reconnect(device);
    }
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 4, 5]);
    for device in [0, 1, 4, 5] {
        let texts = said(&mut bench, device);
        assert_eq!(texts, ["for those who stay"; 2], "{device}");
    }
    for gone in [2, 3] {
        assert!(is_out(&mut bench, gone), "{gone}");
        assert!(!reads(&mut bench, gone, "for those who stay"), "{gone}");
    }
}

/// Bo's half, which wins, has added Hal; Ana's removal of Ed is known and not done again yet when they write.
#[test]
fn a_newcomer_has_what_is_written_before_a_removal_is_done_again_fork_8() {
    let mut apart = Apart::between(group(), [&[0], &[1, 2, 3, 4, 5, 7]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[4]).unwrap()));
    apart.work(1, |bench| {
        add(bench, 1, &[7]).unwrap();
        bench.pass(MINUTE);
        for writer in [1, 2, 3, 4, 5] {
            say(bench, writer, "Bo's half").unwrap();
        }
    });
    (0..2).for_each(|_| apart.exchange());
    for writer in [1, 2] {
        say(&mut apart.bench, writer, "not for Ed").unwrap();
    }
    for _ in 0..8 {
        apart.bench.pass(1_000);
        apart.exchange();
    }
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 3, 5, 7]);
    for device in [0, 1, 2, 3, 5, 7] {
        let texts = said(&mut bench, device);
        let count = texts.iter().filter(|text| text.contains("not for Ed")).count();
        assert_eq!(count, 2, "{device}: {texts:?}");
    }
    assert!(is_out(&mut bench, 4) && !reads(&mut bench, 4, "not for Ed"));
}

/// Ana removes Bo, who removes Cy meanwhile: that is void, and what Di and Ed wrote after it Cy has as well.
#[test]
fn who_was_removed_by_a_void_commit_has_what_was_written_after_it_out_9() {
    let mut apart = Apart::between(group(), [&[0, 2], &[1, 3, 4]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[1]).unwrap()));
    apart.work(1, |bench| {
        remove(bench, 1, &[2]).unwrap();
        bench.pass(MINUTE);
        for writer in [3, 4] {
            say(bench, writer, "Bo's half").unwrap();
        }
        bench.pass(MINUTE);
    });
    apart.halves = [vec![0, 2], vec![1, 3, 4, 5]];
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 2, 3, 4, 5]);
    for device in [0, 2, 3, 4, 5] {
        assert_eq!(said(&mut bench, device), ["Bo's half"; 2], "{device}");
    }
    let incomplete = "SELECT count(*) FROM message WHERE complete = 0";
    assert_eq!(number(&mut bench, 2, incomplete), 0);
}

/// Bo's removal of Cy wins over what Ed, an admin, took from Di and Flo, and does again there. Then Ana's removal of Bo comes.
#[test]
fn what_was_done_again_on_a_branch_that_is_void_is_done_again_once_more_fork_7() {
    let mut bench = group();
    give(&mut bench, 0, 4, Role::Admin).unwrap();
    bench.pass(HOUR);
    bench.lose(0);
    remove(&mut bench, 0, &[1]).unwrap();
    let mut apart = Apart::between(bench, [&[1, 2, 3], &[4, 5]]);
    apart.work(0, |bench| drop(remove(bench, 1, &[2]).unwrap()));
    apart.work(1, |bench| {
        rename(bench, 4, "Ed's name for it");
        bench.pass(MINUTE);
        give(bench, 4, 3, Role::Reader).unwrap();
        bench.pass(MINUTE);
        remove(bench, 4, &[5]).unwrap();
    });
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[1, 3, 4]);
    let done =
        "SELECT name = 'Ed''s name for it' FROM chat JOIN conversation v ON v.chat = chat.id WHERE v.grouped = 1";
    assert_eq!(number(&mut bench, 3, done), 1, "on Bo's branch");
    bench.greet(0);
    bench.reconnect(0);
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 2, 3, 4]);
    for device in [0, 2, 3, 4] {
        assert_eq!(number(&mut bench, device, done), 1, "{device}");
    }
    assert!(say(&mut bench, 3, "a reader").is_err());
    say(&mut bench, 4, "not for Flo").unwrap();
    bench.pass(HOUR);
    assert!(reads(&mut bench, 2, "not for Flo") && is_out(&mut bench, 5) && !reads(&mut bench, 5, "not for Flo"));
}

/// Ed's removal of Flo comes where all but Ed hold another branch, and Ed does not: Ana makes it again.
#[test]
fn a_removal_that_comes_beside_the_head_is_done_again_without_its_author_fork_7() {
    let mut bench = group();
    give(&mut bench, 0, 4, Role::Admin).unwrap();
    bench.pass(HOUR);
    let mut apart = Apart::between(bench, [&[4], &[0, 1, 2, 3, 5]]);
    apart.work(0, |bench| drop(remove(bench, 4, &[5]).unwrap()));
    apart.work(1, |bench| {
        rename(bench, 0, "Ana's name for it");
        bench.pass(MINUTE);
        for writer in [0, 1, 2, 3, 5] {
            say(bench, writer, "Ana's half").unwrap();
        }
    });
    apart.halves = [vec![], vec![0, 1, 2, 3, 5]];
    apart.pass();
    assert!(
        names(&mut apart.bench, 0).contains(&"Flo".into()),
        "its author may come"
    );
    let mut bench = apart.meet();
    all_agree(&mut bench, &[0, 1, 2, 3]);
    assert_eq!(sorted_names(&mut bench, 0), ["Ana", "Bo", "Cy", "Di", "Ed"]);
    assert!(is_out(&mut bench, 5));
    say(&mut bench, 3, "not for Flo").unwrap();
    bench.pass(HOUR);
    assert!(reads(&mut bench, 2, "not for Flo") && !reads(&mut bench, 5, "not for Flo"));
}

/// Bo, who removed Di, is not there; Ana removed Flo. Whoever of the admins writes makes Bo's removal again first.
#[test]
fn an_admin_who_writes_makes_a_lost_removal_again_without_its_author_fork_7() {
    let mut apart = Apart::between(group(), [&[0], &[1, 2]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[5]).unwrap()));
    apart.work(1, |bench| drop(remove(bench, 1, &[3]).unwrap()));
    apart.halves = [vec![0], vec![2]];
    (0..2).for_each(|_| apart.exchange());
    say(&mut apart.bench, 0, "for those who stay").unwrap();
    apart.bench.pass(90_000);
    assert!(!names(&mut apart.bench, 0).contains(&"Di".into()));
    (0..2).for_each(|_| apart.exchange());
    assert!(reads(&mut apart.bench, 2, "for those who stay"));
    let mut bench = apart.meet();
    for device in [1, 3, 5] {
        bench.reconnect(device);
    }
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2]);
    for gone in [3, 5] {
        assert!(
            is_out(&mut bench, gone) && !reads(&mut bench, gone, "for those who stay"),
            "{gone}"
        );
    }
}

/// Ana's removal of Ed loses and is done again; then Ana takes Ed back and makes it an admin. What lies beside the head says
/// nothing of that.
#[test]
fn who_is_taken_back_after_a_lost_removal_commits_and_is_read_fork_2() {
    let mut apart = Apart::between(group(), [&[0], &[1, 2, 3, 4, 5]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[4]).unwrap()));
    apart.work(1, |bench| {
        rename(bench, 1, "Bo's name for it");
        bench.pass(MINUTE);
        for writer in [1, 2, 3, 4, 5] {
            say(bench, writer, "Bo's half").unwrap();
        }
    });
    let mut bench = apart.meet();
    bench.pass(HOUR);
    assert!(is_out(&mut bench, 4));
    add(&mut bench, 0, &[4]).unwrap();
    bench.pass(HOUR);
    give(&mut bench, 0, 4, Role::Admin).unwrap();
    bench.pass(HOUR);
    rename(&mut bench, 4, "Ed's name for it");
    say(&mut bench, 4, "back").unwrap();
    bench.pass(2 * 24 * HOUR);
    all_agree(&mut bench, &[0, 1, 2, 3, 4, 5]);
    let named =
        "SELECT name = 'Ed''s name for it' FROM chat JOIN conversation v ON v.chat = chat.id WHERE v.grouped = 1";
    for device in 0..6 {
        assert_eq!(number(&mut bench, device, named), 1, "{device}");
        assert!(
            said(&mut bench, device).contains(&"back".into()),
            "{device}, and not as late"
        );
    }
}

/// Bo removes Cy. In Ana's half Cy is taken out and in again: that was meant.
#[test]
fn who_was_taken_back_in_the_other_half_stays_fork_7() {
    let mut apart = Apart::between(group(), [&[0, 2, 3, 4, 5], &[1]]);
    apart.work(1, |bench| drop(remove(bench, 1, &[2]).unwrap()));
    apart.work(0, |bench| {
        remove(bench, 0, &[2]).unwrap();
        bench.pass(MINUTE);
        add(bench, 0, &[2]).unwrap();
        bench.pass(MINUTE);
        say(bench, 2, "back").unwrap();
    });
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 3, 4, 5]);
    say(&mut bench, 2, "still here").unwrap();
    bench.pass(HOUR);
    for device in [0, 1, 2, 3, 4, 5] {
        let texts = said(&mut bench, device);
        assert!(
            texts.contains(&"still here".into()) && texts.contains(&"back".into()),
            "{device}: {texts:?}"
        );
    }
}

/// Bo removes Ed, who renews in Ana's half: all that follows it there is void. Ana makes Cy an admin there, who removes Di:
/// they meant it all the same.
#[test]
fn what_others_did_after_a_void_commit_is_done_again_fork_7() {
    let mut apart = Apart::between(group(), [&[0, 2, 3, 4, 6], &[1, 5]]);
    apart.work(1, |bench| drop(remove(bench, 1, &[4]).unwrap()));
    apart.work(0, |bench| {
        renew(bench, 4);
        bench.pass(MINUTE);
        rename(bench, 0, "Ana's name for it");
        bench.pass(MINUTE);
        give(bench, 0, 2, Role::Admin).unwrap();
        bench.pass(MINUTE);
        remove(bench, 2, &[3]).unwrap();
        bench.pass(MINUTE);
        renew(bench, 4);
        bench.pass(MINUTE);
        add(bench, 0, &[6]).unwrap();
        bench.pass(MINUTE);
        for writer in [0, 2, 6] {
            say(bench, writer, "not for Di").unwrap();
        }
    });
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 5, 6]);
    assert_eq!(sorted_names(&mut bench, 1), ["Ana", "Bo", "Cy", "Flo", "Gus"]);
    let named =
        "SELECT name = 'Ana''s name for it' FROM chat JOIN conversation v ON v.chat = chat.id WHERE v.grouped = 1";
    assert_eq!(number(&mut bench, 1, named), 1);
    say(&mut bench, 1, "nor is this").unwrap();
    bench.pass(HOUR);
    for device in [0, 1, 2, 5, 6] {
        assert!(reads(&mut bench, device, "nor is this"), "{device}");
    }
    let texts = said(&mut bench, 5);
    let in_time = texts.iter().filter(|text| *text == "not for Di").count();
    assert_eq!(in_time, 3, "not as written after a removal: {texts:?}");
    for gone in [3, 4] {
        assert!(
            is_out(&mut bench, gone) && !reads(&mut bench, gone, "nor is this"),
            "{gone}"
        );
    }
    assert!(!reads(&mut bench, 3, "not for Di"));
}

/// Bo removes Di, Ed renames the group, Bo takes Di back. Ana removes Ed: what Ed did between says nothing of that.
#[test]
fn what_was_taken_back_after_a_void_commit_is_taken_back_fork_7() {
    let mut bench = group();
    meet(&mut bench, 1, 3);
    give(&mut bench, 0, 4, Role::Admin).unwrap();
    bench.pass(HOUR);
    let mut apart = Apart::between(bench, [&[0, 2], &[1, 3, 4]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[4]).unwrap()));
    apart.work(1, |bench| {
        remove(bench, 1, &[3]).unwrap();
        bench.pass(MINUTE);
        rename(bench, 4, "Ed's name for it");
        bench.pass(MINUTE);
        add(bench, 1, &[3]).unwrap();
        bench.pass(MINUTE);
        say(bench, 3, "back").unwrap();
    });
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 3]);
    assert!(sorted_names(&mut bench, 0).contains(&"Di".into()) && is_out(&mut bench, 4));
    say(&mut bench, 3, "still here").unwrap();
    bench.pass(HOUR);
    assert!(reads(&mut bench, 2, "still here") && reads(&mut bench, 2, "back"));
}

/// Ana removes Flo by her first commit; Bo removes Flo too, and takes her back: on Ana's side she had a seat, and is out on purpose.
#[test]
fn whom_the_other_half_removed_at_once_nobody_adds_again_fork_7() {
    let mut bench = group();
    meet(&mut bench, 1, 5);
    let mut apart = Apart::between(bench, [&[0, 2, 4], &[1, 3, 5]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[5]).unwrap()));
    apart.work(1, |bench| {
        remove(bench, 1, &[5]).unwrap();
        bench.pass(MINUTE);
        add(bench, 1, &[5]).unwrap();
        bench.pass(MINUTE);
        say(bench, 5, "back").unwrap();
    });
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 3, 4]);
    assert_eq!(sorted_names(&mut bench, 0), ["Ana", "Bo", "Cy", "Di", "Ed"]);
    say(&mut bench, 0, "not for Flo").unwrap();
    bench.pass(HOUR);
    assert!(is_out(&mut bench, 5) && !reads(&mut bench, 5, "not for Flo"));
    // Whoever takes her back now means it.
    add(&mut bench, 1, &[5]).unwrap();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 3, 4, 5]);
    say(&mut bench, 5, "here again").unwrap();
    bench.pass(HOUR);
    assert!(reads(&mut bench, 0, "here again"));
}

/// Bo removes Ed, who brings in Gus in Ana's half: Ana removes Gus and Di at once, and locks the group. Gus is there by a
/// void commit alone; Di is out all the same, and the group is locked.
#[test]
fn who_is_there_by_a_void_commit_alone_keeps_nobody_in_fork_7() {
    let mut bench = group();
    meet(&mut bench, 4, 6);
    give(&mut bench, 0, 4, Role::Admin).unwrap();
    bench.pass(HOUR);
    give(&mut bench, 0, 1, Role::Owner).unwrap();
    bench.pass(HOUR);
    let mut apart = Apart::between(bench, [&[0, 2, 3, 4, 6], &[1, 5]]);
    apart.work(1, |bench| drop(remove(bench, 1, &[4]).unwrap()));
    apart.work(0, |bench| {
        add(bench, 4, &[6]).unwrap();
        bench.pass(MINUTE);
        lock(bench, 0);
        bench.pass(MINUTE);
        remove(bench, 0, &[3, 6]).unwrap();
        bench.pass(MINUTE);
        say(bench, 0, "for three").unwrap();
    });
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 5]);
    assert_eq!(sorted_names(&mut bench, 0), ["Ana", "Bo", "Cy", "Flo"]);
    assert!(say(&mut bench, 2, "locked").is_err());
    say(&mut bench, 0, "for four").unwrap();
    bench.pass(HOUR);
    for gone in [3, 4, 6] {
        assert!(
            is_out(&mut bench, gone) && !reads(&mut bench, gone, "for four"),
            "{gone}"
        );
    }
    assert!(!reads(&mut bench, 3, "for three") && !reads(&mut bench, 6, "for three"));
}

/// Both add Gus, and Bo removes him again: who only came on Ana's side was not taken back there.
#[test]
fn who_came_on_the_heads_side_was_not_taken_back_there_fork_7() {
    for renamed in [false, true] {
        let mut bench = group();
        meet(&mut bench, 1, 6);
        let mut apart = Apart::between(bench, [&[0, 2, 4], &[1, 3, 5]]);
        apart.work(0, |bench| {
            if renamed {
                rename(bench, 0, "by Ana");
                bench.pass(MINUTE);
            }
            add(bench, 0, &[6]).unwrap();
        });
        apart.work(1, |bench| {
            add(bench, 1, &[6]).unwrap();
            bench.pass(MINUTE);
            remove(bench, 1, &[6]).unwrap();
        });
        let mut bench = apart.meet();
        bench.pass(HOUR);
        all_agree(&mut bench, &[0, 1, 2, 3, 4, 5]);
        assert!(!sorted_names(&mut bench, 0).contains(&"Gus".into()), "{renamed}");
    }
}

/// Flo comes back from her words in Ana's half, who gives her new device a leaf; Bo's half wins, where the lost one's stands.
#[test]
fn who_came_back_from_words_in_the_half_that_lost_is_brought_back_again_rch_6() {
    let mut bench = group();
    let words = words(&mut bench, 5);
    bench.devices[5].cut = true;
    bench.pass(HOUR);
    let mut apart = Apart::between(bench, [&[0, 2], &[1, 3, 4]]);
    apart.work(1, |bench| {
        remove(bench, 1, &[3]).unwrap();
        bench.pass(MINUTE);
        say(bench, 4, "on Bo's side").unwrap();
    });
    apart.work(0, |bench| {
        let flo = come_back(bench, &words, &route());
        bench.pass(HOUR);
        say(bench, flo, "from words").unwrap();
    });
    apart.halves[0].push(8);
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 4, 8]);
    say(&mut bench, 0, "not for Di").unwrap();
    say(&mut bench, 8, "nor this").unwrap();
    bench.pass(HOUR);
    for device in [0, 1, 2, 4, 8] {
        for text in ["from words", "not for Di", "nor this"] {
            assert!(reads(&mut bench, device, text), "{device}: {text}");
        }
    }
    assert!(!reads(&mut bench, 3, "not for Di") && !reads(&mut bench, 3, "nor this"));
}

/// Bo removes Di beside the head; Ana removes her again, takes her back, and then takes back Cy, who was in Bo's half: made
/// an admin, Cy undoes nothing of that.
#[test]
fn a_newcomer_does_nothing_again_of_before_its_time_fork_7() {
    let mut bench = group();
    meet(&mut bench, 1, 2);
    let mut apart = Apart::between(bench, [&[0, 3, 4, 5], &[1, 2]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[2]).unwrap()));
    apart.work(1, |bench| drop(remove(bench, 1, &[3]).unwrap()));
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 4, 5]);
    add(&mut bench, 0, &[3]).unwrap();
    bench.pass(HOUR);
    add(&mut bench, 0, &[2]).unwrap();
    bench.pass(HOUR);
    give(&mut bench, 0, 2, Role::Admin).unwrap();
    bench.pass(HOUR);
    rename(&mut bench, 0, "the head moves");
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 3, 4, 5]);
}

/// Bo, whom Ana removes, makes Ed an admin, who removes Di: what nobody could do without it nobody does again.
#[test]
fn what_only_a_void_commit_gave_the_right_to_do_is_not_done_again_fork_7() {
    let mut bench = group();
    give(&mut bench, 0, 1, Role::Owner).unwrap();
    bench.pass(HOUR);
    let mut apart = Apart::between(bench, [&[0, 2, 3], &[1, 4]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[1]).unwrap()));
    apart.work(1, |bench| {
        give(bench, 1, 4, Role::Admin).unwrap();
        bench.pass(MINUTE);
        remove(bench, 4, &[3]).unwrap();
    });
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 2, 3, 4]);
    assert_eq!(sorted_names(&mut bench, 0), ["Ana", "Cy", "Di", "Ed", "Flo"]);
}

/// Bo, who puts Ed down, does not come to the meeting; Ed knows nothing of it, and adds Gus.
#[test]
fn a_right_that_was_taken_beside_the_head_is_taken_again_without_its_author_fork_7() {
    let mut bench = group();
    meet(&mut bench, 4, 7);
    give(&mut bench, 0, 1, Role::Owner).unwrap();
    give(&mut bench, 0, 4, Role::Admin).unwrap();
    bench.pass(HOUR);
    let mut apart = Apart::between(bench, [&[0, 2, 3, 4, 5], &[1]]);
    apart.work(1, |bench| drop(give(bench, 1, 4, Role::Member).unwrap()));
    apart.work(0, |bench| drop(remove(bench, 0, &[2]).unwrap()));
    apart.halves = [vec![0, 3, 4, 5, 7], vec![]];
    (0..5).for_each(|_| apart.pass());
    assert!(add(&mut apart.bench, 4, &[7]).is_err(), "put down");
    give(&mut apart.bench, 0, 4, Role::Admin).unwrap();
    (0..2).for_each(|_| apart.pass());
    add(&mut apart.bench, 4, &[7]).unwrap();
    (0..3).for_each(|_| apart.pass());
    all_agree(&mut apart.bench, &[0, 3, 4, 5, 7]);
    // Bo's device finds what it took taken, and given back on purpose.
    apart.halves = [vec![0, 3, 4, 5, 7], vec![1]];
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 3, 4, 5, 7]);
    assert!(sorted_names(&mut bench, 1).contains(&"Hal".into()));
}

/// Both halves remove Ed, Bo's is void; Ana has added Gus before hers. What Di wrote without Ed stays without Ed.
#[test]
fn who_is_out_on_the_head_too_has_nothing_for_a_void_removal_out_9() {
    let mut apart = Apart::between(group(), [&[0, 2, 6], &[1, 3]]);
    apart.work(0, |bench| {
        remove(bench, 0, &[1]).unwrap();
        bench.pass(MINUTE);
        add(bench, 0, &[6]).unwrap();
        bench.pass(MINUTE);
        remove(bench, 0, &[4]).unwrap();
    });
    apart.work(1, |bench| {
        remove(bench, 1, &[4]).unwrap();
        bench.pass(MINUTE);
        say(bench, 3, "not for Ed").unwrap();
    });
    apart.halves = [vec![0, 2, 6], vec![3, 4]];
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 2, 3, 6]);
    assert!(reads(&mut bench, 2, "not for Ed"));
    assert!(is_out(&mut bench, 4) && !reads(&mut bench, 4, "not for Ed"));
}

/// The same word by anybody but who added Hal says nothing.
#[test]
fn only_who_added_somebody_says_whether_that_counts_grp_24() {
    let mut apart = Apart::between(group(), [&[0, 2], &[1, 3, 7]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[1]).unwrap()));
    apart.work(1, |bench| drop(add(bench, 1, &[7]).unwrap()));
    let other = "UPDATE epoch SET author = zeroblob(32) WHERE parent IS NULL AND group_id IN
                     (SELECT group_id FROM conversation WHERE grouped = 1)";
    let hal = &mut apart.bench.devices[7];
    let tx = hal.store.begin().unwrap();
    assert_eq!(tx.execute(other, []).unwrap(), 1);
    tx.commit().unwrap();
    hal.core.forget();
    let mut bench = apart.meet();
    assert!(is_out(&mut bench, 1) && !is_out(&mut bench, 7));
}

/// Bo is removed; an old copy of its device removes Di and adds Di again, who was away and hears that first.
#[test]
fn whom_a_removed_admin_adds_again_is_led_back_by_the_others_fork_9() {
    let mut bench = group();
    meet(&mut bench, 1, 3);
    let copy = bench.copy(1);
    let mut apart = Apart::between(bench, [&[0, 1, 2, 4], &[copy]]);
    apart.work(0, |bench| {
        remove(bench, 0, &[1]).unwrap();
        bench.pass(MINUTE);
        for writer in [0, 2, 4] {
            say(bench, writer, "Bo is out").unwrap();
        }
    });
    apart.work(1, |bench| {
        remove(bench, copy, &[3]).unwrap();
        bench.pass(MINUTE);
        add(bench, copy, &[3]).unwrap();
        say(bench, copy, "Bo is back").unwrap();
    });
    apart.halves = [vec![0, 1, 2, 4], vec![copy, 3]];
    apart.work(1, |_| {});
    assert_ne!(head(&mut apart.bench, 3), head(&mut apart.bench, 0));
    let mut bench = apart.meet();
    all_agree(&mut bench, &[0, 2, 3, 4]);
    say(&mut bench, 3, "not for Bo").unwrap();
    bench.pass(HOUR);
    assert!(reads(&mut bench, 2, "not for Bo"));
    assert!(!reads(&mut bench, 1, "not for Bo") && !reads(&mut bench, copy, "not for Bo"));
}

/// Ana's removal of Di and Bo's removal of Ed, whose branch wins by what is written on it: Ed cannot see that, and is out.
#[test]
fn who_was_removed_beside_its_head_takes_itself_for_out_fork_8() {
    let mut apart = Apart::between(group(), [&[0, 4], &[1, 2, 5]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[3]).unwrap()));
    apart.work(1, |bench| {
        remove(bench, 1, &[4]).unwrap();
        bench.pass(MINUTE);
    });
    apart.halves = [vec![4], vec![1, 2, 5]];
    apart.pass();
    assert!(is_out(&mut apart.bench, 4), "before anybody has done it again");
    apart.halves = [vec![0, 4], vec![1, 2, 5]];
    let mut bench = apart.meet();
    assert!(is_out(&mut bench, 4));
    all_agree(&mut bench, &[0, 1, 2, 5]);
    assert_eq!(sorted_names(&mut bench, 0), ["Ana", "Bo", "Cy", "Flo"]);
}

/// What says that Ed is out was lost on its way: Ed writes on, and is told by the others.
#[test]
fn who_is_out_and_does_not_know_is_told_when_it_is_heard_epo_7() {
    let mut bench = group();
    let ears = std::mem::take(&mut bench.devices[4].listening);
    remove(&mut bench, 0, &[4]).unwrap();
    bench.lose_commits(0);
    bench.devices[4].listening = ears;
    bench.pass(2 * HOUR);
    assert!(!is_out(&mut bench, 4));
    say(&mut bench, 4, "is anybody there?").unwrap();
    bench.pass(HOUR);
    assert!(is_out(&mut bench, 4));
}

/// Bo adds Hal, comes over to Ana, whose removal goes first, and adds Hal there again. What the others write meanwhile makes
/// the first addition count after all (FORK-3).
#[test]
fn who_was_told_that_it_is_out_is_in_where_its_branch_wins_after_all_grp_24() {
    let mut apart = Apart::between(group(), [&[0], &[1, 2, 3, 4, 5, 7]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[5]).unwrap()));
    apart.work(1, |bench| {
        add(bench, 1, &[7]).unwrap();
        bench.pass(MINUTE);
        for writer in [2, 3, 4, 5, 7] {
            bench.devices[writer].cut = true;
            say(bench, writer, "Bo's half").unwrap();
        }
    });
    apart.halves = [vec![0], vec![1]];
    for _pass in 0..3 {
        apart.pass();
    }
    let added = sorted_names(&mut apart.bench, 0);
    assert_eq!(
        added,
        ["Ana", "Bo", "Cy", "Di", "Ed", "Hal"],
        "added again on Ana's branch"
    );
    apart.halves = [vec![0], vec![1, 2, 3, 4, 5, 7]];
    let mut bench = apart.meet();
    all_agree(&mut bench, &[0, 1, 2, 3, 4, 7]);
    assert!(is_out(&mut bench, 5) && !is_out(&mut bench, 7));
    say(&mut bench, 7, "Hal is in").unwrap();
    bench.pass(HOUR);
    for device in [0, 1, 2, 3, 4] {
        assert!(reads(&mut bench, device, "Hal is in"), "{device}");
    }
}

/// Bo, who added Hal, says that this does not count, or does so as an admin who hears Hal: until Ana puts Bo down.
#[test]
fn whoever_was_put_down_leads_nobody_off_grp_24() {
    for as_an_admin in [false, true] {
        let mut bench = group();
        add(&mut bench, 1, &[7]).unwrap();
        bench.pass(HOUR);
        let bo = if as_an_admin {
            "(SELECT author FROM epoch e WHERE e.epoch_id = epoch.epoch_id)"
        } else {
            "NULL"
        };
        let said = format!(
            "UPDATE epoch SET placed = 0, placed_by = {bo} WHERE parent IS NULL AND group_id IN
                 (SELECT group_id FROM conversation WHERE grouped = 1)"
        );
        let tx = bench.devices[7].store.begin().unwrap();
        assert_eq!(tx.execute(&said, []).unwrap(), 1);
        tx.commit().unwrap();
        bench.devices[7].core.forget();
        bench.lose(1);
        rename(&mut bench, 0, "before");
        bench.pass(HOUR);
        assert!(is_out(&mut bench, 7), "{as_an_admin}");
        give(&mut bench, 0, 1, Role::Member).unwrap();
        bench.pass(HOUR);
        assert!(!is_out(&mut bench, 7), "{as_an_admin}");
    }
}
