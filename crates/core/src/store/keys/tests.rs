use proptest::prelude::*;

use super::*;

const WORDS: &str = "correct horse";

fn dice() -> Dice {
    Dice::seeded([7; 32])
}

fn home() -> (tempfile::TempDir, KeyFile) {
    let home = tempfile::tempdir().unwrap();
    let file = KeyFile::at(home.path());
    (home, file)
}

fn same(a: &StoreKey, b: &StoreKey) -> bool {
    *a.0 == *b.0
}

#[test]
fn fresh_key_opens_again_and_only_its_owner_may_read_it_sto_1() {
    let (home, file) = home();
    assert_eq!(file.open(None).unwrap_err(), KeyError::Missing);
    let key = file.create(None, &mut dice()).unwrap();
    assert!(same(&key, &file.open(None).unwrap()));
    assert!(!file.is_passphrase().unwrap());
    assert_eq!(file.create(None, &mut dice()).unwrap_err(), KeyError::Exists);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(home.path().join(KEY_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(
        std::fs::read_dir(home.path()).unwrap().count(),
        1,
        "no half-written file is left"
    );
}

#[test]
fn passphrase_is_asked_for_and_checked_sto_2() {
    let (home, file) = home();
    let key = file.create(Some((WORDS, Cost::TRIVIAL)), &mut dice()).unwrap();
    assert!(file.is_passphrase().unwrap());
    assert_eq!(file.open(None).unwrap_err(), KeyError::NeedsPassphrase);
    assert_eq!(file.open(Some("correct house")).unwrap_err(), KeyError::WrongPassphrase);
    assert!(same(&key, &file.open(Some(WORDS)).unwrap()));
    let bytes = std::fs::read(home.path().join(KEY_FILE)).unwrap();
    assert!(
        !bytes.windows(8).any(|window| window == &key.0[..8]),
        "the key itself is not in the file"
    );
}

#[test]
fn passphrase_can_be_set_changed_and_removed_without_a_new_key_sto_2() {
    let (_home, file) = home();
    let key = file.create(None, &mut dice()).unwrap();
    file.set_passphrase(None, WORDS, Cost::TRIVIAL, &mut dice()).unwrap();
    let wrong = file.set_passphrase(Some("no"), "other", Cost::TRIVIAL, &mut dice());
    assert_eq!(wrong.unwrap_err(), KeyError::WrongPassphrase);
    file.set_passphrase(Some(WORDS), "other", Cost::TRIVIAL, &mut dice())
        .unwrap();
    assert_eq!(file.open(Some(WORDS)).unwrap_err(), KeyError::WrongPassphrase);
    assert_eq!(
        file.remove_passphrase(WORDS, &mut dice()).unwrap_err(),
        KeyError::WrongPassphrase
    );
    file.remove_passphrase("other", &mut dice()).unwrap();
    assert!(same(&key, &file.open(None).unwrap()));
}

#[test]
fn a_home_s_cost_is_64_mib_and_three_passes_sto_2() {
    assert_eq!(
        Cost::HOME,
        Cost {
            memory_kib: 65_536,
            passes: 3,
            lanes: 1
        }
    );
    let (_home, file) = home();
    let key = file.create(Some((WORDS, Cost::HOME)), &mut dice()).unwrap();
    assert!(same(&key, &file.open(Some(WORDS)).unwrap()));
}

#[test]
fn wrapping_the_key_overwrites_the_raw_one_on_the_disk_sto_2() {
    let (home, file) = home();
    file.create(None, &mut dice()).unwrap();
    let second_name = home.path().join("link");
    std::fs::hard_link(home.path().join(KEY_FILE), &second_name).unwrap();
    file.set_passphrase(None, WORDS, Cost::TRIVIAL, &mut dice()).unwrap();
    assert!(std::fs::read(second_name).unwrap().iter().all(|byte| *byte == 0));
}

#[test]
fn destroyed_key_is_zeros_before_it_is_gone_sto_7() {
    let (home, file) = home();
    file.create(None, &mut dice()).unwrap();
    let second_name = home.path().join("link");
    std::fs::hard_link(home.path().join(KEY_FILE), &second_name).unwrap();
    file.destroy().unwrap();
    assert_eq!(file.open(None).unwrap_err(), KeyError::Missing);
    assert!(std::fs::read(second_name).unwrap().iter().all(|byte| *byte == 0));
    file.destroy().unwrap();
}

#[test]
fn any_damaged_byte_is_noticed_before_the_passphrase_is_blamed_sto_2() {
    let (home, file) = home();
    file.create(Some((WORDS, Cost::TRIVIAL)), &mut dice()).unwrap();
    let path = home.path().join(KEY_FILE);
    let good = std::fs::read(&path).unwrap();
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        assert_eq!(file.open(Some(WORDS)).unwrap_err(), KeyError::Damaged, "byte {place}");
        std::fs::write(&path, &good[..place]).unwrap();
        assert_eq!(file.open(Some(WORDS)).unwrap_err(), KeyError::Damaged, "cut at {place}");
    }
    std::fs::write(&path, vec![0; 4096]).unwrap();
    assert_eq!(file.is_passphrase().unwrap_err(), KeyError::Damaged);
}

#[test]
fn a_planted_file_cannot_ask_for_all_memory_sto_2() {
    let cost = Cost {
        memory_kib: u32::MAX,
        passes: 1,
        lanes: 1,
    };
    let planted = Kept::Wrapped(Wrapped {
        cost,
        salt: [0; 16],
        nonce: [0; 12],
        sealed: [0; 48],
    });
    assert!(Kept::decode(&planted.encode()).is_none());
}

#[test]
fn keys_do_not_print_sto_1() {
    assert_eq!(format!("{:?}", StoreKey::from_bytes([65; 32])), "StoreKey(..)");
}

proptest! {
    #[test]
    fn no_bytes_make_the_key_file_panic_sto_2(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Kept::decode(&bytes).is_none());
    }
}
