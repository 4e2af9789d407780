//! Dead drops: two transports and a real web server, that of a stranger, between them.

use std::collections::BTreeSet;

use stonechat_transport::carrier::drop;
use stonechat_wire::drop::{self as drops, DropKey, Kept, Object, ObjectName, SIZES, drop_id};

use super::webdav::{Dav, Kind, PASSWORD};
use super::*;

const KINDS: [Kind; 2] = [Kind::Nginx, Kind::Apache];
const SECRET: [u8; 16] = [0x5a; 16];

fn route(dav: &Dav) -> RelayRoute {
    RelayRoute {
        address: dav.url(),
        relay: drop_id(&SECRET),
        secret: Some(SECRET),
        lan: false,
    }
}

#[tokio::test]
async fn an_envelope_lies_in_a_drop_until_somebody_looks_drp_9() {
    for kind in KINDS {
        let dav = Dav::start(kind);
        let (mut ana, mut bo) = (Client::new(&route(&dav)).await, Client::new(&route(&dav)).await);
        bo.listen(&[(token(1).tag(), 0)]).await;
        let mut sent = Vec::new();
        for n in 0..5 {
            sent.push(ana.put(1, &format!("message {n}")).await);
        }
        ana.until_stored(&sent).await;
        let arrived = bo.until_arrived(&sent).await;
        assert_eq!(arrived.len(), 5, "{kind:?}: one copy of each");
        let cursors: Vec<_> = arrived.iter().map(|arrival| arrival.cursor).collect();
        assert!(cursors.is_sorted_by(|a, b| a < b), "{cursors:?}");

        // Somebody who comes later reads it too.
        let mut late = Client::new(&route(&dav)).await;
        late.listen(&[(token(1).tag(), 7)]).await;
        let again = late.until_arrived(&sent).await;
        assert!(again.len() == 5 && again.iter().all(|arrival| arrival.cursor > 7));
    }
}

#[tokio::test]
async fn a_server_sees_random_names_few_sizes_and_nothing_else_drp_4() {
    let dav = Dav::start(Kind::Nginx);
    let mut ana = Client::new(&route(&dav)).await;
    let mut sent = Vec::new();
    for n in 0..30 {
        sent.push(ana.put(n, &"word ".repeat(usize::from(n) * 100)).await);
    }
    ana.until_stored(&sent).await;
    let secret = InviteSecret::from_bytes([6; 20]);
    ana.open_door(&secret, card(5)).await;
    let mut seen = BTreeSet::new();
    for file in dav.files() {
        let bytes = std::fs::read(&file).unwrap();
        assert!(SIZES.contains(&bytes.len()), "{file:?}: {}", bytes.len());
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.len() == 32 && seen.insert(name), "{file:?}");
        for n in 0..30 {
            let tag = token(n).tag();
            assert!(!bytes.windows(16).any(|window| window == tag.as_bytes()));
        }
    }
    assert!(seen.len() >= 2);
}

#[tokio::test]
async fn a_card_lies_in_a_drop_until_it_is_taken_away_drp_7() {
    for kind in KINDS {
        let dav = Dav::start(kind);
        let mut ana = Client::new(&route(&dav)).await;
        let secret = InviteSecret::from_bytes([6; 20]);
        let ask = |proof| {
            let (url, path) = (dav.url(), secret.path());
            async move { drop::knock(&url, path, proof, &Trust::system()).await }
        };
        assert!(matches!(ask(secret.proof()).await, Err(KnockFailure::NotFound)));
        ana.open_door(&secret, card(5)).await;
        ana.open_door(&secret, card(6)).await;
        assert_eq!(ask(secret.proof()).await.unwrap(), card(6), "the last one");
        assert!(matches!(ask([9; 16]).await, Err(KnockFailure::NoCard)));
        let errand = Errand::CloseDoor {
            relay: ana.relay(),
            path: secret.path(),
        };
        ana.handle.send(errand).await.unwrap();
        let gone = async {
            while !matches!(ask(secret.proof()).await, Err(KnockFailure::NotFound)) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("taken away");
    }
}

#[tokio::test]
async fn a_server_that_is_killed_midway_loses_nothing_that_was_called_stored_drp_6() {
    for kind in KINDS {
        let mut dav = Dav::start(kind);
        let (mut ana, mut bo) = (Client::new(&route(&dav)).await, Client::new(&route(&dav)).await);
        bo.listen(&[(token(1).tag(), 0)]).await;
        let mut sent = Vec::new();
        for n in 0..60 {
            sent.push(ana.put(1, &"a longer message ".repeat(n)).await);
            if n % 20 == 10 {
                tokio::time::sleep(Duration::from_millis(30)).await;
                dav.restart();
            }
        }
        ana.until_stored(&sent).await;
        bo.until_arrived(&sent).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_tried_seldom_and_stands_in_no_error() {
    let dav = Dav::start(Kind::Apache);
    let mut wrong = route(&dav);
    wrong.address = wrong.address.replace(PASSWORD, "another");
    let client = Client::without_relay();
    client.handle.send(Errand::UseRelay(wrong, None)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let errors = std::fs::read_to_string(dav.root().parent().unwrap().with_file_name("errors")).unwrap();
    let tries = errors.matches("Password Mismatch").count();
    assert_eq!(tries, 1, "{errors}");
    let (url, path) = (dav.url().replace(PASSWORD, "another"), DoorPath::from_bytes([1; 12]));
    let error = drop::knock(&url, path, [0; 16], &Trust::system()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("another"), "{error:?}");
    assert!(
        matches!(error, KnockFailure::Unreachable(_)),
        "a door that is there is not called spent: {error:?}"
    );
}

#[tokio::test]
async fn what_is_over_is_taken_away_by_whoever_comes_drp_8() {
    let dav = Dav::start(Kind::Nginx);
    let now_s = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let today = u32::try_from(now_s / 86_400).unwrap();
    let object = |ttl_s| {
        let envelope = seal(&KEY, token(1).tag(), [ttl_s as u8; 16], b"hello").unwrap();
        let items = vec![Kept { ttl_s, envelope }];
        let written_at_s = now_s - 1000;
        Object { written_at_s, items }.encode()
    };
    let write = |day: u32, name: ObjectName, content: &[u8]| {
        let folder = dav.root().join(day.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(name.to_text());
        std::fs::write(
            &file,
            drops::seal(&DropKey::new(&SECRET), &name, [1; 16], content).unwrap(),
        )
        .unwrap();
        file
    };
    let names = [1, 2, 3, 4].map(|n| ObjectName::from_bytes([n; 16]));
    let over = write(today, names[0], &object(999));
    let live = write(today, names[1], &object(9999));
    let ancient = write(today - 62, names[2], &object(9999));
    let old = write(today - 60, names[3], &object(9999));
    let (door, fresh) = (dav.root().join("0f".repeat(16)), dav.root().join("0e".repeat(16)));
    for (file, days) in [(&door, 62), (&fresh, 59)] {
        let at = std::time::SystemTime::now() - Duration::from_secs(days * 86_400);
        std::fs::File::create(file).unwrap().set_modified(at).unwrap();
    }
    std::fs::write(dav.root().join("holidays.jpg"), "not ours").unwrap();
    let client = Client::new(&route(&dav)).await;
    client.listen(&[(token(1).tag(), 0)]).await;
    let gone = async {
        while ancient.exists() || door.exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("taken away");
    assert!(live.exists() && old.exists() && fresh.exists() && dav.root().join("holidays.jpg").exists());
    assert!(
        over.exists(),
        "known to be over once it was read: the next look at everything takes it away"
    );
}
