//! The profile's life: passphrase, lock, unlock, wipe, restart, a home that is in use or damaged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use stonechat_daemon::Daemon;
use stonechat_daemon::api::Caller;
use stonechat_daemon::home::{Home, HomeError};
use stonechat_daemon::rpc;
use stonechat_daemon::types::Fault;
use stonechat_wire::ids::RelayId;
use stonechat_wire::route::RelayRoute;
use tokio::net::TcpListener;

use crate::harness::open;

async fn ask(daemon: &Arc<Daemon>, method: &str, params: Value) -> Result<Value, Fault> {
    let call = rpc::call(method, params)?;
    daemon
        .begin(call, Caller::Program)
        .await
        .await
        .map_err(|failure| failure.kind)
}

#[tokio::test]
async fn an_account_is_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = open(&dir, None);
    let me = ask(&daemon, "init", json!({ "name": "Ana" })).await.unwrap();
    daemon.stop().await;
    drop(daemon);
    let daemon = open(&dir, None);
    assert_eq!(ask(&daemon, "status", json!({})).await.unwrap()["me"], me);
}

#[tokio::test]
async fn one_home_has_one_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let _daemon = open(&dir, None);
    assert!(matches!(Home::claim(dir.path()), Err(HomeError::InUse)));
}

#[tokio::test]
async fn a_locked_profile_answers_nothing_until_its_passphrase_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = open(&dir, None);
    ask(&daemon, "init", json!({ "name": "Ana" })).await.unwrap();
    assert_eq!(
        ask(&daemon, "lock", json!({})).await,
        Err(Fault::BadParams),
        "without a passphrase there is nothing to lock with"
    );
    ask(&daemon, "passphrase.set", json!({ "new": "correct horse" }))
        .await
        .unwrap();
    ask(&daemon, "lock", json!({})).await.unwrap();
    for (method, params) in [
        ("words", json!({})),
        ("contacts", json!({})),
        ("profile.rename", json!({ "name": "x" })),
    ] {
        assert_eq!(ask(&daemon, method, params).await, Err(Fault::Locked), "{method}");
    }
    let status = ask(&daemon, "status", json!({})).await.unwrap();
    assert_eq!(
        (&status["locked"], &status["me"], &status["hasPassphrase"]),
        (&json!(true), &Value::Null, &json!(true))
    );
    assert_eq!(
        ask(&daemon, "unlock", json!({ "passphrase": "wrong" })).await,
        Err(Fault::WrongPassphrase)
    );
    ask(&daemon, "unlock", json!({ "passphrase": "correct horse" }))
        .await
        .unwrap();
    assert_eq!(ask(&daemon, "status", json!({})).await.unwrap()["me"]["name"], "Ana");
}

#[tokio::test]
async fn a_profile_with_a_passphrase_starts_locked() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = open(&dir, Some("correct horse"));
    ask(&daemon, "init", json!({ "name": "Ana" })).await.unwrap();
    daemon.stop().await;
    drop(daemon);
    for (given, closed_by) in [
        (None, Some(Fault::Locked)),
        (Some("wrong"), Some(Fault::WrongPassphrase)),
        (Some("correct horse"), None),
    ] {
        let daemon = open(&dir, given);
        assert_eq!(daemon.closed_by(), closed_by);
        daemon.stop().await;
    }
}

#[tokio::test]
async fn the_passphrase_is_changed_and_removed_only_by_who_knows_it() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = open(&dir, None);
    ask(&daemon, "passphrase.set", json!({ "new": "one" })).await.unwrap();
    for params in [
        json!({ "new": "two" }),
        json!({ "old": "x", "new": "two" }),
        json!({ "old": "x" }),
        json!({}),
    ] {
        assert_eq!(
            ask(&daemon, "passphrase.set", params).await,
            Err(Fault::WrongPassphrase)
        );
    }
    assert_eq!(
        ask(&daemon, "passphrase.set", json!({ "old": "one", "new": "" })).await,
        Err(Fault::BadParams)
    );
    ask(&daemon, "passphrase.set", json!({ "old": "one", "new": "two" }))
        .await
        .unwrap();
    ask(&daemon, "passphrase.set", json!({ "old": "two" })).await.unwrap();
    assert_eq!(ask(&daemon, "status", json!({})).await.unwrap()["hasPassphrase"], false);
}

