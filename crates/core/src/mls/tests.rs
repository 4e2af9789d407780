use super::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rusqlite::Connection;

const SCHEMA: &str = include_str!("../store/001_first_light.sql");

/// One member's database and key.
pub(super) struct Side {
    db: Connection,
    signer: Signer,
    groups: Groups,
    steps: u64,
}

impl Side {
    pub(super) fn new(number: u8) -> Self {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        Self {
            db,
            signer: Signer::new([number; 32]),
            groups: Groups::default(),
            steps: number.into(),
        }
    }

    pub(super) fn step<T>(&mut self, step: impl FnOnce(&Provider<'_>, &mut Groups, &Signer) -> T) -> T {
        self.steps += 10;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.steps.to_be_bytes());
        let tx = self.db.transaction().unwrap();
        let crypto = Crypto::new(ChaCha20Rng::from_seed(seed));
        let out = step(
            &Provider {
                crypto,
                rows: Rows::of(&tx),
            },
            &mut self.groups,
            &self.signer,
        );
        tx.commit().unwrap();
        out
    }
}

/// Two in a group, and where it stands.
fn pair() -> (Side, Side, (Gid, EpochId)) {
    let (mut ana, mut bo) = (Side::new(1), Side::new(2));
    let package = ana.step(|p, _, signer| key_package(p, signer, [b'a'; 32].to_vec()).unwrap());
    let (entered, welcome) = bo.step(|p, _, signer| found(p, signer, [b'b'; 32].to_vec(), &package).unwrap());
    let joined = ana.step(|p, _, _| join(p, &welcome, Known::Never).unwrap());
    assert_eq!((entered.group, entered.epoch), (joined.group, joined.epoch));
    (ana, bo, (entered.group, entered.epoch))
}

fn text(side: &mut Side, at: (Gid, EpochId), text: &[u8]) -> Vec<u8> {
    side.step(|p, groups, signer| groups.write(p, at, signer, text).unwrap())
}

fn read(side: &mut Side, at: (Gid, EpochId), bytes: &[u8]) -> Read {
    side.step(|p, groups, _| groups.read(p, at, bytes).unwrap())
}

#[test]
fn a_key_package_of_another_suite_is_refused_mls_2() {
    let mut ana = Side::new(1);
    let mut package = ana.step(|p, _, signer| key_package(p, signer, [b'a'; 32].to_vec()).unwrap());
    assert!(ana.step(|p, _, _| leaf_of(p, &package)).is_ok());
    package[2..4].copy_from_slice(&[0, 3]);
    assert!(ana.step(|p, _, _| leaf_of(p, &package)).is_err());
    assert!(
        ana.step(|p, _, signer| found(p, signer, b"x".to_vec(), &package))
            .is_err()
    );
}

