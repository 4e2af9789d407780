//! Trouble while it runs: a disk that fills up, a clock that is wrong. Needs the feature `lab` of the daemon.

use serde_json::json;

use crate::harness::{Relay, eventually, friends};

const DAY_MS: i64 = 24 * 3_600_000;

#[test]
fn a_full_disk_refuses_new_messages_and_loses_none_that_were_acknowledged() {
    let relay = Relay::start();
    let (mut ana, bo) = friends(&relay);
    ana.serve_with(&[("STONECHAT_LAB_PAGES", "40")]);
    let long = "x".repeat(10_000);
    let mut acknowledged = Vec::new();
    let refused = loop {
        let done = ana.run(&["send", "Bo", &long]);
        if done.code != 0 {
            break done;
        }
        acknowledged.push(done.line());
        assert!(acknowledged.len() < 100, "the disk never fills");
    };
    assert_eq!(refused.code, 8, "{refused:?}");
    assert!(refused.err.contains("the disk is full"), "{refused:?}");
    assert_eq!(ana.run(&["messages", "Bo"]).code, 0, "what is there can still be read");
    ana.serve();
    ana.run(&["send", "Bo", "room again"]).ok();
    acknowledged.push(String::new());
    let mut got = Vec::new();
    eventually("all arrive", || {
        got.extend(bo.run(&["receive", "--json"]).json());
        (got.len() >= acknowledged.len()).then_some(())
    });
    assert_eq!(got.len(), acknowledged.len());
    assert!(
        got.iter()
            .zip(&acknowledged)
            .all(|(got, id)| got["id"] == id.as_str() || got["text"] == "room again")
    );
}

#[test]
fn what_a_full_disk_cannot_take_in_comes_once_there_is_room() {
    let relay = Relay::start();
    let (ana, mut bo) = friends(&relay);
    bo.serve_with(&[("STONECHAT_LAB_PAGES", "20")]);
    for number in 0..20 {
        ana.run(&["send", "Bo", &format!("{number} {}", "x".repeat(10_000))])
            .ok();
    }
    eventually("it is told", || {
        let mut socket = bo.socket().ok()?;
        // Told to whoever looks: the newest event that is kept.
        let begun = socket.ask("subscribe", &json!({})).ok()?;
        let since = begun["seq"].as_u64()?.checked_sub(1)?;
        let resumed = socket.ask("subscribe", &json!({ "since": since })).ok()?;
        (resumed["reset"] == false && socket.event().ok()?["kind"] == "diskFull").then_some(())
    });
    bo.serve();
    let mut got = Vec::new();
    eventually("all arrive", || {
        got.extend(bo.run(&["receive", "--json"]).json());
        (got.len() >= 20).then_some(())
    });
    let numbers: Vec<&str> = got
        .iter()
        .map(|m| m["text"].as_str().unwrap().split(' ').next().unwrap())
        .collect();
    assert_eq!(numbers, (0..20).map(|n: i32| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_wrong_clock_is_told_and_messages_still_arrive() {
    let relay = Relay::start();
    let (mut ana, mut bo) = friends(&relay);
    for days in [3, -400] {
        let offset = (days * DAY_MS).to_string();
        bo.serve_with(&[("STONECHAT_LAB_CLOCK_MS", &offset)]);
        ana.serve();
        let told = eventually("the clock is told", || {
            let status = bo.run(&["status", "--json"]).json();
            status[0]["clockOffsetMs"].as_i64().filter(|offset| *offset != 0)
        });
        assert!((told + days * DAY_MS).abs() < DAY_MS, "{told}");
        ana.run(&["send", "Bo", "on time"]).ok();
        assert_eq!(
            bo.run(&["receive", "--wait", "30", "--json"]).json()[0]["text"],
            "on time"
        );
        bo.run(&["send", "Ana", "in time"]).ok();
        assert_eq!(
            ana.run(&["receive", "--wait", "30", "--json"]).json()[0]["text"],
            "in time"
        );
    }
}
