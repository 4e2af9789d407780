//! What somebody does who was let in by an admin that had been removed already, and did not know (FORK-2, GRP-6).

use crate::bench::Bench;
use crate::content::group_page;
use crate::devices::{link, remove_laptop};
use crate::forks::change;
use crate::groups::{add, chat, circle, create, give, let_all_edit, names, number, remove, say, texts};
use stonechat_core::api::{Command, How, Pin, Role, TimerSet, Who};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const STAY: [usize; 3] = [0, 2, 3];

/// Ana, Bo, Cy, Di; Flo knows Bo. Ana removes Bo, an admin; Bo has not heard of it, lets everybody change the group, and adds Flo.
fn let_in() -> Bench {
    let mut bench = Bench::with(5);
    for (inviter, taker) in [(0, 1), (0, 2), (0, 3), (1, 4)] {
        let invite = bench.invite(inviter, Who::One, How::Plain);
        bench.accept(taker, &invite.link, None).unwrap();
    }
    bench.pass(6_000);
    create(&mut bench, &[1, 2, 3]);
    give(&mut bench, 0, 1, Role::Admin).unwrap();
    bench.pass(HOUR);
    say(&mut bench, 3, "by Di").unwrap();
    bench.pass(HOUR);
    bench.devices[1].cut = true;
    remove(&mut bench, 0, &[1]).unwrap();
    bench.pass(MINUTE);
    bench.lose_commits(0);
    let_all_edit(&mut bench, 1);
    add(&mut bench, 1, &[4]).unwrap();
    // Ana would tell Flo that it is out (GRP-24).
    bench.devices[0].cut = true;
    bench.reconnect(1);
    bench.pass(MINUTE);
    assert_eq!(names(&mut bench, 4).len(), 5, "Flo sees a group with everybody");
    for device in STAY {
        assert_eq!(names(&mut bench, device), ["Ana", "Cy", "Di"], "{device}");
    }
    bench
}

#[test]
pub(crate) fn whom_a_void_commit_let_in_changes_nothing_fork_2_grp_6() {
    let mut bench = let_in();
    let house = chat(&mut bench, 4);
    say(&mut bench, 1, "by Bo").unwrap();
    bench.pass(MINUTE);
    say(&mut bench, 4, "by Flo").unwrap();
    let timer = TimerSet {
        chat: house,
        seconds: Some(3_600),
    };
    bench.ask(4, Command::TimerSet(timer)).unwrap();
    let by_bo = group_page(&mut bench, 4)
        .into_iter()
        .find(|message| message.text == "by Bo")
        .unwrap();
    let pin = Pin {
        id: by_bo.id.clone(),
        on: true,
    };
    bench.ask(4, Command::Pin(pin)).unwrap();
    bench.reconnect(0);
    bench.pass(HOUR);
    for device in STAY {
        let shown = texts(&mut bench, device);
        assert!(shown.contains(&"! by Flo".to_owned()), "{device}: {shown:?}");
        let timer = "SELECT count(*) FROM message WHERE kind = 6 AND late = 0";
        assert_eq!(number(&mut bench, device, timer), 0, "{device}");
        let pinned = "SELECT count(*) FROM message WHERE pinned IS NOT NULL";
        assert_eq!(number(&mut bench, device, pinned), 0, "{device}");
    }
}

/// Ana's laptop does not hear that it is removed, lets everybody change the group, and adds Di, who has not heard of it either.
fn let_in_by_a_removed_device() -> Bench {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2]);
    bench.pass(HOUR);
    let laptop = link(&mut bench, 0);
    bench.pass(HOUR);
    for device in [3, laptop] {
        bench.devices[device].cut = true;
    }
    remove_laptop(&mut bench);
    bench.pass(MINUTE);
    bench.lose_commits(0);
    // What Di has given to Ana before the laptop was there.
    let package: String = {
        let tx = bench.devices[0].store.begin().unwrap();
        let sql = "SELECT hex(package) FROM supply JOIN contact USING (account)
                   WHERE own_name = 'Di' AND mine = 0 AND last_resort = 1";
        tx.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let known = format!(
        "INSERT OR IGNORE INTO supply SELECT x'{package}', account, 0, 1, NULL, NULL, 0, NULL FROM contact
         WHERE own_name = 'Di'"
    );
    change(&mut bench, laptop, &known);
    bench.devices[laptop].listening.clear();
    let_all_edit(&mut bench, laptop);
    add(&mut bench, laptop, &[3]).unwrap();
    bench.reconnect(laptop);
    bench.reconnect(3);
    bench.pass(MINUTE);
    assert_eq!(names(&mut bench, 3).len(), 4, "Di sees a group with everybody");
    bench
}

#[test]
fn whom_a_removed_device_lets_in_changes_nothing_dev_6_grp_6() {
    let mut bench = let_in_by_a_removed_device();
    say(&mut bench, 3, "by Di").unwrap();
    let timer = TimerSet {
        chat: chat(&mut bench, 3),
        seconds: Some(3_600),
    };
    bench.ask(3, Command::TimerSet(timer)).unwrap();
    bench.pass(HOUR);
    for device in [1, 2] {
        assert_eq!(names(&mut bench, device), ["Ana", "Bo", "Cy"], "{device}");
        let shown = texts(&mut bench, device);
        assert!(shown.contains(&"! by Di".to_owned()), "{device}: {shown:?}");
        let timer = "SELECT count(*) FROM message WHERE kind = 6 AND late = 0";
        assert_eq!(number(&mut bench, device, timer), 0, "{device}");
    }
}
