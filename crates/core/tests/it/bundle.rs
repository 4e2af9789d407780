//! Bundles: what goes by file, with no relay and beside one.

use crate::bench::Bench;
use crate::groups::{self, circle, create};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stonechat_core::api::{
    AcceptanceState, BundleExport, BundleImport, BundlePage, BundlePlace, BundleTaken, Command, Fault, How, Reply, Who,
};

const DAY: u64 = 24 * 3600 * 1000;

fn page(bench: &mut Bench, device: usize, from: Option<BundlePlace>) -> BundlePage {
    match bench.ask(device, Command::BundleExport(BundleExport { from })) {
        Ok(Reply::BundlePage(page)) => page,
        other => panic!("{other:?}"),
    }
}

/// All pages of what a device has to carry.
pub(crate) fn pack(bench: &mut Bench, device: usize) -> Vec<String> {
    let mut pages = vec![];
    let mut from = None;
    loop {
        let page = page(bench, device, from);
        pages.push(page.data);
        from = page.next;
        if from.is_none() {
            return pages;
        }
    }
}

fn take(bench: &mut Bench, device: usize, page: &str) -> Result<BundleTaken, Fault> {
    let wish = BundleImport { data: page.to_owned() };
    match bench.ask(device, Command::BundleImport(wish))? {
        Reply::BundleTaken(taken) => Ok(taken),
        other => panic!("{other:?}"),
    }
}

fn unpack(bench: &mut Bench, device: usize, pages: &[String]) -> BundleTaken {
    pages.iter().fold(BundleTaken::default(), |sum, page| {
        let one = take(bench, device, page).unwrap();
        BundleTaken {
            taken: sum.taken + one.taken,
            known: sum.known + one.known,
            others: sum.others + one.others,
        }
    })
}

/// A stick that goes from one to the other.
fn carry(bench: &mut Bench, from: usize, to: usize) -> BundleTaken {
    let pages = pack(bench, from);
    unpack(bench, to, &pages)
}

fn alone(count: usize) -> Bench {
    let mut bench = Bench::with(count);
    for device in &mut bench.devices {
        device.cut = true;
    }
    bench
}

#[test]
fn two_meet_and_talk_by_files_alone_bdl_3() {
    let mut bench = alone(2);
    let invite = bench.invite(0, Who::One, How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Saved);
    carry(&mut bench, 0, 1);
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Claimed);
    carry(&mut bench, 1, 0);
    carry(&mut bench, 0, 1);
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Accepted);
    bench.say(0, 1, "by stick");
    bench.pass(1_000);
    bench.say(1, 1, "by card");
    for _ in 0..2 {
        carry(&mut bench, 0, 1);
        carry(&mut bench, 1, 0);
    }
    assert_eq!(bench.texts(0), ["> by stick", "by card"]);
    assert_eq!(bench.texts(1), ["by stick", "> by card"]);
    assert_eq!((bench.states(0), bench.states(1)), (vec![2], vec![2]));
}

#[test]
fn a_file_of_weeks_ago_taken_in_twice_beside_a_relay_doubles_nothing_bdl_3() {
    let mut bench = Bench::friends();
    bench.devices[1].cut = true;
    for text in ["one", "two", "three"] {
        bench.say(0, 1, text);
    }
    let early = pack(&mut bench, 0);
    bench.pass(20 * DAY);
    let late = pack(&mut bench, 0);
    assert!(unpack(&mut bench, 1, &early).taken >= 3);
    assert_eq!(bench.texts(1), ["one", "two", "three"]);
    let again = unpack(&mut bench, 1, &early);
    assert_eq!((again.taken, again.others), (0, 0));
    unpack(&mut bench, 1, &late);
    bench.reconnect(1);
    bench.pass(DAY);
    assert_eq!(bench.texts(1), ["one", "two", "three"]);
    assert_eq!(bench.states(0), [2, 2, 2]);
    // One's own file is nothing new.
    let own = carry(&mut bench, 0, 0);
    assert_eq!((own.taken, own.others), (0, 0));
}

