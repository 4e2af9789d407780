use super::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rusqlite::Connection;

const SCHEMA: &str = include_str!("../store/001_first_light.sql");

/// One member's database and key.
struct Side {
    db: Connection,
    signer: Signer,
    groups: Groups,
    steps: u64,
}

impl Side {
    fn new(number: u8) -> Self {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        Self {
            db,
            signer: Signer::new([number; 32]),
            groups: Groups::default(),
            steps: number.into(),
        }
    }

    fn step<T>(&mut self, step: impl FnOnce(&Provider<'_>, &mut Groups, &Signer) -> T) -> T {
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
    let package = ana.step(|p, _, signer| key_package(p, signer, b"ana".to_vec()).unwrap());
    let (entered, welcome) = bo.step(|p, _, signer| found(p, signer, b"bo".to_vec(), &package).unwrap());
    let joined = ana.step(|p, _, _| join(p, &welcome).unwrap());
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
    let mut package = ana.step(|p, _, signer| key_package(p, signer, b"ana".to_vec()).unwrap());
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
    let package = ana.step(|p, _, signer| key_package(p, signer, b"ana".to_vec()).unwrap());
    let (_, welcome) = bo.step(|p, _, signer| found(p, signer, b"bo".to_vec(), &package).unwrap());
    ana.step(|p, _, _| forget_key_package(p, &package).unwrap());
    assert!(ana.step(|p, _, _| join(p, &welcome)).is_err());
    let left: u32 = ana
        .db
        .query_row("SELECT count(*) FROM loose_row", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
}

#[test]
fn a_commit_is_refused_and_changes_nothing_mls_5() {
    let (mut ana, mut bo, at) = pair();
    let commit = bo.step(|p, groups, signer| {
        let group = groups.at(p, at).unwrap();
        let bundle = group
            .self_update(p, &signer.pair(), openmls::prelude::LeafNodeParameters::default())
            .unwrap();
        bundle.into_commit().tls_serialize_detached().unwrap()
    });
    assert!(matches!(
        read(&mut ana, at, &commit),
        Read::Refused("commit or proposal")
    ));
    let late = text(&mut ana, at, b"still here");
    bo.groups.forget();
    assert!(matches!(read(&mut bo, at, &late), Read::Message { plain, .. } if plain == b"still here"));
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