#[test]
fn a_closed_key_package_opens_no_welcome_any_more() {
    let (mut ana, mut bo) = (Side::new(1), Side::new(2));
    let package = ana.step(|p, _, signer| key_package(p, signer, [b'a'; 32].to_vec()).unwrap());
    let (_, welcome) = bo.step(|p, _, signer| found(p, signer, [b'b'; 32].to_vec(), &package).unwrap());
    ana.step(|p, _, _| forget_key_package(p, &package).unwrap());
    assert!(ana.step(|p, _, _| join(p, &welcome, Known::Never)).is_err());
    let left: u32 = ana
        .db
        .query_row("SELECT count(*) FROM loose_row", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
}

/// A renewal by this side, and the epoch it makes.
fn renew(side: &mut Side, at: (Gid, EpochId)) -> Made {
    side.step(|p, groups, signer| groups.commit(p, at, signer, &Wish::default()).unwrap())
}

fn take(side: &mut Side, at: (Gid, EpochId), commit: &[u8]) -> CommitRead {
    side.step(|p, groups, _| groups.take_commit(p, at, commit).unwrap())
}

fn taken(read: &CommitRead) -> EpochId {
    match read {
        CommitRead::Taken(taken) => taken.child,
        other => panic!("{other:?}"),
    }
}

/// The rows of one epoch object.
fn object(side: &Side, epoch: EpochId) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = side
        .db
        .prepare("SELECT key, value FROM epoch_row WHERE object = ? ORDER BY key")
        .unwrap();
    rows.query_map([epoch.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// The pieces of all trees, by their numbers.
fn pieces(side: &Side) -> Vec<(u32, Vec<u8>, Vec<u8>)> {
    let mut rows = side
        .db
        .prepare("SELECT id, group_id, bytes FROM tree_piece ORDER BY id")
        .unwrap();
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// Somebody with the victim's signature key, these rows of one epoch and the pieces of all trees, and nothing else.
fn thief(victim: &Side, (group, epoch): (Gid, EpochId), rows: &[(Vec<u8>, Vec<u8>)]) -> Side {
    let mut thief = Side::new(66);
    thief.signer = Signer::new(*victim.signer.seed());
    for (key, value) in rows {
        thief
            .db
            .execute(
                "INSERT INTO epoch_row VALUES (?, ?, ?, ?)",
                rusqlite::params![group, epoch.as_bytes(), key, value],
            )
            .unwrap();
    }
    for (id, group, bytes) in pieces(victim) {
        let hash = Sha256::digest(&bytes).to_vec();
        thief
            .db
            .execute(
                "INSERT INTO tree_piece VALUES (?, ?, ?, ?)",
                rusqlite::params![id, group, hash, bytes],
            )
            .unwrap();
    }
    thief
}

#[test]
fn a_commit_makes_a_child_and_leaves_the_parent_readable_mls_8() {
    let (mut ana, mut bo, at) = pair();
    let late = text(&mut bo, at, b"late");
    let made = renew(&mut bo, at);
    let child = (at.0, taken(&take(&mut ana, at, &made.commit)));
    assert_eq!(child.1, made.child);
    let there = text(&mut bo, child, b"there");
    assert!(matches!(read(&mut ana, child, &there), Read::Message { plain, .. } if plain == b"there"));
    assert!(matches!(read(&mut ana, at, &late), Read::Message { plain, .. } if plain == b"late"));
    assert!(matches!(read(&mut ana, at, &late), Read::Again));
    assert!(matches!(take(&mut ana, at, &made.commit), CommitRead::Refused(_)));
    assert!(matches!(take(&mut bo, at, &made.commit), CommitRead::Own));
}

#[test]
fn rivals_on_one_parent_both_open_and_each_branch_reads_its_own_mls_8() {
    let (mut ana, mut bo, at) = pair();
    let (by_ana, by_bo) = (renew(&mut ana, at), renew(&mut bo, at));
    let (to_ana, to_bo) = (
        (at.0, taken(&take(&mut ana, at, &by_bo.commit))),
        (at.0, taken(&take(&mut bo, at, &by_ana.commit))),
    );
    assert_eq!((to_ana.1, to_bo.1), (by_bo.child, by_ana.child));
    for child in [to_ana, to_bo] {
        let said = text(&mut ana, child, b"on this branch");
        assert!(matches!(read(&mut bo, child, &said), Read::Message { plain, .. } if plain == b"on this branch"));
    }
}

#[test]
fn a_stolen_parent_opens_nothing_of_its_child_mls_8() {
    let (mut ana, mut bo, at) = pair();
    let too_early = object(&ana, at.1);
    let made = renew(&mut bo, at);
    let child = (at.0, taken(&take(&mut ana, at, &made.commit)));
    let said = text(&mut bo, child, b"after the renewal");
    let kept = object(&ana, at.1);
    let mut thief_of_kept = thief(&ana, at, &kept);
    assert!(matches!(
        take(&mut thief_of_kept, at, &made.commit),
        CommitRead::Refused(_)
    ));
    // A late message and a late rival of the parent it does open: that is what the parent is kept for.
    let late = text(&mut bo, at, b"late");
    assert!(matches!(read(&mut thief_of_kept, at, &late), Read::Message { .. }));
    // The control: a copy taken before the commit was processed opens it, and the child with it.
    let mut early = thief(&ana, at, &too_early);
    assert_eq!(taken(&take(&mut early, at, &made.commit)), made.child);
    assert!(matches!(read(&mut early, child, &said), Read::Message { plain, .. } if plain == b"after the renewal"));
}

#[test]
fn the_committers_own_parent_holds_nothing_of_the_child_mls_9() {
    let (_ana, mut bo, at) = pair();
    let made = renew(&mut bo, at);
    let mut thief = thief(&bo, at, &object(&bo, at.1));
    assert!(matches!(take(&mut thief, at, &made.commit), CommitRead::Own));
    assert!(!has_staged(&mut thief, at));
    // The control: the parent as OpenMLS leaves it when a commit is staged hands its thief the child.
    let (_ana, mut bo, at) = pair();
    bo.step(|p, groups, signer| {
        let group = groups.at(p, at).unwrap();
        group
            .self_update(p, &signer.pair(), openmls::prelude::LeafNodeParameters::default())
            .unwrap();
    });
    let mut thief = self::thief(&bo, at, &object(&bo, at.1));
    assert!(has_staged(&mut thief, at));
}

fn has_staged(side: &mut Side, at: (Gid, EpochId)) -> bool {
    side.step(|p, groups, _| groups.at(p, at).unwrap().pending_commit().is_some())
}

#[test]
fn a_step_that_is_rolled_back_leaves_every_row_and_the_commit_usable_mls_8() {
    let (mut ana, mut bo, at) = pair();
    let made = renew(&mut bo, at);
    let before = object(&ana, at.1);
    {
        let tx = ana.db.transaction().unwrap();
        let p = Provider {
            crypto: Crypto::new(ChaCha20Rng::from_seed([8; 32])),
            rows: Rows::of(&tx),
        };
        assert_eq!(
            taken(&ana.groups.take_commit(&p, at, &made.commit).unwrap()),
            made.child
        );
        drop(p);
        tx.rollback().unwrap();
    }
    ana.groups.forget();
    assert_eq!(object(&ana, at.1), before);
    assert_eq!(object(&ana, made.child), []);
    assert_eq!(taken(&take(&mut ana, at, &made.commit)), made.child);
}

#[test]
fn a_commit_among_messages_and_another_signature_key_are_refused_mls_5() {
    let (mut ana, mut bo, at) = pair();
    let made = renew(&mut bo, at);
    assert!(matches!(read(&mut ana, at, &made.commit), Read::Refused(_)));
    ana.groups.forget();
    let (mut ana, mut bo, at) = pair();
    let other = Signer::new([77; 32]);
    let commit = bo.step(|p, groups, signer| {
        let group = groups.at(p, at).unwrap();
        let (own, new) = (signer.pair(), other.pair());
        let new_signer = openmls::prelude::NewSignerBundle {
            signer: &new,
            credential_with_key: other.credential([b'b'; 32].to_vec()),
        };
        let bundle = group
            .self_update_with_new_signer(p, &own, new_signer, openmls::prelude::LeafNodeParameters::default())
            .unwrap();
        bundle.into_commit().tls_serialize_detached().unwrap()
    });
    assert!(matches!(
        take(&mut ana, at, &commit),
        CommitRead::Refused("another leaf")
    ));
}

#[test]
fn the_window_reaches_512_back_and_4096_ahead_mls_6() {
    let (mut ana, mut bo, at) = pair();
    let sent: Vec<Vec<u8>> = (0..4200u32).map(|n| text(&mut bo, at, &n.to_be_bytes())).collect();
    assert!(matches!(read(&mut ana, at, &sent[4199]), Read::Ahead));
    assert!(matches!(read(&mut ana, at, &sent[600]), Read::Message { .. }));
    assert!(matches!(read(&mut ana, at, &sent[600]), Read::Again));
    assert!(matches!(read(&mut ana, at, &sent[100]), Read::Message { .. }));
    assert!(matches!(read(&mut ana, at, &sent[50]), Read::Again));
    assert!(matches!(read(&mut ana, at, &sent[4199]), Read::Message { .. }));
    assert!(matches!(read(&mut bo, at, &sent[0]), Read::Own));
}

#[test]
fn junk_is_refused_and_leaves_every_row_as_it_was() {
    let (mut ana, mut bo, at) = pair();
    let good = text(&mut bo, at, b"good");
    let dump = |side: &Side| -> Vec<Vec<u8>> {
        let mut rows = side.db.prepare("SELECT value FROM epoch_row ORDER BY key").unwrap();
        rows.query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    let before = dump(&ana);
    for place in (0..good.len()).step_by(7) {
        let mut bent = good.clone();
        bent[place] ^= 0x41;
        assert!(matches!(
            read(&mut ana, at, &bent),
            Read::Refused(_) | Read::Ahead | Read::Own | Read::Again
        ));
    }
    assert_eq!(dump(&ana), before);
    assert!(matches!(read(&mut ana, at, &good), Read::Message { .. }));
}

#[test]
fn secrets_do_not_print() {
    assert_eq!(format!("{:?}", Signer::new([3; 32])), "Signer");
    assert_eq!(format!("{:?}", Crypto::new(ChaCha20Rng::from_seed([1; 32]))), "Crypto");
}

#[test]
fn key_packages_say_that_they_never_expire_mls_3() {
    let mut ana = Side::new(1);
    let identity = [b'a'; 32].to_vec();
    for make in [key_package, fresh_key_package] {
        let (from, to) = ana.step(|p, _, signer| {
            let package = make(p, signer, identity.clone()).unwrap();
            let lifetime = *decode_key_package(p, &package).unwrap().life_time();
            (lifetime.not_before(), lifetime.not_after())
        });
        assert_eq!((from, to), (0, u64::MAX));
    }
}

#[test]
fn a_committers_parent_that_is_not_cleared_gives_the_child_away_mls_9() {
    use crate::defence::{Defence, without};
    let attack = the_committers_own_parent_holds_nothing_of_the_child_mls_9;
    assert!(std::panic::catch_unwind(|| without(Defence::StagedCleared, attack)).is_err());
}

#[test]
fn each_newcomer_gets_a_welcome_with_its_own_secrets_only_grp_9() {
    let mut ana = Side::new(1);
    let mut others = [Side::new(2), Side::new(3), Side::new(4)];
    let packages: Vec<Vec<u8>> = others
        .iter_mut()
        .map(|side| side.step(|p, _, signer| fresh_key_package(p, signer, vec![7; 104]).unwrap()))
        .collect();
    let of = ana.step(|p, _, signer| found_group(p, signer, vec![7; 104], b"state").unwrap());
    let at = (of.group, of.epoch);
    let made = ana.step(|p, groups, signer| {
        let wish = Wish {
            add: &packages,
            ..Wish::default()
        };
        groups.commit(p, at, signer, &wish).unwrap()
    });
    let all = made.welcome.unwrap();
    for (side, package) in others.iter_mut().zip(&packages) {
        let own = ana.step(|p, _, _| welcome_for(p, &all, package).unwrap());
        assert!(own.len() + 2 * 1_100 < all.len(), "{} of {}", own.len(), all.len());
        let entered = side.step(|p, _, _| join(p, &own, Known::Never).unwrap());
        assert_eq!(entered.epoch, made.child);
    }
    let to_the_first = ana.step(|p, _, _| welcome_for(p, &all, &packages[0]).unwrap());
    assert!(others[1].step(|p, _, _| join(p, &to_the_first, Known::Never)).is_err());
}

/// A group of so many, of whom two are awake, after the first has added all others.
fn crowd(count: u16) -> (Side, Side, (Gid, EpochId)) {
    let (mut ana, mut bo) = (Side::new(1), Side::new(2));
    let mut packages = vec![bo.step(|p, _, signer| fresh_key_package(p, signer, vec![7; 309]).unwrap())];
    for number in 2..count {
        let mut asleep = Side::new(3);
        asleep.steps = u64::from(number) * 100;
        let mut seed = [9; 32];
        seed[..2].copy_from_slice(&number.to_be_bytes());
        asleep.signer = Signer::new(seed);
        packages.push(asleep.step(|p, _, signer| fresh_key_package(p, signer, vec![7; 309]).unwrap()));
    }
    let of = ana.step(|p, _, signer| found_group(p, signer, vec![7; 309], b"state").unwrap());
    let made = ana.step(|p, groups, signer| {
        let wish = Wish {
            add: &packages,
            ..Wish::default()
        };
        groups.commit(p, (of.group, of.epoch), signer, &wish).unwrap()
    });
    let all = made.welcome.unwrap();
    let own = ana.step(|p, _, _| welcome_for(p, &all, &packages[0]).unwrap());
    bo.step(|p, _, _| join(p, &own, Known::Never).unwrap());
    close(&mut ana, of.group, of.epoch);
    (ana, bo, (of.group, made.child))
}

/// Both renew in turn, so many times. Out: all epochs since.
fn renewals(ana: &mut Side, bo: &mut Side, from: (Gid, EpochId), count: usize) -> Vec<EpochId> {
    let mut epochs = vec![from.1];
    for turn in 0..count {
        let (one, other) = if turn % 2 == 0 {
            (&mut *ana, &mut *bo)
        } else {
            (&mut *bo, &mut *ana)
        };
        let at = (from.0, epochs[turn]);
        let made = renew(one, at);
        assert_eq!(taken(&take(other, at, &made.commit)), made.child);
        epochs.push(made.child);
    }
    epochs
}

fn close(side: &mut Side, group: Gid, epoch: EpochId) {
    side.step(|p, groups, _| {
        groups.forget();
        p.rows.close(&group, epoch).unwrap();
    });
}

/// A row that keeps its length is written over where it lies, and only the pages that differ.
#[test]
fn a_message_seldom_changes_how_long_the_message_secrets_are_mls_10() {
    let (mut ana, mut bo, at) = pair();
    let mut lengths = std::collections::BTreeSet::new();
    for n in 0..100u8 {
        let said = text(&mut bo, at, &[n]);
        assert!(matches!(read(&mut ana, at, &said), Read::Message { .. }));
        let rows = object(&ana, at.1);
        let (_, secrets) = rows.iter().find(|(key, _)| key == &[9]).unwrap();
        lengths.insert(secrets.len());
    }
    assert!(lengths.len() <= 3, "{lengths:?}");
    assert!(lengths.iter().all(|length| length % 128 == 0), "{lengths:?}");
}

/// What lies in the database for groups, in bytes.
fn kept_bytes(side: &Side) -> usize {
    let sql = "SELECT (SELECT coalesce(sum(length(key) + length(value)), 0) FROM epoch_row)
                    + (SELECT coalesce(sum(length(bytes) + 36), 0) FROM tree_piece)";
    let bytes: i64 = side.db.query_row(sql, [], |row| row.get(0)).unwrap();
    usize::try_from(bytes).unwrap()
}

/// What 32 renewals leave behind, at the sizes that `STONECHAT_EPOCHS` names: `11,101,256`.
#[test]
fn an_epoch_costs_what_it_changes_mls_11() {
    let sizes = std::env::var("STONECHAT_EPOCHS").unwrap_or_else(|_| "40".to_owned());
    for count in sizes.split(',').map(|size| size.parse().unwrap()) {
        let (mut ana, mut bo, at) = crowd(count);
        let first = kept_bytes(&bo);
        renewals(&mut ana, &mut bo, at, 32);
        let each = (kept_bytes(&bo) - first) / 32;
        println!("{count} members: the first epoch {first} bytes, each of 32 more {each}");
        assert!(count < 40 || each * 3 < first, "{each} of {first}");
    }
}

#[test]
fn whichever_epoch_is_closed_all_others_read_and_write_on_mls_11() {
    let (mut ana, mut bo, at) = crowd(12);
    let mut open = renewals(&mut ana, &mut bo, at, 8);
    for place in [4, 0, 6, 1, 3, 2] {
        let closed = open.remove(place.min(open.len() - 1));
        close(&mut bo, at.0, closed);
        assert_eq!(object(&bo, closed), []);
        for epoch in &open {
            let said = text(&mut ana, (at.0, *epoch), b"still here");
            assert!(matches!(read(&mut bo, (at.0, *epoch), &said), Read::Message { .. }));
        }
    }
    // No piece stays that no epoch names.
    let mut named: Vec<u32> = vec![];
    for epoch in &open {
        let rows = object(&bo, *epoch);
        let (_, names) = rows.iter().find(|(key, _)| key == &[4]).unwrap();
        named.extend(names.as_chunks().0.iter().map(|id| u32::from_be_bytes(*id)));
    }
    named.sort_unstable();
    named.dedup();
    assert_eq!(pieces(&bo).into_iter().map(|(id, ..)| id).collect::<Vec<_>>(), named);
    for epoch in open {
        close(&mut bo, at.0, epoch);
    }
    assert_eq!(kept_bytes(&bo), 0);
}

#[test]
fn what_epochs_share_every_member_has_and_no_secret_outlives_its_epoch_mls_11() {
    let (mut ana, mut bo, at) = crowd(12);
    let epochs = renewals(&mut ana, &mut bo, at, 6);
    close(&mut ana, at.0, epochs[0]);
    close(&mut bo, at.0, epochs[0]);
    // Two members have the same pieces: none holds what only one of them knows.
    let public = |side: &Side| -> std::collections::BTreeSet<Vec<u8>> {
        pieces(side).into_iter().map(|(_, _, bytes)| bytes).collect()
    };
    assert!(public(&ana).len() > 20);
    assert_eq!(public(&ana), public(&bo));
    // The secrets of an epoch are nowhere when it is closed.
    let rows = object(&bo, epochs[3]).into_iter();
    let of_one = rows.filter(|(key, _)| matches!(key[0], 9 | 12));
    let secrets: Vec<Vec<u8>> = of_one.flat_map(|(_, row)| strings_of_32(&row)).collect();
    assert!(secrets.len() > 8, "{}", secrets.len());
    let holds = |side: &Side| {
        let rest = everything(side);
        let held = secrets
            .iter()
            .filter(|secret| rest.windows(32).any(|here| here == *secret));
        held.count()
    };
    assert_eq!(holds(&bo), secrets.len(), "the search finds what is there");
    close(&mut bo, at.0, epochs[3]);
    assert_eq!(holds(&bo), 0);
}

/// The byte strings of 32 in a packed row: what a secret is.
fn strings_of_32(row: &[u8]) -> Vec<Vec<u8>> {
    let heads = row.windows(35).filter(|part| part[..3] == [0xc6, 0x58, 32]);
    heads.map(|part| part[3..].to_vec()).collect()
}

/// All values that lie there for groups, one after the other.
fn everything(side: &Side) -> Vec<u8> {
    let sql =
        "SELECT value FROM epoch_row UNION ALL SELECT bytes FROM tree_piece UNION ALL SELECT value FROM loose_row";
    let mut rows = side.db.prepare(sql).unwrap();
    let values = rows.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    values.flat_map(Result::unwrap).collect()
}
