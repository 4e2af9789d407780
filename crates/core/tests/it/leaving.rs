//! A member says that it leaves, and has not signed it (GRP-7).

use crate::bench::Bench;
use crate::groups::{chat, circle, create, number};
use rusqlite::params;
use stonechat_core::Input;
use stonechat_core::api::{ByChat, Command};

const HOUR: u64 = 3_600_000;
/// Who says it.
const CY: usize = 2;

/// What Cy has said last is put with another signature.
fn bend(bench: &mut Bench) {
    bench.devices[CY].held.clear();
    let tx = bench.devices[CY].store.begin().unwrap();
    let sql = "SELECT id, plain FROM outbox WHERE purpose = 0 AND plain IS NOT NULL
               AND group_id = (SELECT group_id FROM conversation WHERE grouped = 1)";
    let (row, mut plain): (i64, Vec<u8>) = tx.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let place = plain.len() - 40;
    plain[place] ^= 1;
    let again = "UPDATE outbox SET plain = ?, tries = 1, sealed_at = -9000000000000000 WHERE id = ?";
    tx.execute(again, params![plain, row]).unwrap();
    tx.commit().unwrap();
    bench.devices[CY].core.forget();
    let outputs = bench.devices[CY].step(Input::Wake);
    bench.release(CY, outputs);
    assert!(!bench.devices[CY].held.is_empty());
}

#[test]
pub(crate) fn a_leave_that_nobody_signed_makes_nobody_commit_grp_7() {
    let mut bench = circle(3);
    create(&mut bench, &[1, CY]);
    bench.pass(HOUR);
    bench.devices[CY].cut = true;
    let chat = chat(&mut bench, CY);
    bench.ask(CY, Command::GroupLeave(ByChat { chat })).unwrap();
    bend(&mut bench);
    bench.reconnect(CY);
    bench.pass(7 * HOUR);
    for device in [0, 1] {
        let commits = "SELECT count(*) FROM epoch JOIN conversation USING (group_id) WHERE grouped = 1
                       AND class = 2";
        assert_eq!(number(&mut bench, device, commits), 0, "{device}");
        assert_eq!(
            number(&mut bench, device, "SELECT count(*) FROM leaving"),
            0,
            "{device}"
        );
    }
}