#[tokio::test]
async fn a_wipe_takes_under_a_second_and_leaves_nothing_of_the_profile() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = open(&dir, None);
    ask(&daemon, "init", json!({ "name": "Ana" })).await.unwrap();
    let key = std::fs::read(dir.path().join("key")).unwrap();
    std::fs::write(dir.path().join("config.toml"), "").unwrap();
    let began = std::time::Instant::now();
    ask(&daemon, "wipe", json!({ "confirm": "wipe" })).await.unwrap();
    assert!(began.elapsed().as_millis() < 1_000);
    assert_ne!(
        std::fs::read(dir.path().join("key")).unwrap(),
        key,
        "a fresh profile takes its place"
    );
    assert!(!dir.path().join("config.toml").exists());
    assert_eq!(ask(&daemon, "status", json!({})).await.unwrap()["me"], Value::Null);
    ask(&daemon, "init", json!({ "name": "Bo" })).await.unwrap();
}

#[tokio::test]
async fn a_locked_profile_can_be_wiped() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir, Some("correct horse")).stop().await;
    let daemon = open(&dir, None);
    assert_eq!(daemon.closed_by(), Some(Fault::Locked));
    ask(&daemon, "wipe", json!({ "confirm": "wipe" })).await.unwrap();
    assert_eq!(daemon.closed_by(), None);
}

#[tokio::test]
async fn a_profile_that_cannot_be_read_says_why() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir, None).stop().await;
    let database = dir.path().join("stonechat.db");
    for damage in [&b""[..], b"SQLite format 3\0", &[7; 8192]] {
        std::fs::write(&database, damage).unwrap();
        let daemon = open(&dir, None);
        assert_eq!(daemon.closed_by(), Some(Fault::BrokenDatabase));
        assert_eq!(ask(&daemon, "status", json!({})).await, Err(Fault::BrokenDatabase));
        assert_eq!(ask(&daemon, "words", json!({})).await, Err(Fault::BrokenDatabase));
        daemon.stop().await;
    }
    std::fs::remove_file(dir.path().join("key")).unwrap();
    assert_eq!(open(&dir, None).closed_by(), Some(Fault::BrokenDatabase));
}

/// Takes connections and never says a word, as a censor that dislikes a name.
async fn silence() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let route = RelayRoute {
        address: format!("https://{}", listener.local_addr().unwrap()),
        relay: RelayId::from_bytes([7; 16]),
        secret: None,
        lan: false,
    };
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            held.push(stream);
        }
    });
    (route.to_text(), count)
}

async fn until_dialled(count: &AtomicUsize, times: usize) {
    while count.load(Ordering::SeqCst) < times {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_name_that_was_silenced_rests_after_a_restart_too_trk_8() {
    let (route, count) = silence().await;
    let dir = tempfile::tempdir().unwrap();
    let wish = json!({ "name": "Ana", "relays": [route] });
    let daemon = open(&dir, None);
    ask(&daemon, "init", wish.clone()).await.unwrap();
    until_dialled(&count, 1).await;
    // The hello is given up after 8 s (TRK-6).
    tokio::time::sleep(Duration::from_secs(10)).await;
    daemon.stop().await;
    drop(daemon);
    let _daemon = open(&dir, None);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(count.load(Ordering::SeqCst), 1, "it rests");
    // Whoever remembers nothing dials at once.
    let fresh = tempfile::tempdir().unwrap();
    let other = open(&fresh, None);
    ask(&other, "init", wish).await.unwrap();
    until_dialled(&count, 2).await;
}
