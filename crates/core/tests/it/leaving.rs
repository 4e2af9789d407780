//! A member says that it leaves, and has not signed it (GRP-7).

use crate::bench::Bench;
use crate::forks::change;
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

/// Whoever has another leaf now, or is out, leaves nobody waiting: what it has said with an old one stays, and hastens nothing.
#[test]
fn a_leave_by_a_leaf_that_the_head_has_not_hastens_nobody_grp_7() {
    for (is_old, commits) in [(true, 0), (false, 1)] {
        let mut bench = circle(3);
        create(&mut bench, &[1, CY]);
        bench.pass(HOUR);
        // The head's row lists four bytes of leaf, an account, and the beginning of its key, for each.
        let said = "INSERT INTO leaving SELECT v.group_id, s.account, zeroblob(64), substr(e.members, instr(e.members, s.account) + 32, 8)
                    FROM conversation v JOIN epoch e ON e.epoch_id = v.head JOIN seat s ON s.chat = v.chat
                    WHERE v.grouped = 1 AND s.account <> (SELECT account FROM account) AND s.role > 1;";
        let old = if is_old {
            "UPDATE leaving SET key = zeroblob(8);"
        } else {
            ""
        };
        // Others have just made a commit: a renewal that is due is put off (RNW-2), but for who leaves.
        let now = bench.devices[0].now;
        let due = format!("UPDATE conversation SET renew_at = 0, commit_at = {now} WHERE grouped = 1;");
        change(&mut bench, 0, &format!("{said} {old} {due}"));
        assert!(number(&mut bench, 0, "SELECT count(*) FROM leaving") > 0);
        let outputs = bench.devices[0].step(Input::Wake);
        bench.release(0, outputs);
        let made = "SELECT count(*) FROM epoch JOIN conversation USING (group_id) WHERE grouped = 1 AND class = 2";
        assert_eq!(number(&mut bench, 0, made), commits, "{is_old}");
    }
}
