//! Dead drops: two transports and a real web server, that of a stranger, between them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stonechat_transport::carrier::drop::{self, Drops};
use stonechat_wire::drop::{self as drops, DropKey, Kept, Object, ObjectName, SIZES, drop_id};

use super::drop_host::{Host, Kind, PASSWORD};
use super::odd_drop::Bare;
use super::*;

const KINDS: [Kind; 3] = [Kind::Nginx, Kind::Apache, Kind::Dovecot];
const SECRET: [u8; 16] = [0x5a; 16];

fn route(host: &Host) -> RelayRoute {
    RelayRoute {
        address: host.url(),
        relay: drop_id(&SECRET),
        secret: Some(SECRET),
        lan: false,
    }
}

#[tokio::test]
async fn an_envelope_lies_in_a_drop_until_somebody_looks_drp_9() {
    for kind in KINDS {
        let host = Host::start(kind);
        let (mut ana, mut bo) = (Client::new(&route(&host)).await, Client::new(&route(&host)).await);
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
        let mut late = Client::new(&route(&host)).await;
        late.listen(&[(token(1).tag(), 7)]).await;
        let again = late.until_arrived(&sent).await;
        assert!(again.len() == 5 && again.iter().all(|arrival| arrival.cursor > 7));
    }
}

#[tokio::test]
async fn a_server_sees_random_names_few_sizes_and_nothing_else_drp_4() {
    let host = Host::start(Kind::Nginx);
    let mut ana = Client::new(&route(&host)).await;
    let mut sent = Vec::new();
    for n in 0..30 {
        sent.push(ana.put(n, &"word ".repeat(usize::from(n) * 100)).await);
    }
    ana.until_stored(&sent).await;
    let secret = InviteSecret::from_bytes([6; 20]);
    ana.open_door(&secret, card(5)).await;
    let mut seen = BTreeSet::new();
    for file in host.files() {
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
        let host = Host::start(kind);
        let mut ana = Client::new(&route(&host)).await;
        let secret = InviteSecret::from_bytes([6; 20]);
        let ask = |proof| {
            let (url, path) = (host.url(), secret.path());
            async move { drop::knock(&url, path, proof, &Means::default()).await }
        };
        assert!(matches!(ask(secret.proof()).await, Err(KnockFailure::NotFound)));
        ana.open_door(&secret, card(5)).await;
        ana.open_door(&secret, card(6)).await;
        assert_eq!(ask(secret.proof()).await.unwrap(), card(6), "the last one");
        assert!(matches!(ask([9; 16]).await, Err(KnockFailure::NoCard)));
        let errand = Errand::CloseDoor {
            relay: ana.relay(),
            path: secret.path(),
            key: DOOR_KEY,
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
        let mut host = Host::start(kind);
        let (mut ana, mut bo) = (Client::new(&route(&host)).await, Client::new(&route(&host)).await);
        bo.listen(&[(token(1).tag(), 0)]).await;
        let mut sent = Vec::new();
        for n in 0..60 {
            sent.push(ana.put(1, &"a longer message ".repeat(n)).await);
            match n % 20 {
                // What is put from here on does not get there.
                8 => host.signal("-STOP"),
                12 => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    host.restart();
                }
                _ => {}
            }
        }
        ana.until_stored(&sent).await;
        bo.until_arrived(&sent).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_tried_seldom_and_stands_in_no_error() {
    for (kind, noted) in [
        (Kind::Apache, "Password Mismatch"),
        (Kind::Dovecot, "Password mismatch"),
    ] {
        let host = Host::start(kind);
        let mut wrong = route(&host);
        wrong.address = wrong.address.replace(PASSWORD, "another");
        let client = Client::without_relay();
        client
            .handle
            .send(Errand::UseRelay(wrong, None, NamedBy::Person))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let errors = std::fs::read_to_string(host.root().parent().unwrap().with_file_name("errors")).unwrap();
        assert_eq!(errors.matches(noted).count(), 1, "{errors}");
        let (url, path) = (host.url().replace(PASSWORD, "another"), DoorPath::from_bytes([1; 12]));
        let error = drop::knock(&url, path, [0; 16], &Means::default()).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("another"), "{error:?}");
        assert!(
            matches!(error, KnockFailure::Unreachable(_)),
            "a door that is there is not called spent: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_mailbox_has_mails_of_nobody_to_nobody_drp_15() {
    let host = Host::start(Kind::Dovecot);
    let mut ana = Client::new(&route(&host)).await;
    let mut sent = Vec::new();
    for n in 0..30 {
        sent.push(ana.put(n, &"word ".repeat(usize::from(n) * 100)).await);
    }
    ana.until_stored(&sent).await;
    // The second takes the first one's place.
    for n in [5, 6] {
        ana.open_door(&InviteSecret::from_bytes([6; 20]), card(n)).await;
    }
    let (files, mut doors) = (host.files(), 0);
    assert!(files.len() >= 2);
    for file in files {
        let mail = std::fs::read_to_string(&file).unwrap();
        let (head, body) = mail.split_once("\n\n").or_else(|| mail.split_once("\r\n\r\n")).unwrap();
        let names: Vec<_> = head.lines().map(|line| line.split_once(": ").unwrap().0).collect();
        assert_eq!(names, ["Date", "From", "Message-ID"], "{head}");
        let (name, _) = head.split_once("Message-ID: <").unwrap().1.split_once('@').unwrap();
        doors += usize::from(!name.contains('.'));
        let body: String = body.split_whitespace().collect();
        let padding = body.bytes().filter(|byte| *byte == b'=').count();
        assert!(SIZES.contains(&(body.len() / 4 * 3 - padding)), "{}", body.len());
        assert!(
            file.to_str().unwrap().contains(":2,S"),
            "nobody's telephone rings for it: {file:?}"
        );
    }
    assert_eq!(doors, 1);
}

#[tokio::test]
async fn a_mailbox_that_is_full_has_stored_nothing_drp_16() {
    let quota =
        "mail_plugins = quota\nplugin {\n quota = maildir:user\n quota_rule = *:storage=20K\n quota_grace = 0\n}\n";
    let host = Host::with(Kind::Dovecot, quota);
    let (mut drops, url) = (Drops::default(), host.url());
    let mut ana = Bare::open(&url, &mut drops).await;
    let mut stored = 0;
    for request in 1..9 {
        ana.put(request, "hello");
        match ana.frame().await {
            FromRelay::Stored { .. } => stored += 1,
            FromRelay::Refused { why, .. } => assert_eq!(why, Refusal::NoRoom),
            other => panic!("{other:?}"),
        }
    }
    assert!((1..6).contains(&stored) && host.files().len() == stored, "{stored}");
}

#[tokio::test]
async fn a_persons_own_mail_stays_and_what_is_over_goes_once_the_clock_is_known_drp_17() {
    let host = Host::start(Kind::Dovecot);
    let now_s = now_s();
    let day = u32::try_from(now_s / 86_400).unwrap();
    drop(Client::new(&route(&host)).await);
    let hex = |n: u8| format!("{n:02x}").repeat(16);
    let content = Object {
        written_at_s: now_s - 62 * 86_400,
        items: vec![],
    };
    let ours = drops::seal(
        &DropKey::new(&SECRET),
        &ObjectName::from_bytes([2; 16]),
        [1; 16],
        &content.encode(),
    )
    .unwrap();
    let ours = STANDARD.encode(ours);
    let ours: Vec<&str> = ours
        .as_bytes()
        .chunks(76)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    let ours = ours.join("\n");
    let write = |name: &str, id: &str, days_ago: u64| {
        let file = host.root().join("cur").join(format!("{name}:2,"));
        let body = if name == "2.ancient" { &ours } else { "hello" };
        std::fs::write(&file, format!("Message-ID: <{id}@x>\nSubject: {name}\n\n{body}\n")).unwrap();
        let at = std::time::SystemTime::now() - Duration::from_secs(days_ago * 86_400);
        std::fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(at)
            .unwrap();
    };
    write("1.own", "letter", 90);
    write("2.ancient", &format!("{}.{}", hex(2), day - 62), 62);
    write("3.old", &format!("{}.{}", hex(3), day - 60), 60);
    write("4.door", &hex(4), 62);
    write("5.alike", &format!("{}.{}", hex(5), day - 62), 62);
    // Marked by its reader, and not taken away by them yet.
    std::fs::rename(host.root().join("cur/1.own:2,"), host.root().join("cur/1.own:2,T")).unwrap();
    let there = || {
        let files = host.files();
        let name = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().chars().take(3).collect();
        files.iter().map(name).collect::<Vec<String>>()
    };
    let mut ana = Bare::open(&host.url(), &mut Drops::default()).await;
    ana.listen(0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(there().len(), 5, "nothing goes while the server's clock is not known");
    ana.put(1, "hello");
    while !matches!(ana.frame().await, FromRelay::Arrived { .. }) {}
    let gone = async {
        while there().iter().any(|name| name == "2.a") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("taken away");
    ana.leave().await;
    let left = there();
    for name in ["1.o", "3.o", "4.d", "5.a"] {
        assert!(left.iter().any(|left| left == name), "{name} of {left:?}");
    }
}

#[tokio::test]
async fn what_comes_into_a_mailbox_is_told_at_once_drp_18() {
    let host = Host::start(Kind::Dovecot);
    let ana = Bare::open(&host.url(), &mut Drops::default()).await;
    let mut bo = Bare::open(&host.url(), &mut Drops::default()).await;
    bo.listen(0);
    // By now looks of its own would be ten seconds apart.
    tokio::time::sleep(Duration::from_secs(18)).await;
    let began = std::time::Instant::now();
    ana.put(1, "hello");
    while !matches!(bo.frame().await, FromRelay::Arrived { .. }) {}
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

fn now_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// What somebody may have in the folder who keeps other things there too, all of it a year old: folders called by years, postal
/// codes and days, and files called by hashes, of sizes that objects have.
fn of_others(root: &Path, day: u32) -> Vec<PathBuf> {
    let folders = ["1999", "2025", "10115", "99084", &day.to_string(), ""];
    let names = ["holidays.jpg", &"0f".repeat(16)];
    let mut files = Vec::new();
    for folder in folders.map(|folder| root.join(folder)) {
        std::fs::create_dir_all(&folder).unwrap();
        for name in names {
            let file = folder.join(name);
            std::fs::write(&file, [7; 4096]).unwrap();
            let at = std::time::SystemTime::now() - Duration::from_secs(365 * 86_400);
            std::fs::File::options()
                .write(true)
                .open(&file)
                .unwrap()
                .set_modified(at)
                .unwrap();
            files.push(file);
        }
    }
    files
}

#[tokio::test]
async fn what_is_over_is_taken_away_by_whoever_comes_drp_8() {
    let host = Host::start(Kind::Nginx);
    let now_s = now_s();
    let today = u32::try_from(now_s / 86_400).unwrap();
    let object = |ttl_s| {
        let envelope = seal(&KEY, token(1).tag(), [ttl_s as u8; 16], b"hello").unwrap();
        let items = vec![Kept { ttl_s, envelope }];
        let written_at_s = now_s - 1000;
        Object { written_at_s, items }.encode()
    };
    let write = |day: u32, name: ObjectName, content: &[u8]| {
        let folder = host.root().join(day.to_string());
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
    let empty = host.root().join((today - 63).to_string());
    std::fs::create_dir(&empty).unwrap();
    let others = of_others(&host.root(), today - 64);
    let client = Client::new(&route(&host)).await;
    client.listen(&[(token(1).tag(), 0)]).await;
    let gone = async {
        while ancient.exists() || empty.exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("taken away");
    assert!(live.exists() && old.exists());
    let lost: Vec<_> = others.iter().filter(|file| !file.exists()).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(
        over.exists(),
        "known to be over once it was read: the next look at everything takes it away"
    );
}
