//! Members who were removed, with everything they ever had and everything that was ever put to the relay.

use crate::bench::{Bench, relay_keys};
use crate::groups::{all_agree, chat, circle, create, give, head, names, number, remove, say, texts};
use stonechat_core::Input;
use stonechat_core::api::{Command, GroupEdit, Role};
use stonechat_wire::exchange::{Arrival, News};

const HOUR: u64 = 3_600_000;
/// An admin until Ana removes it.
const CY: usize = 2;

/// Ana, Bo, Cy and Di; Ana removes Cy, who takes nothing in from that moment on, and keeps its old state.
fn removed() -> Bench {
    let mut bench = circle(4);
    create(&mut bench, &[1, CY, 3]);
    give(&mut bench, 0, CY, Role::Admin).unwrap();
    say(&mut bench, CY, "still here").unwrap();
    bench.pass(HOUR);
    bench.devices[CY].cut = true;
    say(&mut bench, 1, "for Cy too").unwrap();
    bench.pass(HOUR);
    remove(&mut bench, 0, &[CY]).unwrap();
    for device in [0, 1, 3] {
        say(&mut bench, device, "not for Cy").unwrap();
        bench.pass(HOUR);
    }
    bench
}

/// Every envelope that the relay ever had, under every tag that this device reads or ever read: it looks everywhere.
fn all_traffic(bench: &mut Bench, device: usize, commits_too: bool) {
    let sql = if commits_too { "1" } else { "purpose <> 3" };
    let tags: Vec<[u8; 16]> = {
        let tx = bench.devices[device].store.begin().unwrap();
        let mut rows = tx.prepare(&format!("SELECT tag FROM listening WHERE {sql}")).unwrap();
        let tags = rows.query_map([], |row| row.get(0)).unwrap();
        tags.collect::<Result<_, _>>().unwrap()
    };
    let envelopes: Vec<Vec<u8>> = bench.relay.boxes.values().flatten().cloned().collect();
    let mut cursor = 1_000_000;
    for envelope in envelopes {
        // Where it was put, and as if it had been put into each mailbox that is known.
        for tag in &tags {
            cursor += 1;
            let arrival = Arrival {
                relay: relay_keys().id(),
                tag: (*tag).into(),
                cursor,
                envelope: envelope.clone(),
            };
            let outputs = bench.devices[device].step(Input::News(News::Arrived(vec![arrival])));
            bench.release(device, outputs);
        }
    }
}

#[test]
fn a_removed_member_with_its_old_state_and_all_traffic_reads_nothing_new_grp_4() {
    let mut bench = removed();
    // What was written before comes by the same traffic.
    all_traffic(&mut bench, CY, false);
    assert_eq!(texts(&mut bench, CY), ["> still here", "for Cy too"]);
    all_traffic(&mut bench, CY, true);
    assert_eq!(texts(&mut bench, CY), ["> still here", "for Cy too"]);
    let gone = "SELECT gone FROM conversation WHERE grouped = 1";
    assert_eq!(number(&mut bench, CY, gone), 1, "it has taken in that it is out");
    assert_eq!(texts(&mut bench, 1).len(), 5);
}

#[test]
fn a_removed_admin_with_its_old_state_changes_nothing_fork_2() {
    let mut bench = removed();
    let (before, there) = (head(&mut bench, 0), names(&mut bench, 0));
    // It knows nothing of its removal: its program lets it do what an admin may.
    let wish = GroupEdit {
        chat: chat(&mut bench, CY),
        name: Some("Cy's house".into()),
        description: None,
        may_write: None,
        may_add: None,
        may_edit: None,
    };
    bench.ask(CY, Command::GroupEdit(wish)).unwrap();
    remove(&mut bench, CY, &[1]).unwrap();
    say(&mut bench, CY, "I am back").unwrap();
    // What it has made reaches the others; it goes on taking in nothing.
    let deaf = std::mem::take(&mut bench.devices[CY].listening);
    assert!(!deaf.is_empty());
    bench.reconnect(CY);
    bench.pass(HOUR);
    assert_eq!((head(&mut bench, 0), names(&mut bench, 0)), (before, there));
    all_agree(&mut bench, &[0, 1, 3]);
    for device in [0, 1, 3] {
        let shown = texts(&mut bench, device);
        assert!(shown.iter().all(|text| text != "I am back"), "{shown:?}");
    }
}

/// Bo is removed by Ana, of whom nobody hears; all others follow Bo's commit and write on its branch.
#[test]
pub(crate) fn a_removed_admin_whom_all_follow_on_its_branch_changes_nothing_fork_2() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    give(&mut bench, 0, 1, Role::Admin).unwrap();
    bench.pass(HOUR);
    bench.devices[0].cut = true;
    remove(&mut bench, 0, &[1]).unwrap();
    let wish = GroupEdit {
        chat: chat(&mut bench, 1),
        name: Some("Bo's house".into()),
        description: None,
        may_write: None,
        may_add: None,
        may_edit: None,
    };
    bench.ask(1, Command::GroupEdit(wish)).unwrap();
    for device in [1, 2, 3] {
        say(&mut bench, device, "in Bo's house").unwrap();
        bench.pass(HOUR);
    }
    bench.reconnect(0);
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 2, 3]);
    assert_eq!(names(&mut bench, 2), ["Ana", "Cy", "Di"]);
    for device in [0, 2, 3] {
        assert_eq!(name(&mut bench, device), "house", "{device}");
    }
}

fn name(bench: &mut Bench, device: usize) -> String {
    let tx = bench.devices[device].store.begin().unwrap();
    let sql = "SELECT name FROM chat WHERE id = (SELECT chat FROM conversation WHERE grouped = 1)";
    tx.query_row(sql, [], |row| row.get(0)).unwrap()
}