#[test]
fn who_has_a_relay_confirms_by_file_to_who_has_none_bdl_2() {
    let mut bench = Bench::friends();
    bench.devices[0].cut = true;
    bench.say(0, 1, "from the village");
    carry(&mut bench, 0, 1);
    // The receipt went to the relay, and waits nowhere any more.
    bench.pass(3 * 3600 * 1000);
    assert_eq!(bench.states(0), [0]);
    carry(&mut bench, 1, 0);
    assert_eq!(bench.states(0), [2]);
}

#[test]
fn a_member_without_a_relay_gets_the_whole_group_from_one_bdl_2() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2]);
    bench.pass(DAY);
    bench.devices[2].cut = true;
    groups::add(&mut bench, 0, &[3]).unwrap();
    bench.pass(3 * DAY);
    groups::say(&mut bench, 1, "Bo to all").unwrap();
    groups::say(&mut bench, 3, "new here").unwrap();
    bench.pass(2 * DAY);
    groups::say(&mut bench, 0, "Ana to all").unwrap();
    bench.pass(3600 * 1000);
    carry(&mut bench, 0, 2);
    assert_eq!(groups::texts(&mut bench, 2), ["Bo to all", "new here", "Ana to all"]);
    assert_eq!(groups::names(&mut bench, 2).len(), 4);
    assert_eq!(groups::head(&mut bench, 2), groups::head(&mut bench, 0));
}

#[test]
fn what_is_for_others_and_what_is_broken_changes_nothing_bdl_1() {
    let mut bench = circle(3);
    bench.devices[1].cut = true;
    bench.say(0, 1, "for Bo");
    let pages = pack(&mut bench, 0);
    let rows =
        "SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM envelope_seen) + (SELECT count(*) FROM part)";
    let before = groups::number(&mut bench, 2, rows);
    let mut foreign = vec![];
    for page in &pages {
        let items = stonechat_wire::bundle::decode_items(&STANDARD.decode(page).unwrap()).unwrap();
        let mut kept = vec![];
        // The last ones wait in the outbox; that to Bo among them.
        items.last().unwrap().encode(&mut kept);
        foreign.push(STANDARD.encode(&kept));
    }
    let counts = unpack(&mut bench, 2, &foreign);
    assert_eq!((counts.taken, counts.known), (0, 0));
    assert_eq!(groups::number(&mut bench, 2, rows), before);

    // A good item before a bad one: neither.
    let good = STANDARD.decode(&pages[0]).unwrap();
    let before = groups::number(&mut bench, 1, rows);
    let too_long = vec![0; 200_000];
    for bad in [[good.as_slice(), &[2, 0, 0]].concat(), too_long] {
        let bad = STANDARD.encode(bad);
        assert_eq!(take(&mut bench, 1, &bad).unwrap_err(), Fault::BrokenBundle);
    }
    assert_eq!(take(&mut bench, 1, "not base64").unwrap_err(), Fault::BrokenBundle);
    assert_eq!(groups::number(&mut bench, 1, rows), before);
}

#[test]
fn much_goes_in_pages_that_each_can_be_taken_in_bdl_4() {
    let mut bench = Bench::friends();
    bench.devices[1].cut = true;
    for number in 0..60 {
        bench.say(0, 1, &format!("{number} {}", "x".repeat(6_000)));
    }
    let pages = pack(&mut bench, 0);
    assert!(pages.len() > 2, "{}", pages.len());
    let lengths: Vec<usize> = pages.iter().map(|page| STANDARD.decode(page).unwrap().len()).collect();
    assert!(lengths.iter().all(|length| *length < 193_000), "{lengths:?}");
    // The last page first.
    for page in pages.iter().rev() {
        take(&mut bench, 1, page).unwrap();
    }
    assert_eq!(bench.texts(1).len(), 60);
}

#[test]
fn a_place_that_no_page_ended_at_is_refused_or_gives_what_is_behind_it_bdl_4() {
    let mut bench = Bench::friends();
    for stage in [0, 1, 2, 3, 4, u8::MAX] {
        for after in [i64::MIN, -1] {
            let from = Some(BundlePlace { stage, after });
            let refused = bench.ask(0, Command::BundleExport(BundleExport { from }));
            assert_eq!(refused.unwrap_err(), Fault::BadParams, "{stage}");
        }
        let from = Some(BundlePlace { stage, after: i64::MAX });
        assert_eq!(page(&mut bench, 0, from).next, None, "{stage}");
    }
}
