//! From "send" to "delivered", through a relay process on loopback, each time in a fresh conversation. The peer takes
//! its turn after each, because a disk is fast in one second and slow in the next.

use crate::peers;
use crate::process::{Line, Program};
use crate::row::{self, Row};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const CONVERSATIONS: usize = 50;
const RECEIPTS_REST: Duration = Duration::from_secs(6);

/// Median milliseconds from the command to the recipient's receipt.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let folder = tempfile::tempdir_in("target")?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let relay = Program::start(&["relay", "--listen", "127.0.0.1:0", "--data", &path("relay")])?;
    let route = relay.said.trim_start_matches("route: ").to_owned();
    let _ana = Program::start(&["--home", &path("ana"), "serve", "--port", "0"])?;
    let mut ana = Line::to(&folder.path().join("ana"))?;
    ana.ask("init", &json!({"name": "Ana", "relays": [route]}))?;
    let mut met = Vec::with_capacity(CONVERSATIONS);
    for number in 0..CONVERSATIONS {
        let home = path(&format!("bo{number}"));
        let bo = Program::start(&["--home", &home, "serve", "--port", "0"])?;
        met.push((bo, meet(&mut ana, Path::new(&home), number)?));
    }
    // Meeting has receipts of its own, and a conversation says one every five seconds only (RCP-2).
    std::thread::sleep(RECEIPTS_REST);
    let mut syncs = peers::Syncs::in_folder(folder.path())?;
    let (mut ours, mut peer) = (vec![], vec![]);
    for (_, chat) in &met {
        ours.push(send(&mut ana, chat)?);
        peer.push(syncs.five_and_a_round_trip()?);
    }
    ours.sort();
    peer.sort();
    let ms = |durations: &[Duration], percent| row::percentile(durations, percent).as_secs_f64() * 1e3;
    let row = |percent: usize| Row {
        name: format!("send to receipt p{percent}, fresh conversations"),
        unit: "ms",
        ours: ms(&ours, percent),
        peer: "five fdatasyncs and a loopback round trip",
        peer_value: ms(&peer, percent),
        runs: CONVERSATIONS,
    };
    Ok(vec![row(50), row(90)])
}

/// Meets a new Bo. Out: the chat with him.
fn meet(ana: &mut Line, home: &Path, number: usize) -> Result<Value> {
    let mut bo = Line::to(home)?;
    bo.ask("init", &json!({"name": format!("Bo {number}")}))?;
    let invite = ana.ask("invite.create", &json!({"who": "one", "how": "plain"}))?;
    ana.wait(|event| event.pointer("/invite/state") == Some(&json!("open")))?;
    bo.ask("accept", &json!({"link": invite.get("link")}))?;
    bo.wait(|event| event.pointer("/acceptance/state") == Some(&json!("accepted")))?;
    let chats = ana.ask("chats", &json!({"limit": 1000}))?;
    let name = json!(format!("Bo {number}"));
    let found = chats
        .as_array()
        .and_then(|chats| chats.iter().find(|chat| chat.get("name") == Some(&name)));
    found.and_then(|chat| chat.get("id")).cloned().context("no chat")
}

/// From one text to its receipt.
fn send(ana: &mut Line, chat: &Value) -> Result<Duration> {
    let began = Instant::now();
    let sent = ana.ask("send", &json!({"chat": chat, "text": "thirty bytes of ordinary words"}))?;
    let delivered = |event: &Value| {
        event.get("kind") == Some(&json!("messageState"))
            && event.get("id") == sent.get("id")
            && event.get("state") == Some(&json!("delivered"))
    };
    ana.wait(delivered)?;
    Ok(began.elapsed())
}
