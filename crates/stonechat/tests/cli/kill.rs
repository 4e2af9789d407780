//! kill -9 of daemons and relay while messages flow: nothing acknowledged is lost, nothing appears twice.
//!
//! `STONECHAT_KILLS` kills (20) during 2,000 messages. Acknowledged: the sender's daemon answered with the message's
//! id. At the end every text stands exactly once with the recipient, in order, and is delivered.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Person, Relay, Socket, eventually, friends};

const MESSAGES: usize = 2_000;

struct Sent {
    /// Ids by number, as acknowledged.
    ids: Vec<String>,
}

#[test]
fn kills_lose_nothing_acknowledged_and_double_nothing() {
    let kills: usize = std::env::var("STONECHAT_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20);
    let mut relay = Relay::start();
    let (mut ana, mut bo) = friends(&relay);
    let chat = chat_of(&ana);
    let home = ana.home();
    let (progress, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sent, in_flight) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send_all(&home, chat, &progress, &over));
        let in_flight = kill_along(kills, &progress, &over, &mut relay, &mut ana, &mut bo);
        (sender.join().unwrap(), in_flight)
    });
    assert!(in_flight >= 5.min(kills), "only {in_flight} kills hit a put in flight");
    let got = eventually_all(&bo, MESSAGES);
    let texts: Vec<&str> = got.iter().map(|message| message["text"].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..MESSAGES).map(text_of).collect();
    assert_eq!(texts, expected, "each once, in order");
    let ids: Vec<&str> = got.iter().map(|message| message["id"].as_str().unwrap()).collect();
    assert_eq!(ids, sent.ids, "what was acknowledged is what arrived");
    eventually("all are delivered", || {
        let all = all_messages(&ana)?;
        all.iter().all(|message| message["state"] == "delivered").then_some(())
    });
}

fn text_of(number: usize) -> String {
    format!("message {number}")
}

fn chat_of(person: &Person) -> i64 {
    let mut socket = person.socket().unwrap();
    let chats = socket.ask("chats", &json!({ "limit": 1 })).unwrap();
    chats[0]["id"].as_i64().unwrap()
}

/// Sends everything; a send whose answer did not come is said again with the same client id.
fn send_all(home: &std::path::Path, chat: i64, progress: &AtomicUsize, over: &AtomicBool) -> Sent {
    let mut ids = Vec::new();
    let mut socket: Option<Socket> = None;
    while ids.len() < MESSAGES {
        let number = ids.len();
        let params = json!({ "chat": chat, "text": text_of(number), "clientId": format!("client-{number}") });
        let answer = match &mut socket {
            Some(socket) => socket.ask("send", &params),
            None => Err(std::io::ErrorKind::NotConnected.into()),
        };
        match answer {
            Ok(message) => ids.push(message["id"].as_str().unwrap().to_owned()),
            Err(_) => {
                std::thread::sleep(Duration::from_millis(20));
                socket = crate::harness::connect(home).ok();
            }
        }
        progress.store(ids.len(), Ordering::Relaxed);
    }
    over.store(true, Ordering::Relaxed);
    Sent { ids }
}

/// Kills evenly along the messages, in turn the relay, the sender and the recipient. Out: kills that hit messages
/// which no relay had stored yet.
fn kill_along(
    kills: usize,
    progress: &AtomicUsize,
    over: &AtomicBool,
    relay: &mut Relay,
    ana: &mut Person,
    bo: &mut Person,
) -> usize {
    let mut in_flight = 0;
    for kill in 0..kills {
        let due = (kill + 1) * MESSAGES / (kills + 1);
        let end = Instant::now() + Duration::from_secs(120);
        while progress.load(Ordering::Relaxed) < due && !over.load(Ordering::Relaxed) {
            assert!(Instant::now() < end, "stuck at {}", progress.load(Ordering::Relaxed));
            std::thread::sleep(Duration::from_millis(1));
        }
        let queued = ana
            .socket()
            .and_then(|mut socket| socket.ask("status", &json!({})))
            .map(|status| status["queued"].as_u64());
        in_flight += usize::from(queued.is_ok_and(|queued| queued > Some(0)));
        match kill % 3 {
            0 => relay.restart(),
            1 => drop(ana.serve()),
            _ => drop(bo.serve()),
        }
    }
    in_flight
}

fn eventually_all(person: &Person, count: usize) -> Vec<Value> {
    eventually("all arrive", || all_messages(person).filter(|all| all.len() >= count))
}

/// All texts of the one chat, oldest first.
fn all_messages(person: &Person) -> Option<Vec<Value>> {
    let mut socket = person.socket().ok()?;
    let chat = socket.ask("chats", &json!({ "limit": 1 })).ok()?[0]["id"].clone();
    let (mut all, mut after) = (Vec::new(), json!(i64::MIN));
    loop {
        let page = socket
            .ask("messages", &json!({ "chat": chat, "after": after, "limit": 500 }))
            .ok()?;
        let messages = page["messages"].as_array()?.clone();
        after = messages.last()?["position"].clone();
        all.extend(messages.into_iter().filter(|message| message["kind"] == "text"));
        if page["moreAfter"] == false {
            return Some(all);
        }
    }
}
