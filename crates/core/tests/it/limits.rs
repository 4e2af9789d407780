//! Limits that nobody reaches by accident: one too many is refused, and nothing is changed.

use crate::bench::Bench;
use crate::forks::{change, number};
use crate::groups::{circle, create};
use stonechat_core::api::{Command, Fault, GroupCreate, Reply};
use stonechat_wire::apart::Apart;
use stonechat_wire::ids::Tag;

/// People whom Ana knows, of whom no key package is here.
fn many_contacts(bench: &mut Bench, count: usize) -> Vec<String> {
    let tx = bench.devices[0].store.begin().unwrap();
    tx.execute_batch(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO contact(account, own_name, ed25519, mldsa_hash, device_log, added_at)
         SELECT randomblob(32), 'somebody', c.ed25519, c.mldsa_hash, c.device_log, 0 FROM n, (SELECT * FROM contact LIMIT 1) c"
    ))
    .unwrap();
    let sql = "SELECT lower(hex(account)) FROM contact WHERE own_name = 'somebody'";
    let ids = tx
        .prepare(sql)
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    tx.commit().unwrap();
    bench.devices[0].core.forget();
    ids
}

fn with(bench: &mut Bench, members: &[String], large: bool) -> Result<Reply, Fault> {
    let wish = GroupCreate {
        name: "house".into(),
        members: members.to_vec(),
        large,
    };
    let outputs = bench.devices[0].step(stonechat_core::Input::Command(Command::GroupCreate(wish)));
    outputs.reply.unwrap()
}

#[test]
fn the_257th_is_refused_and_in_a_large_group_the_1025th_grp_17() {
    let mut bench = Bench::friends();
    let people = many_contacts(&mut bench, 1_024);
    for (large, most) in [(false, 256), (true, 1_024)] {
        // With Ana one too many: nobody is added, and no group is there.
        assert_eq!(with(&mut bench, &people[..most], large).unwrap_err(), Fault::GroupFull);
        // As many as may be are stopped by nothing but that their keys are not here.
        assert_eq!(
            with(&mut bench, &people[..most - 1], large).unwrap_err(),
            Fault::NoKeysYet
        );
    }
    assert_eq!(
        number(&mut bench, 0, "SELECT count(*) FROM conversation WHERE grouped = 1"),
        0
    );
}

/// So many that the tree of all does not fit beside a Welcome.
const MANY: usize = 18;

/// Where the common parts of Ana's Welcomes lie.
fn put_apart(bench: &mut Bench) -> Vec<Tag> {
    let tx = bench.devices[0].store.begin().unwrap();
    let mut rows = tx.prepare("SELECT secret, content FROM apart").unwrap();
    let parts = rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)));
    parts
        .unwrap()
        .map(|part| {
            part.map(|(secret, content)| Apart::of(secret, &content).token().tag())
                .unwrap()
        })
        .collect()
}

#[test]
fn four_invitations_of_a_contact_wait_and_64_in_all_grp_16() {
    let mut bench = circle(MANY);
    for device in 1..MANY {
        bench.devices[device].cut = true;
    }
    let everybody: Vec<usize> = (1..MANY).collect();
    for _ in 0..5 {
        create(&mut bench, &everybody);
    }
    for tag in put_apart(&mut bench) {
        bench.relay.boxes.remove(&tag);
    }
    let later = bench.devices[1].now + 3_600_000;
    let others = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 62)
         INSERT INTO awaited(tag, hash, account, group_id, body, ask_at)
         SELECT randomblob(16), randomblob(32), randomblob(32), group_id, x'', {later} FROM n, conversation"
    );
    change(&mut bench, 1, &others);
    bench.reconnect(1);
    bench.pass(6_000);
    let of_ana = "SELECT count(*) FROM awaited WHERE body <> x''";
    assert_eq!(number(&mut bench, 1, of_ana), 4);
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM awaited"), 64);
    // The oldest went.
    assert_eq!(number(&mut bench, 1, "SELECT min(rowid) FROM awaited"), 3);
    assert_eq!(
        number(&mut bench, 1, "SELECT count(*) FROM listening WHERE purpose = 7"),
        4
    );
}
